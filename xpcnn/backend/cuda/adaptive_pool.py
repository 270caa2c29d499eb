"""Pooling to a given size, one kernel for each axis; global pooling is the case of one window."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from .launch import answers, channels_first, channels_last, empty, launch

__all__: list[str] = []  # found by their names in the registry

PLACES = (np.dtype(np.uint8), np.dtype(np.int32))
# images lie as (N, H, W, C): the axes, in the order of the forward pass
WIDTH, HEIGHT = 2, 1


@accelerates("adaptive_avg_pool2d", "cupy")
def adaptive_avg_pool2d(x: Array, out: tuple[int, ...]) -> Array | None:
    """See :func:`xpcnn.ops.adaptive_avg_pool2d`; `out` is the shape of y."""
    if not answers(x):
        return None
    x = channels_last(x)
    for axis in (WIDTH, HEIGHT):
        y = _like(x, axis, out[1 + axis])
        _launch("window_means", y, axis, x.shape[axis], y.shape[axis], x, y)
        x = y
    return channels_first(x)


@accelerates("adaptive_avg_pool2d_backward", "cupy")
def adaptive_avg_pool2d_backward(dy: Array, shape: tuple[int, ...]) -> Array | None:
    """See :func:`xpcnn.ops.adaptive_avg_pool2d_backward`."""
    if not answers(dy):
        return None
    dy = channels_last(dy)
    for axis in (HEIGHT, WIDTH):
        dx = _like(dy, axis, shape[1 + axis])
        _launch("window_means_backward", dx, axis, dx.shape[axis], dy.shape[axis], dy, dx)
        dy = dx
    return channels_first(dy)


@accelerates("adaptive_max_pool2d", "cupy")
def adaptive_max_pool2d(x: Array, out: tuple[int, ...]) -> tuple[Array, tuple[Array, Array]] | None:
    """See :func:`xpcnn.ops.adaptive_max_pool2d`; `out` is the shape of y."""
    if not answers(x):
        return None
    x, places = channels_last(x), []
    for axis in (WIDTH, HEIGHT):
        size, windows = x.shape[axis], out[1 + axis]
        y = _like(x, axis, windows)
        places.append(empty(y.shape, _place(size, windows)))
        _launch("window_maxima", y, axis, size, windows, x, y, places[-1], place=places[-1].dtype)
        x = y
    return channels_first(x), (channels_first(places[0]), channels_first(places[1]))


@accelerates("adaptive_max_pool2d_backward", "cupy")
def adaptive_max_pool2d_backward(dy: Array, places: tuple[Array, Array], shape: tuple[int, ...]) -> Array | None:
    """See :func:`xpcnn.ops.adaptive_max_pool2d_backward`."""
    if not answers(dy) or any(a.dtype not in PLACES for a in places):
        return None
    dy = channels_last(dy)
    for axis, place in ((HEIGHT, places[1]), (WIDTH, places[0])):
        dx = _like(dy, axis, shape[1 + axis])
        arrays = dy, channels_last(place), dx
        _launch("window_maxima_backward", dx, axis, dx.shape[axis], dy.shape[axis], *arrays, place=place.dtype)
        dy = dx
    return channels_first(dy)


def _launch(name: str, made: Array, axis: int, size: int, windows: int, *arrays: Array, place: Any = PLACES[0]) -> None:
    """Start a kernel along an axis, a thread for each entry of `made`."""
    inner = made.shape[3] if axis == WIDTH else made.shape[2] * made.shape[3]
    numbers = map(np.int64, (made.size, size, windows, inner))
    launch("adaptive_pool", name, made.size, *arrays, *numbers, Number=made.dtype, Place=place)


def _like(x: Array, axis: int, size: int) -> Array:
    """An array of the shape of x but for one axis."""
    return empty((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)


@functools.lru_cache(256)
def _place(size: int, windows: int) -> np.dtype:
    """What a place in the longest window is kept in, as in the op."""
    longest = max(-((i + 1) * size // -windows) - i * size // windows for i in range(windows))
    return PLACES[0] if longest < 256 else PLACES[1]
