"""Sums of rows, as gradients of biases need them: in float64 and in a fixed order, in two launches or a few more."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from .launch import answers, empty, knows, launch, rows

__all__ = ["few_rows", "slabs", "total"]

# What a thread adds one after the other. More would leave a GPU waiting for few threads, fewer take more launches.
FEW = 128  # rows that are all added by one thread a column
EACH = 64  # of more rows than that
# A GPU of 132 multiprocessors holds 270,000 threads. Half of them, each with eight loads under way, are 4 MB: about
# what its memory needs to have under way. Where columns are few, rows have to make up for it, so there are many slabs.
MANY = 1 << 17


def slabs(count: int, others: int) -> int:
    """Into how many sums rows are added first, where so many `others` run beside each: columns, matrices."""
    return max(1, min(count // EACH, MANY // others))


def few_rows(x: Array) -> Array:
    """Matrices (B, R, K) of the same sums with at most `FEW` rows each, as many launches as that takes."""
    batch, count, columns = x.shape
    while count > FEW and (parts := slabs(count, batch * columns)) > 1:
        x, count = _added(x, parts, np.dtype(np.float64)), parts
    return x


def total(x: Array, dtype: Any, scale: float = 1.0, divisor: float = 1.0) -> Array:
    """``scale * sum_r x[b, r, k] / divisor``, shape (B, K), of an array (B, R, K) in C order."""
    return _added(few_rows(x), 1, np.dtype(dtype), scale, divisor)[:, 0]


def _added(x: Array, parts: int, dtype: np.dtype, scale: float = 1.0, divisor: float = 1.0) -> Array:
    batch, count, columns = x.shape
    y = empty((batch, parts, columns), dtype)
    numbers = *map(np.int64, (y.size, count, parts, columns)), np.float64(scale), np.float64(divisor)
    launch("sums", "sum_rows", y.size, x, y, *numbers, Number=x.dtype, Sum=dtype)
    return y


@accelerates("sum_rows", "cupy")
def sum_rows(x: Array, scale: float, dtype: Any) -> Array | None:
    """See :func:`xpcnn.ops.sums.sum_rows`, whose float64 variant this serves as well."""
    if not answers(x) or not knows(dtype) or not x.size:
        return None
    return total(rows(x)[None], dtype, scale)[0]
