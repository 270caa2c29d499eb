"""Where branches meet: forward a sum, a product or a row of arrays; backward a gradient for each of them."""

from __future__ import annotations

import math
from typing import cast

from xpcnn.layers import Add, Concatenate, Multiply
from xpcnn.models import Concat, Graph, Residual, Sequential, SqueezeExcite

from .page import Page, peak
from .record import Call
from .registry import backward, forward

Index = tuple[int, ...]


def _text(name: str, index: Index) -> str:
    return f"{name}[{', '.join(map(str, index))}]"


@forward(Sequential)
@backward(Sequential)
def nothing(page: Page, call: Call) -> None:
    """The layers say it all."""


@forward(Add)
def add(page: Page, call: Call) -> None:
    """One sum."""
    index = peak(call.y, page.n)
    page.total("y", index, [(None, float(x[index])) for x in call.x], call.y[index])


@backward(Add)
def add_backward(page: Page, call: Call) -> None:
    """Each input gets the whole gradient."""
    for i, dx in enumerate(call.dx):
        index = peak(dx, page.n)
        page.number(f"dx_{i}", index, _text("dy", index), float(call.dy[index]), dx[index])


def _within(index: Index, shape: tuple[int, ...]) -> Index:
    """The place in an array that is stretched along axes of size 1."""
    return tuple(0 if size == 1 else i for i, size in zip(index, shape, strict=True))


@forward(Multiply)
def multiply(page: Page, call: Call) -> None:
    """One product."""
    index = peak(call.y, page.n)
    factors = [float(x[_within(index, x.shape)]) for x in call.x]
    page.number("y", index, " * ".join(map(page.arg, factors)), math.prod(factors), call.y[index])


@backward(Multiply)
def multiply_backward(page: Page, call: Call) -> None:
    """Each input gets the gradient times the others, summed where it was stretched."""
    for i, dx in enumerate(call.dx):
        index = peak(dx, page.n)
        terms = call.dy
        for j, x in enumerate(call.x):
            terms = terms * x if j != i else terms
        axes = [slice(None) if size == 1 else slice(k, k + 1) for k, size in zip(index, dx.shape, strict=True)]
        values = terms[tuple(axes)].ravel().tolist()
        page.total(f"dx_{i}", index, [(None, v) for v in values], dx[index])


def _joined(page: Page, index: Index, xs: tuple[object, ...], axis: int, real: float) -> None:
    place = index[axis]
    for i, x in enumerate(xs):
        size = x.shape[axis]  # type: ignore[attr-defined]
        if place < size:
            own = (*index[:axis], place, *index[axis + 1 :])
            page.number("y", index, _text(f"x_{i}", own), float(x[own]), real)  # type: ignore[index]
            return
        place -= size


@forward(Concatenate)
def concatenate(page: Page, call: Call) -> None:
    """Which input an entry comes from."""
    axis = call.layer.dim % call.y.ndim  # type: ignore[attr-defined]
    index = peak(call.y, page.n)
    _joined(page, index, call.x, axis, call.y[index])


@backward(Concatenate)
def concatenate_backward(page: Page, call: Call) -> None:
    """The gradient is cut where the inputs were joined."""
    axis, start = call.layer.dim % call.dy.ndim, 0  # type: ignore[attr-defined]
    for i, dx in enumerate(call.dx):
        index = peak(dx, page.n)
        there = (*index[:axis], index[axis] + start, *index[axis + 1 :])
        page.number(f"dx_{i}", index, _text("dy", there), float(call.dy[there]), dx[index])
        start += dx.shape[axis]


# Containers that hold their branches.


@forward(Residual)
def residual(page: Page, call: Call) -> None:
    """Body plus shortcut."""
    index = peak(call.y, page.n)
    body = float(call.children["body"].y[index])
    shortcut = call.children.get("shortcut")
    other = float((call.x if shortcut is None else shortcut.y)[index])
    name = "x" if shortcut is None else "shortcut"
    text = f"{_text('body', index)} + {_text(name, index)} = {page.arg(body)} + {page.arg(other)}"
    page.number("y", index, text, body + other, call.y[index])


@backward(Residual)
def residual_backward(page: Page, call: Call) -> None:
    """The sum over both ways."""
    index = peak(call.dx, page.n)
    shortcut = call.children.get("shortcut")
    other = float((call.dy if shortcut is None else shortcut.dx)[index])
    body = float(call.children["body"].dx[index])
    page.line("dy went to the body and to the shortcut unchanged; what comes back from them is added up")
    words = "body + dy" if shortcut is None else "body + shortcut"
    page.number("dx", index, f"{words} = {page.arg(body)} + {page.arg(other)}", body + other, call.dx[index])


@forward(Concat)
def concat(page: Page, call: Call) -> None:
    """Which branch a channel comes from."""
    index = peak(call.y, page.n)
    branches = tuple(child.y for child in call.children.values())
    page.line(f"x_0, x_1, ... are the branches' outputs, of {', '.join(str(y.shape[1]) for y in branches)} channels")
    _joined(page, index, branches, 1, call.y[index])


@backward(Concat)
def concat_backward(page: Page, call: Call) -> None:
    """The sum over the branches."""
    index = peak(call.dx, page.n)
    page.line("dy was cut into the branches' channels; what comes back from them is added up")
    terms: list[tuple[float | None, float]] = [(None, float(child.dx[index])) for child in call.children.values()]
    page.total("dx", index, terms, call.dx[index])


@forward(SqueezeExcite)
def squeeze_excite(page: Page, call: Call) -> None:
    """One pixel times the gate of its channel."""
    n, c, *_ = index = peak(call.y, page.n)
    gate, x = float(call.children["scale_activation"].y[n, c, 0, 0]), float(call.x[index])
    page.number("y", index, f"s[{n}, {c}] x = {page.arg(gate)} * {page.arg(x)}", gate * x, call.y[index])


@backward(SqueezeExcite)
def squeeze_excite_backward(page: Page, call: Call) -> None:
    """The way through the pixel itself, and the one through the gates."""
    index = peak(call.dx, page.n)
    direct = float(call.children["multiply"].dx[0][index])
    gates = float(call.children["avgpool"].dx[index])
    text = f"direct + through the gates = {page.arg(direct)} + {page.arg(gates)}"
    page.number("dx", index, text, direct + gates, call.dx[index])


@forward(Graph)
def graph(page: Page, call: Call) -> None:
    """Who takes what from whom."""
    layer = cast("Graph", call.layer)
    for name in layer.order:
        page.line(f"{name} takes {', '.join(layer.sources[name])}")


@backward(Graph)
def graph_backward(page: Page, call: Call) -> None:
    """Where several nodes took one output, its gradient is the sum of theirs."""
    layer = cast("Graph", call.layer)
    for name in (*([layer.inputs] if isinstance(layer.inputs, str) else layer.inputs), *layer.order):
        users = [(user, i) for user in layer.order for i, source in enumerate(layer.sources[user]) if source == name]
        if len(users) < 2 or name == layer.output:
            continue
        parts = []
        for user, i in users:
            dx = call.children[user].dx
            parts.append(dx[i] if isinstance(dx, tuple) else dx)
        whole = call.children[name].dy if name in call.children else call.dx
        if any(part is None for part in parts) or whole is None or isinstance(whole, tuple):
            continue
        index = peak(whole, page.n)
        page.line(f"{name} was taken by {', '.join(user for user, _ in users)}, so its gradient is the sum of theirs:")
        page.total(f"d({name})", index, [(None, float(part[index])) for part in parts], whole[index])
