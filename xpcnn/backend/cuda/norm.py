"""Batch norm for any number of channels: statistics in double and in a fixed order, and one kernel for each way."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from .launch import answers, channels_first, channels_last, empty, launch, rows, wide
from .sums import few_rows, slabs, total

__all__: list[str] = []  # found by their names in the registry

EACH = 8  # rows that a thread normalizes: as often as that it uses what it has worked out for its channel


@accelerates("batch_statistics", "cupy")
def batch_statistics(x: Array) -> tuple[Array, Array] | None:
    """See :func:`xpcnn.ops.batch_statistics`; in float64."""
    if not answers(x):
        return None
    x = channels_last(x)
    channels = x.shape[-1]
    count = x.size // channels
    parts = slabs(count, channels)
    sums = empty((1, parts, 2 * channels), np.float64)
    sizes = map(np.int64, (x.size, parts * channels, channels))
    launch("norm", "deviations", parts * channels, x, sums, *sizes, Number=x.dtype, Stat=sums.dtype)
    sums = few_rows(sums)
    mean, var = empty((channels,), np.float64), empty((channels,), np.float64)
    numbers = np.int64(sums.shape[1]), np.int64(channels), np.float64(count)
    launch("norm", "statistics", channels, x, sums, mean, var, *numbers, Number=x.dtype, Stat=sums.dtype)
    return mean, var


@accelerates("batch_norm", "cupy")
def batch_norm(
    x: Array, mean: Array, var: Array, w: Array | None, b: Array | None, eps: float, relu: bool = False
) -> Array | None:
    """See :func:`xpcnn.ops.batch_norm`."""
    if not answers(x):
        return None
    x = channels_last(x)
    y = empty(x.shape, x.dtype)
    threads, numbers = _sizes(x, eps)
    arrays = x, rows(mean), rows(var), _or_null(w), _or_null(b), y
    launch("norm", "normalize", threads, *arrays, *numbers, np.bool_(relu), Number=x.dtype, Stat=mean.dtype)
    return channels_first(y)


@accelerates("batch_norm_relu", "cupy")
def batch_norm_relu(
    x: Array, mean: Array, var: Array, w: Array | None, b: Array | None, eps: float
) -> Array | None:
    """As :func:`batch_norm`, rectified."""
    return batch_norm(x, mean, var, w, b, eps, relu=True)


@accelerates("batch_norm_backward", "cupy")
def batch_norm_backward(
    dy: Array,
    x: Array,
    mean: Array,
    var: Array,
    w: Array | None,
    eps: float,
    fixed: bool,
    b: Array | None = None,
    relu: bool = False,
) -> tuple[Array, Array, Array] | None:
    """See :func:`xpcnn.ops.batch_norm_backward`."""
    channels = x.shape[1]
    if not answers(x) or not x.size or any(a is not None and a.shape != (channels,) for a in (mean, var, w, b)):
        return None  # the op has not looked at these shapes; its body raises where they do not fit
    dy, x, mean, var = channels_last(dy), channels_last(x), rows(mean), rows(var)
    types = {"Number": x.dtype, "Stat": mean.dtype}
    count = x.size // channels

    parts = slabs(count, channels)
    sums = empty((1, parts, 2 * channels), np.float64)
    sizes = *map(np.int64, (x.size, parts * channels, channels)), np.float64(eps)
    line = mean, var, _or_null(w), _or_null(b)
    launch("norm", "gradient_sums", parts * channels, dy, x, *line, sums, *sizes, np.bool_(relu), **types)
    sums = total(sums, np.float64)

    dx = empty(x.shape, x.dtype)
    dw, db = (empty((channels,), wide(x.dtype)) for _ in range(2))
    threads, numbers = _sizes(x, eps)
    arrays, flags = (dy, x, *line, sums, dx, dw, db), (np.bool_(fixed), np.bool_(relu))
    launch("norm", "batch_norm_backward", threads, *arrays, *numbers, np.float64(1.0 / count), *flags, **types)
    return channels_first(dx), dw, db


@accelerates("batch_norm_relu_backward", "cupy")
def batch_norm_relu_backward(
    dy: Array, x: Array, mean: Array, var: Array, w: Array | None, b: Array | None, eps: float, fixed: bool
) -> tuple[Array, Array, Array] | None:
    """As :func:`batch_norm_backward`, of what is rectified."""
    return batch_norm_backward(dy, x, mean, var, w, eps, fixed, b, relu=True)


def _sizes(x: Array, eps: float) -> tuple[int, list[Any]]:
    """How many threads go over the numbers, and what they are told of them."""
    channels = x.shape[-1]
    threads = -(-x.size // channels // EACH) * channels
    return threads, [*map(np.int64, (x.size, threads, channels)), np.float64(eps)]


def _or_null(a: Array | None) -> Any:
    return np.uintp(0) if a is None else rows(a)
