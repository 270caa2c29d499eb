"""Pooling: a window, its winner or its mean, and where the gradient goes."""

from __future__ import annotations

import math
from typing import Any

from xpcnn.layers import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    MaxPool2d,
)
from xpcnn.ops.geometry import pads, pair

from .page import Page, peak
from .record import Call
from .registry import backward, forward

Span = list[int]
MAXIMA = (MaxPool2d, GlobalMaxPool2d, AdaptiveMaxPool2d)
MEANS = (AvgPool2d, GlobalAvgPool2d, AdaptiveAvgPool2d)


def _spans(call: Call) -> tuple[list[Span], list[Span]]:
    """For each row of windows the rows of x in them, and for each column the columns; some may lie outside of x."""
    layer: Any = call.layer
    size = call.x.shape[2:]
    if isinstance(layer, (GlobalAvgPool2d, GlobalMaxPool2d)):
        return [list(range(size[0]))], [list(range(size[1]))]
    out = call.y.shape[2:]
    if isinstance(layer, (AdaptiveAvgPool2d, AdaptiveMaxPool2d)):
        bounds = [[(i * s // o, -(-(i + 1) * s // o)) for i in range(o)] for s, o in zip(size, out, strict=True)]
        rows, columns = ([list(range(*bound)) for bound in axis] for axis in bounds)
        return rows, columns
    who = type(layer).__name__
    kernel = pair(who, "kernel_size", layer.kernel_size)
    stride = kernel if layer.stride is None else pair(who, "stride", layer.stride)
    dilation = pair(who, "dilation", getattr(layer, "dilation", 1))
    before = pads(who, layer.padding, kernel)[::2]
    rows, columns = (
        [[i * s - p + k * d for k in range(size)] for i in range(o)]
        for o, s, p, size, d in zip(out, stride, before, kernel, dilation, strict=True)
    )
    return rows, columns


def _counts(call: Call, rows: Span, columns: Span) -> int:
    """How many entries of a window its mean counts."""
    layer: Any = call.layer
    edges = (0, 0, 0, 0)
    if isinstance(layer, AvgPool2d) and layer.count_include_pad:
        edges = pads("AvgPool2d", layer.padding, pair("AvgPool2d", "kernel_size", layer.kernel_size))
    height, width = call.x.shape[2:]
    tall = sum(-edges[0] <= h < height + edges[1] for h in rows)
    return tall * sum(-edges[2] <= w < width + edges[3] for w in columns)


def _inside(call: Call, rows: Span, columns: Span) -> list[tuple[int, int]]:
    height, width = call.x.shape[2:]
    return [(h, w) for h in rows if 0 <= h < height for w in columns if 0 <= w < width]


def _window(call: Call, n: int, c: int, rows: Span, columns: Span, empty: float) -> list[list[float]]:
    inside = set(_inside(call, rows, columns))
    return [[float(call.x[n, c, h, w]) if (h, w) in inside else empty for w in columns] for h in rows]


def _winner(call: Call, n: int, c: int, rows: Span, columns: Span) -> tuple[int, int]:
    """Where the first of the largest entries lies; a NaN wins."""

    def key(place: tuple[int, int]) -> float:
        value = float(call.x[n, c, place[0], place[1]])
        return math.inf if math.isnan(value) else value

    return max(_inside(call, rows, columns), key=key)


def _place(index: tuple[int, ...]) -> tuple[int, int]:
    """Row and column of the window; a global pooling has one."""
    return (index[2], index[3]) if len(index) == 4 else (0, 0)


def _span(values: Span) -> str:
    step = values[1] - values[0] if len(values) > 1 else 1
    return f"{values[0]}:{values[-1] + 1}" + (f":{step}" if step > 1 else "")


@forward(*MAXIMA)
def maxima(page: Page, call: Call) -> None:
    """The window of the entry that is largest in size, with the winner marked."""
    n, c, *_ = index = peak(call.y, page.n)
    all_rows, all_columns = _spans(call)
    rows, columns = all_rows[_place(index)[0]], all_columns[_place(index)[1]]
    h, w = _winner(call, n, c, rows, columns)
    window = _window(call, n, c, rows, columns, -math.inf)
    page.grids((f"x[{n}, {c}, {_span(rows)}, {_span(columns)}]", window, (rows.index(h), columns.index(w))))
    text = f"largest of {len(rows) * len(columns)} = x[{n}, {c}, {h}, {w}]"
    page.number("y", index, text, float(call.x[n, c, h, w]), call.y[index])


@backward(*MAXIMA)
def maxima_backward(page: Page, call: Call) -> None:
    """All of the gradient goes to the winner."""
    n, c, h, w = index = peak(call.dx, page.n)
    all_rows, all_columns = _spans(call)
    terms: list[tuple[float | None, float]] = []
    won = []
    for oh, rows in enumerate(all_rows):
        for ow, columns in enumerate(all_columns):
            if h in rows and w in columns and _winner(call, n, c, rows, columns) == (h, w):
                out = (n, c, oh, ow) if call.dy.ndim == 4 else (n, c)
                terms.append((None, float(call.dy[out])))
                won.append((rows, columns, out))
    page.line(f"x[{n}, {c}, {h}, {w}] won {len(won)} window(s), and gets the gradient of each; losers get 0")
    page.total("dx", index, terms, call.dx[index])
    if won:
        rows, columns, out = won[0]
        at = f"dx[{n}, {c}, {_span(rows)}, {_span(columns)}], the window of y[{', '.join(map(str, out))}]"
        inside = set(_inside(call, rows, columns))
        part = [[float(call.dx[n, c, i, j]) if (i, j) in inside else 0.0 for j in columns] for i in rows]
        page.grids((at, part, (rows.index(h), columns.index(w))))


@forward(*MEANS)
def means(page: Page, call: Call) -> None:
    """The window of the entry that is largest in size, and its mean."""
    n, c, *_ = index = peak(call.y, page.n)
    all_rows, all_columns = _spans(call)
    rows, columns = all_rows[_place(index)[0]], all_columns[_place(index)[1]]
    window = _window(call, n, c, rows, columns, 0.0)
    page.grids((f"x[{n}, {c}, {_span(rows)}, {_span(columns)}]", window))
    terms: list[tuple[float | None, float]] = [(None, v) for line in window for v in line]
    page.total("y", index, terms, call.y[index], divide=_counts(call, rows, columns))


@backward(*MEANS)
def means_backward(page: Page, call: Call) -> None:
    """Each entry of a window gets the same share."""
    n, c, h, w = index = peak(call.dx, page.n)
    terms: list[tuple[float | None, float]] = []
    all_rows, all_columns = _spans(call)
    for oh, rows in enumerate(all_rows):
        for ow, columns in enumerate(all_columns):
            if h in rows and w in columns:
                out = (n, c, oh, ow) if call.dy.ndim == 4 else (n, c)
                terms.append((1.0 / _counts(call, rows, columns), float(call.dy[out])))
    page.line(f"{len(terms)} window(s) cover x[{n}, {c}, {h}, {w}], and each gives one over its number of entries")
    page.total("dx", index, terms, call.dx[index])
