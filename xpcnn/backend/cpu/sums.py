"""Sums over the pixels of a tile, for each channel, in float64."""

import functools

import numpy as np

from .memory import scratch

__all__ = ["exact_sum_rows", "ones", "sum_rows"]

BLOCK = 8  # rows that one product with ones adds in their own dtype
WIDE = 512  # numbers in a row that is added as one
MANY = 1 << 14  # ones that are kept


def sum_rows(rows: np.ndarray) -> np.ndarray:
    """
    Sum of the rows of a contiguous matrix, in float64: eight rows at a time in their own dtype, by a product with ones.

    As :func:`xpcnn.ops.sums.sum_rows`.
    """
    count, columns = rows.shape
    parts, left = divmod(count, BLOCK)
    if parts < 2:
        return exact_sum_rows(rows)
    added = scratch.empty("block sums", (parts, columns), rows.dtype)
    np.matmul(ones(BLOCK, rows.dtype), rows[: parts * BLOCK].reshape(BLOCK, -1), out=added.reshape(-1))
    total = exact_sum_rows(added)
    if left:
        total += np.add.reduce(rows[parts * BLOCK :], axis=0, dtype=np.float64)
    return total


def exact_sum_rows(rows: np.ndarray) -> np.ndarray:
    """Sum of the rows of a contiguous matrix with every addition in float64."""
    count, columns = rows.shape
    wide = scratch.empty("in float64", rows.shape, np.dtype(np.float64))
    wide[...] = rows
    fold = max(1, min(WIDE // columns, count))
    parts, left = divmod(count, fold)
    folded = np.matmul(ones(parts, wide.dtype), wide[: parts * fold].reshape(parts, fold * columns))
    total = np.add.reduce(folded.reshape(fold, columns), axis=0)
    if left:
        total += np.add.reduce(wide[parts * fold :], axis=0)
    return total


def ones(count: int, dtype: np.dtype) -> np.ndarray:
    """A vector of ones, not to be written to."""
    if count > MANY:
        return np.ones(count, dtype)
    return _ones(dtype)[:count]


@functools.cache
def _ones(dtype: np.dtype) -> np.ndarray:
    return np.ones(MANY, dtype)
