"""Average pooling in one kernel each way, without a border around the images; backward it gathers."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from .launch import answers, channels_first, channels_last, empty, launch, rows, wide
from .sums import total

__all__: list[str] = []  # found by their names in the registry


@accelerates("avg_pool2d", "cupy")
def avg_pool2d(x: Array, win: Any, counted: tuple[int, ...]) -> Array | None:
    """See :func:`xpcnn.ops.avg_pool2d`; `counted` is how much of the border counts."""
    if not answers(x):
        return None
    x = channels_last(x)
    y = empty((x.shape[0], *win.out, x.shape[3]), x.dtype)
    launch("avg_pool", "avg_pool", y.size, x, y, *_sizes(y.size, x.shape, win, counted), Number=x.dtype)
    return channels_first(y)


@accelerates("avg_pool2d_backward", "cupy")
def avg_pool2d_backward(dy: Array, shape: tuple[int, ...], win: Any, counted: tuple[int, ...]) -> Array | None:
    """See :func:`xpcnn.ops.avg_pool2d_backward`."""
    if not answers(dy):
        return None
    dx = empty((shape[0], *shape[2:], shape[1]), dy.dtype)
    numbers = _sizes(dx.size, dx.shape, win, counted)
    launch("avg_pool", "avg_pool_backward", dx.size, channels_last(dy), dx, *numbers, Number=dy.dtype)
    return channels_first(dx)


def _sizes(count: int, shape: tuple[int, ...], win: Any, counted: tuple[int, ...]) -> list[Any]:
    (_, h, w, _), (top, _, left, _), (above, below, before, after) = shape, win.border, counted
    numbers = (*shape[1:], *win.out, *win.kernel, *win.stride, top, left, above, h + below, before, w + after)
    return [np.int64(count), *map(np.int32, numbers)]


@accelerates("global_avg_pool2d", "cupy")
def global_avg_pool2d(x: Array) -> Array | None:
    """See :func:`xpcnn.ops.global_avg_pool2d`."""
    if not answers(x):
        return None
    n, c, h, w = x.shape
    return total(channels_last(x).reshape(n, h * w, c), x.dtype, divisor=float(h * w))


@accelerates("global_avg_pool2d_backward", "cupy")
def global_avg_pool2d_backward(dy: Array, shape: tuple[int, ...]) -> Array | None:
    """See :func:`xpcnn.ops.global_avg_pool2d_backward`."""
    if not answers(dy):
        return None
    n, c, h, w = shape
    dx = empty((n, h, w, c), dy.dtype)
    numbers = *map(np.int64, (dx.size, h * w, c)), wide(dy.dtype).type(dy.dtype.type(1.0 / (h * w)))
    launch("avg_pool", "global_avg_pool_backward", dx.size, rows(dy), dx, *numbers, Number=dy.dtype)
    return channels_first(dx)
