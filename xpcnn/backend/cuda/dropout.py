"""Dropout in one kernel: it draws the mask where it needs it, in place of some three hundred operations on arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.random import Key
from xpcnn.backend.registry import accelerates

from .launch import address, answers, channels_first, channels_last, empty, launch, rows, wide

__all__: list[str] = []  # found by their names in the registry


@accelerates("dropout", "cupy")
def dropout(x: Array, p: float, key: Key) -> tuple[Array, Array] | None:
    """
    Output and mask, in the shape of x: (N, ...), and images (N, C, H, W) lie channels last in memory.

    ``y = x * mask * scale`` in the dtype of x, with a scale of 1 / (1 - p), or 0 where p = 1. The mask (bool) says
    of each number whether word i of the key's Philox stream is at least ``round(p 2^32)``; i counts in the order of
    memory and begins behind ``key.first`` samples. None unless float32 or float64. See :func:`xpcnn.ops.dropout`.
    """
    if not answers(x):
        return None
    images = x.ndim == 4
    x = channels_last(x) if images else rows(x)
    y, mask = empty(x.shape, x.dtype), empty(x.shape, bool)
    blocks, numbers = _draw(x.shape, p, key)
    scale = wide(x.dtype).type(x.dtype.type(1.0 / (1.0 - p) if p < 1.0 else 0.0))
    launch("dropout", "dropout", blocks, x, y, mask, *numbers, scale, Number=x.dtype)
    return (channels_first(y), channels_first(mask)) if images else (y, mask)


@accelerates("keep_mask", "cupy")
def keep_mask(x: Array, p: float, key: Key) -> Array | None:
    """See :func:`xpcnn.backend.keep_mask`."""
    if not answers(x):
        return None
    images = x.ndim == 4
    mask = empty((x.shape[0], *x.shape[2:], x.shape[1]) if images else x.shape, bool)
    blocks, numbers = _draw(mask.shape, p, key)
    launch("dropout", "keep_mask", blocks, mask, *numbers, Number=x.dtype)
    return channels_first(mask) if images else mask


def _draw(shape: tuple[int, ...], p: float, key: Key) -> tuple[int, list[Any]]:
    """How many blocks of the stream a mask of that shape takes, and what the kernels are told of it."""
    count, start = math.prod(shape), key.first * math.prod(shape[1:])
    counter = 0 if key.counter is None else address(key.counter)
    numbers = count, start, key.step, counter, *key.words(), round(p * 2**32)
    return -(-(start % 8 + count) // 8), [*map(np.uint64, numbers)]
