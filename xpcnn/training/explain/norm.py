"""Normalizations: which numbers share a mean and a variance, and one of them standardized."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from xpcnn.layers import (
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    InstanceNorm2d,
    LayerNorm,
    LocalResponseNorm,
)

from .page import Page, peak
from .record import Call, host
from .registry import backward, forward

BATCH = (BatchNorm1d, BatchNorm2d)
ALL = (*BATCH, GroupNorm, InstanceNorm2d, LayerNorm)


class Row(NamedTuple):
    """The numbers that are normalized together with the one at an index."""

    where: Any  # how they are cut out of x
    words: str
    weight: Any  # of all of them: a number, or an array that fits
    own: tuple[int, ...]  # of the parameters at the index
    fixed: tuple[float, float] | None  # mean and variance that do not come from x


def _row(call: Call, index: tuple[int, ...]) -> Row:
    layer: Any = call.layer
    w = call.params.get("weight")
    n, c, *_ = index
    if isinstance(layer, LayerNorm):
        lead = index[: call.x.ndim - len(layer.normalized_shape)]
        words = f"x[{', '.join(map(str, (*lead, '...')))}]"
        return Row((*lead, ...), words, 1.0 if w is None else w, index[len(lead) :], None)
    if isinstance(layer, GroupNorm):
        size = layer.num_channels // layer.num_groups
        start = c // size * size
        weight: Any = 1.0
        if w is not None:
            weight = w[start : start + size].reshape(size, *(1,) * (call.x.ndim - 2))
        where = (n, slice(start, start + size), ...)
        return Row(where, f"x[{n}, {start}:{start + size}, ...]", weight, (c,), None)
    weight = 1.0 if w is None else float(w[c])
    mean, var, fixed = _statistics(call, c)
    if isinstance(layer, InstanceNorm2d):
        return Row((n, c, ...), f"x[{n}, {c}, ...]", weight, (c,), (mean, var) if fixed else None)
    return Row((slice(None), c, ...), f"x[:, {c}, ...]", weight, (c,), (mean, var) if fixed else None)


def _statistics(call: Call, c: int) -> tuple[float, float, bool]:
    """Mean and variance of a channel as the layer kept them, and whether they are frozen ones."""
    if len(call.saved) < 3:  # an InstanceNorm2d that looks at each image
        return math.nan, math.nan, False
    _, mean, var, *fixed = call.saved
    return float(host(mean)[c]), float(host(var)[c]), fixed[0] if fixed else True


@forward(*ALL)
def norm(page: Page, call: Call) -> None:
    """Mean, variance, and one number of many."""
    layer: Any = call.layer
    index = peak(call.y, page.n)
    row = _row(call, index)
    values = call.x[row.where]
    if row.fixed is not None:
        mean, var = row.fixed
        page.line(f"the running statistics are frozen, so they normalize in training, too: channel {index[1]} has")
        page.line(f"mean = {page.num(mean)}, var = {page.num(var)}")
    else:
        mean, var = float(values.mean()), float(((values - values.mean()) ** 2).mean())
        several = ""
        if isinstance(layer, BATCH):
            several = f" ({call.x.shape[0]} sample(s) of {values.size // call.x.shape[0]} places)"
        page.line(f"{row.words} has {values.size} values{several}, which share a mean and a variance:")
        if isinstance(layer, BATCH):
            real_mean, real_var, _ = _statistics(call, index[1])
            page.total("mean", (index[1],), [(None, v) for v in values.ravel().tolist()], real_mean, divide=values.size)
            text = f"mean of (x - {page.arg(mean)})^2"
            page.number("var", (index[1],), text, var, real_var)
        else:
            page.line(f"mean = {page.num(mean)}, var = {page.num(var)}")
    scale = math.sqrt(var + layer.eps)
    x = float(call.x[index])
    xhat = (x - mean) / scale
    text = f"({page.num(x)} - {page.arg(mean)}) / sqrt({page.num(var)} + {page.num(layer.eps)}) = {page.num(xhat)}"
    w, b = (call.params.get(name) for name in ("weight", "bias"))
    if w is None:
        page.number("y", index, text.rpartition(" = ")[0], xhat, call.y[index])
    else:
        page.line(f"xhat[{', '.join(map(str, index))}] = {text}")
        own = ", ".join(map(str, row.own))
        weight, shift = float(w[row.own]), 0.0 if b is None else float(b[row.own])
        letters, numbers = f"w[{own}] xhat", f"{page.arg(weight)} * {page.arg(xhat)}"
        if b is not None:
            letters, numbers = f"{letters} + b[{own}]", f"{numbers} + {page.arg(shift)}"
        page.number("y", index, f"{letters} = {numbers}", weight * xhat + shift, call.y[index])
    after = host(layer.buffers)
    if "running_mean" in call.buffers and row.fixed is None:
        c = index[1]
        for name in ("running_mean", "running_var"):
            page.line(f"{name}[{c}]: {page.num(call.buffers[name][c])} -> {page.num(after[name][c])}, for inference")


@backward(*ALL)
def norm_backward(page: Page, call: Call) -> None:
    """The three ways by which a number moves the loss: itself, the mean and the variance."""
    layer: Any = call.layer
    index = peak(call.dx, page.n)
    row = _row(call, index)
    x, dy = call.x[row.where], call.dy[row.where]
    mean, var = row.fixed or (float(x.mean()), float(((x - x.mean()) ** 2).mean()))
    s = 1.0 / math.sqrt(var + layer.eps)
    w = call.params.get("weight")
    weight = 1.0 if w is None else float(w[row.own])
    g, xhat = weight * float(call.dy[index]), (float(call.x[index]) - mean) * s
    if row.fixed is not None:
        text = f"w dy s = {page.arg(weight)} * {page.arg(call.dy[index])} * {page.num(s)}"
        page.number("dx", index, text, g * s, call.dx[index])
    else:
        gs, xhats = dy * row.weight, (x - mean) * s
        g_mean, gx_mean = float(gs.mean()), float((gs * xhats).mean())
        page.line(
            f"s = {page.num(s)}, g = w dy = {page.num(g)}, xhat = {page.num(xhat)}; "
            f"over the {gs.size} values: mean g = {page.num(g_mean)}, mean of g xhat = {page.num(gx_mean)}"
        )
        text = f"{page.num(s)} * ({page.num(g)} - {page.arg(g_mean)} - {page.arg(xhat)} * {page.arg(gx_mean)})"
        page.number("dx", index, text, s * (g - g_mean - xhat * gx_mean), call.dx[index])
    if isinstance(layer, BATCH) and "bias" in call.grads:
        c = index[1]
        terms: list[tuple[float | None, float]] = [(None, v) for v in call.dy[:, c].ravel().tolist()]
        page.total("db", (c,), terms, call.grads["bias"][c])
    if isinstance(layer, BATCH) and "weight" in call.grads:
        c = index[1]
        hats = ((call.x[:, c] - mean) * s).ravel().tolist()
        pairs = list(zip(call.dy[:, c].ravel().tolist(), hats, strict=True))
        page.total("dw", (c,), pairs, call.grads["weight"][c])


def _energy(call: Call, index: tuple[int, ...], c: int) -> float:
    """The energy around channel c, at the place of an index."""
    layer: Any = call.layer
    part = call.x[index[0], max(0, c - layer.size // 2) : c + (layer.size - 1) // 2 + 1]
    return layer.k + layer.alpha / layer.size * math.fsum(float(v[index[2:]]) ** 2 for v in part)


@forward(LocalResponseNorm)
def local_response(page: Page, call: Call) -> None:
    """One number, and the energy of the channels around it."""
    layer: Any = call.layer
    c = (index := peak(call.y, page.n))[1]
    x, energy = float(call.x[index]), _energy(call, index, c)
    first, last = max(0, c - layer.size // 2), min(call.x.shape[1] - 1, c + (layer.size - 1) // 2)
    page.line(f"d, the energy of channels {first} to {last} there, is {page.num(energy)}")
    page.number(
        "y", index, f"{page.num(x)} / {page.num(energy)}^{page.num(layer.beta)}", x / energy**layer.beta, call.y[index]
    )


@backward(LocalResponseNorm)
def local_response_backward(page: Page, call: Call) -> None:
    """The way through the number itself, and those through the energies that it is part of."""
    layer: Any = call.layer
    n, c, *place = index = peak(call.dx, page.n)
    direct = float(call.dy[index]) / _energy(call, index, c) ** layer.beta
    through = 0.0
    for j in range(max(0, c - (layer.size - 1) // 2), min(call.x.shape[1], c + layer.size // 2 + 1)):
        at = (n, j, *place)
        through += float(call.dy[at]) * float(call.x[at]) / _energy(call, index, j) ** (layer.beta + 1.0)
    rest = 2.0 * layer.alpha * layer.beta / layer.size * float(call.x[index]) * through
    page.number("dx", index, f"{page.num(direct)} - {page.arg(rest)}", direct - rest, call.dx[index])
