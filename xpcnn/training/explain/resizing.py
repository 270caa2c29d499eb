"""Layers that move pixels: padding and other sizes."""

from __future__ import annotations

import math
from typing import Any

from xpcnn.layers import ReflectionPad2d, ReplicationPad2d, Upsample, ZeroPad2d

from .page import Page, peak
from .record import Call
from .registry import backward, forward

PADS = (ZeroPad2d, ReflectionPad2d, ReplicationPad2d)
Weights = list[tuple[int, float]]


def _source(layer: Any, i: int, size: int) -> Weights:
    """The row of x that a row of y shows, counted from where x begins."""
    if isinstance(layer, ReflectionPad2d):
        return [(size - 1 - abs(size - 1 - abs(i)), 1.0)]
    if isinstance(layer, ReplicationPad2d):
        return [(min(max(i, 0), size - 1), 1.0)]
    return [(i, 1.0)] if 0 <= i < size else []


def _padded(call: Call) -> tuple[list[Weights], list[Weights]]:
    padding: Any = call.layer.padding  # type: ignore[attr-defined]
    left, _, top, _ = (padding,) * 4 if isinstance(padding, int) else padding
    (height, width), (oh, ow) = call.x.shape[2:], call.y.shape[2:]
    rows = [_source(call.layer, i - top, height) for i in range(oh)]
    return rows, [_source(call.layer, i - left, width) for i in range(ow)]


def _resized(call: Call) -> tuple[list[Weights], list[Weights]]:
    rows, columns = (_line(call, axis) for axis in (0, 1))
    return rows, columns


def _line(call: Call, axis: int) -> list[Weights]:
    """For each row of y, or each column, the ones of x that it is mixed from."""
    layer: Any = call.layer
    size, out = call.x.shape[2 + axis], call.y.shape[2 + axis]
    factor = layer.scale_factor[axis] if isinstance(layer.scale_factor, (tuple, list)) else layer.scale_factor
    step = size / out if factor is None else 1.0 / factor
    if out == size:
        return [[(i, 1.0)] for i in range(out)]
    if layer.mode == "nearest":
        if out % size == 0 and (out <= 2 * size or factor is None or factor == out // size):
            return [[(i * size // out, 1.0)] for i in range(out)]
        single = call.x.astype("float32").dtype.type  # PyTorch's rounding, which the op has too
        return [[(min(math.floor(single(i) * single(step)), size - 1), 1.0)] for i in range(out)]
    lines = []
    for i in range(out):
        place = i * ((size - 1) / (out - 1) if out > 1 else 0.0) if layer.align_corners else (i + 0.5) * step - 0.5
        place = min(max(place, 0.0), size - 1.0)
        low = min(math.floor(place), size - 1)
        part = place - low
        lines.append([(k, f) for k, f in ((low, 1.0 - part), (low + 1, part)) if f > 0])
    return lines


def _sources(call: Call) -> tuple[list[Weights], list[Weights]]:
    return _resized(call) if isinstance(call.layer, Upsample) else _padded(call)


@forward(*PADS, Upsample)
def moved(page: Page, call: Call) -> None:
    """The pixels that one pixel is made of."""
    n, c, oh, ow = index = peak(call.y, page.n)
    rows, columns = _sources(call)
    found = [(h, w, f * g) for h, f in rows[oh] for w, g in columns[ow]]
    said = " + ".join(
        f"{page.num(f)} x[{n}, {c}, {h}, {w}]" if f != 1 else f"x[{n}, {c}, {h}, {w}]" for h, w, f in found
    )
    page.line(f"y[{n}, {c}, {oh}, {ow}] is {said or '0, outside of the image'}")
    terms = [(None if f == 1 else f, float(call.x[n, c, h, w])) for h, w, f in found]
    page.total("y", index, terms, call.y[index])
    page.corner("y", call.y)


@backward(*PADS, Upsample)
def moved_backward(page: Page, call: Call) -> None:
    """One pixel, and the gradients of all that were made of it."""
    n, c, h, w = index = peak(call.dx, page.n)
    rows, columns = _sources(call)
    terms: list[tuple[float | None, float]] = []
    for oh, row in enumerate(rows):
        for ow, column in enumerate(columns):
            f = math.fsum(a * b for i, a in row for j, b in column if (i, j) == (h, w))
            if f:
                terms.append((None if f == 1 else f, float(call.dy[n, c, oh, ow])))
    page.line(f"x[{n}, {c}, {h}, {w}] is part of {len(terms)} pixel(s) of y")
    page.total("dx", index, terms, call.dx[index])
