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
    """
    Largest entry of each window of x (N, C, H, W), and its place there: both (N, C, OH, OW), channels last in memory.

    ``y[n, c, oh, ow] = max_ij x[n, c, oh SH + i DH, ow SW + j DW]`` in the dtype of x, which has its border already.
    The place ``i KW + j`` of the first maximum is uint8, or int32 for windows of more than 256 entries. A NaN is larger
    than all, and the last one of several. None unless float32 or float64. See :func:`xpcnn.ops.max_pool2d`.
    """
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
    """
    Gradient at x, of the dtype of dy and channels last in memory, from dy and index (N, C, OH, OW).

    ``dx[n, c, h, w]`` is the sum of ``dy[n, c, oh, ow]`` over the windows whose maximum is there, by the place in them.
    It has the border, (N, C, top + H + bottom, left + W + right), which `shape` (N, C, H, W) has not. None unless dy is
    float32 or float64, and the places are as above. See :func:`xpcnn.ops.max_pool2d_backward`.
    """
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
