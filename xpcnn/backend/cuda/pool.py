"""Max pooling in one kernel, which keeps a byte for each maximum; backward it gathers, and nothing is added twice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from .launch import answers, channels_first, channels_last, empty, launch

__all__: list[str] = []  # found by their names in the registry


@accelerates("max_pool2d", "cupy")
def max_pool2d(x: Array, win: Any) -> tuple[Array, Array] | None:
    """See :func:`xpcnn.ops.max_pool2d`; `x` has its border already."""
    if not answers(x):
        return None
    x = channels_last(x)
    shape = (x.shape[0], *win.out, x.shape[3])
    y, index = empty(shape, x.dtype), empty(shape, _place(win))
    sizes = _sizes(y.size, x.shape, win)
    launch("pool", "max_pool", y.size, x, y, index, *sizes, Number=x.dtype, Place=index.dtype)
    return channels_first(y), channels_first(index)


@accelerates("max_pool2d_backward", "cupy")
def max_pool2d_backward(dy: Array, index: Array, shape: tuple[int, ...], win: Any) -> Array | None:
    """See :func:`xpcnn.ops.max_pool2d_backward`; the gradient has the border, `shape` has not."""
    if not answers(dy) or index.dtype != _place(win):
        return None
    top, bottom, left, right = win.border
    padded = (shape[0], top + shape[2] + bottom, left + shape[3] + right, shape[1])
    dx = empty(padded, dy.dtype)
    arrays = channels_last(dy), channels_last(index), dx
    sizes = _sizes(dx.size, padded, win)
    launch("pool", "max_pool_backward", dx.size, *arrays, *sizes, Number=dy.dtype, Place=index.dtype)
    return channels_first(dx)


def _place(win: Any) -> np.dtype:
    """What a place in a window is kept in, as in the op."""
    return np.dtype(np.uint8 if math.prod(win.kernel) <= 256 else np.int32)


def _sizes(count: int, shape: tuple[int, ...], win: Any) -> list[Any]:
    numbers = (*shape[1:], *win.out, *win.kernel, *win.stride, *win.dilation)
    return [np.int64(count), *map(np.int32, numbers)]
