"""Augmentation that moves pixels, in one kernel that reads each where it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from .launch import answers, channels_first, empty, launch, moved, rows

__all__: list[str] = []  # found by their names in the registry


@accelerates("gather", "cupy")
def gather(x: Array, at_rows: Array, at_cols: Array, fill: float) -> Array | None:
    """See :func:`xpcnn.data.augment.sampling.gather`; rows and columns may still be on the host."""
    if not answers(x, narrow=False):
        return None
    oh, ow = at_rows.shape[1], at_cols.shape[1]
    places = empty((x.shape[0], oh + ow), np.int32)
    places[:, :oh], places[:, oh:] = moved(at_rows), moved(at_cols)
    return _read("gather", x, places, (oh, ow), fill)


@accelerates("rotate", "cupy")
def rotate(x: Array, turn: Array, fill: float) -> Array | None:
    """See :func:`xpcnn.data.augment.sampling.rotate`; `turn` has cosine and sine of each angle, shape (N, 2)."""
    return _read("rotate", x, rows(turn), x.shape[2:], fill) if answers(x, narrow=False) else None


def _read(name: str, x: Array, where: Array, size: tuple[Any, ...], fill: float) -> Array:
    n, c, h, w = x.shape
    last = x.transpose(0, 2, 3, 1)
    if last.flags.c_contiguous:
        x, strides = last, (h * w * c, 1, w * c, c)
    else:
        x, strides = rows(x), (c * h * w, h * w, w, 1)
    y = empty((n, *size, c), x.dtype)
    numbers = map(np.int64, (y.size, c, *size, *strides))
    launch("sampling", name, y.size, x, where, y, *numbers, x.dtype.type(fill), Number=x.dtype)
    return channels_first(y)
