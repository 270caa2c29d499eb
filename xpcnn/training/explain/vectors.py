"""Layers on features: dot products, softmax, dropout, flattening."""

from __future__ import annotations

import math
from typing import Any

from xpcnn.layers import Dropout, Dropout2d, Flatten, Linear, LogSoftmax, Softmax

from .page import Page, peak
from .record import Call, host
from .registry import backward, forward


@forward(Linear)
def linear(page: Page, call: Call) -> None:
    """One dot product."""
    n, o = index = peak(call.y, page.n)
    w, bias = call.params["weight"], call.params.get("bias")
    strongest = (0, peak(w[o] * call.x[n])[0])
    page.grids((f"x[{n}]", call.x[n][None], strongest), (f"w[{o}]", w[o][None], strongest))
    terms = list(zip(w[o].tolist(), call.x[n].tolist(), strict=True))
    page.total("y", index, terms, call.y[index], lead=None if bias is None else (f"b[{o}]", float(bias[o])))


@backward(Linear)
def linear_backward(page: Page, call: Call) -> None:
    """One entry of each gradient."""
    w = call.params["weight"]
    if "weight" in call.grads:
        dw = call.grads["weight"]
        o, i = peak(dw)
        page.total("dw", (o, i), list(zip(call.dy[:, o].tolist(), call.x[:, i].tolist(), strict=True)), dw[o, i])
    if "bias" in call.grads:
        (o,) = peak(call.grads["bias"])
        page.total("db", (o,), [(None, v) for v in call.dy[:, o].tolist()], call.grads["bias"][o])
    n, i = index = peak(call.dx, page.n)
    page.total("dx", index, list(zip(w[:, i].tolist(), call.dy[n].tolist(), strict=True)), call.dx[index])


def _line(a: Any, index: tuple[int, ...], dim: int) -> list[float]:
    """All entries along an axis, through an index."""
    at: list[Any] = list(index)
    at[dim] = slice(None)
    return a[tuple(at)].tolist()


@forward(Softmax, LogSoftmax)
def softmax(page: Page, call: Call) -> None:
    """Exponentials and their sum."""
    layer: Any = call.layer
    index = peak(call.y, page.n)
    scores = _line(call.x, index, layer.dim)
    top = max(scores)
    x, total = float(call.x[index]), math.fsum(math.exp(v - top) for v in scores)
    page.grids(
        (f"x along axis {layer.dim}", [scores]), (f"y along axis {layer.dim}", [_line(call.y, index, layer.dim)])
    )
    page.line(f"the largest score, {page.num(top)}, is subtracted first; the exponentials sum to {page.num(total)}")
    if isinstance(layer, Softmax):
        text = f"exp({page.num(x)} - {page.arg(top)}) / {page.num(total)}"
        page.number("y", index, text, math.exp(x - top) / total, call.y[index])
    else:
        text = f"{page.num(x)} - {page.arg(top)} - log({page.num(total)})"
        page.number("y", index, text, x - top - math.log(total), call.y[index])


@backward(Softmax, LogSoftmax)
def softmax_backward(page: Page, call: Call) -> None:
    """The gradient at one score."""
    layer: Any = call.layer
    index = peak(call.dx, page.n)
    y, dy = float(call.y[index]), float(call.dy[index])
    gradients = _line(call.dy, index, layer.dim)
    if isinstance(layer, Softmax):
        mean = math.fsum(g * p for g, p in zip(gradients, _line(call.y, index, layer.dim), strict=True))
        page.line(f"the mean of dy, weighted by y, is {page.num(mean)}")
        page.number(
            "dx", index, f"{page.arg(y)} * ({page.num(dy)} - {page.arg(mean)})", y * (dy - mean), call.dx[index]
        )
    else:
        total = math.fsum(gradients)
        text = f"{page.num(dy)} - exp({page.num(y)}) * {page.arg(total)}"
        page.number("dx", index, text, dy - math.exp(y) * total, call.dx[index])


def _kept(page: Page, call: Call) -> tuple[Any, float]:
    """The mask of what stays, and the scale."""
    layer: Any = call.layer
    mask = host(call.saved[0]) if call.saved and call.saved[0] is not None else None
    return mask, 1.0 / (1.0 - layer.p) if layer.p < 1.0 else 0.0


def _masked(page: Page, name: str, before: Any, after: Any, call: Call) -> None:
    """An entry that stays and one that goes, where there are such."""
    mask, scale = _kept(page, call)
    if mask is None:
        index = peak(before, page.n)
        page.number(name, index, f"{page.arg(before[index])}, as p is 0", float(before[index]), after[index])
        return
    whole = mask + 0 * before.astype(bool)  # of Dropout2d there is one truth value for each channel
    for value, word in ((1, "kept"), (0, "dropped")):
        found = abs(before) * (whole == value) + (whole == value)  # the largest of these
        if not found[page.n].any():
            continue
        index = peak(found, page.n)
        stays = scale if value else 0.0
        text = f"{page.arg(before[index])} * {page.num(stays)}"
        page.number(name, index, text, float(before[index]) * stays, after[index], note=f", {word}")


@forward(Dropout, Dropout2d)
def dropout(page: Page, call: Call) -> None:
    """The mask of a few entries."""
    mask, scale = _kept(page, call)
    if mask is not None:
        share = float(mask[page.n].mean())
        page.line(f"kept: {100 * share:.3g} % of the sample's draws, scaled by 1 / (1 - p) = {page.num(scale)}")
        if isinstance(call.layer, Dropout2d):
            page.grids((f"mask[{page.n}], one for each channel", mask[page.n].reshape(1, -1)))
        else:
            page.corner("mask", mask.astype("float64"))
    _masked(page, "y", call.x, call.y, call)


@backward(Dropout, Dropout2d)
def dropout_backward(page: Page, call: Call) -> None:
    """The same mask."""
    _masked(page, "dx", call.dy, call.dx, call)


@forward(Flatten)
def flatten(page: Page, call: Call) -> None:
    """Where one entry went."""
    index = peak(call.x, page.n)
    place = _position(index[1:], call.x.shape[1:])
    said = f"x[{', '.join(map(str, index))}]"
    page.number("y", (page.n, place), said, float(call.x[index]), call.y[page.n, place])


@backward(Flatten)
def flatten_backward(page: Page, call: Call) -> None:
    """And back."""
    index = peak(call.dx, page.n)
    place = _position(index[1:], call.dx.shape[1:])
    page.number("dx", index, f"dy[{page.n}, {place}]", float(call.dy[page.n, place]), call.dx[index])


def _position(index: tuple[int, ...], shape: tuple[int, ...]) -> int:
    place = 0
    for i, size in zip(index, shape, strict=True):
        place = place * size + i
    return place
