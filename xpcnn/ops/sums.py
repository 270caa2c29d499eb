"""Images as rows of channels, and sums over such rows."""

from typing import Any

from xpcnn.backend import Array, accelerated, array_namespace, is_narrow

__all__ = ["from_rows", "sum_rows", "sum_rows_in_float64", "to_rows"]

BLOCK = 8  # rows that are added in their own dtype
FEW = 256  # rows that are all added in float64
WIDE = 1024  # numbers in a row from which on adding rows is fast


def to_rows(x: Array) -> Array:
    """
    (N, C, ...) as a matrix (N * ..., C): one row a pixel. Free for channels-last memory.

    Examples
    --------
    >>> import numpy as np
    >>> to_rows(np.zeros((2, 3, 4, 5))).shape
    (40, 3)
    """
    xp = array_namespace(x)
    if x.ndim == 2:
        return x
    channels_last = xp.permute_dims(x, (0, *range(2, x.ndim), 1))
    return xp.reshape(channels_last, (-1, x.shape[1]))


def from_rows(rows: Array, shape: tuple[int, ...]) -> Array:
    """The array of shape (N, C, ...) whose rows these are, channels-last in memory."""
    xp = array_namespace(rows)
    if len(shape) == 2:
        return rows
    n, c, *spatial = shape
    channels_last = xp.reshape(rows, (n, *spatial, c))
    return xp.permute_dims(channels_last, (0, len(shape) - 1, *range(1, len(shape) - 1)))


def sum_rows(rows: Array, scale: float = 1.0, dtype: Any = None) -> Array:
    """
    Sum of the rows of a matrix times a number, as ``scale 1 @ rows``, in blocks.

    Eight rows at a time by one product with a vector of ones, which is faster than ``xp.sum(rows, axis=0)``, and what
    that leaves in float64: so rounding errors are those of eight numbers, however many rows there are. The result has
    the dtype of the rows unless another one is asked for.

    Source: Higham (1993), "The accuracy of floating point summation", section 2 (blocks).

    Examples
    --------
    >>> import numpy as np
    >>> sum_rows(np.asarray([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [4.0, 6.0]
    """
    xp = array_namespace(rows)
    dtype = rows.dtype if dtype is None else dtype
    if (fast := accelerated("sum_rows", rows, scale, dtype)) is not None:
        return fast
    count, columns = rows.shape
    if count > FEW and not is_narrow(rows):
        ones = xp.ones((1, BLOCK), dtype=rows.dtype, device=rows.device)
        # the rows r, r + parts, r + 2 parts, ... are a block: so all blocks together are one matrix, summed over axis 0
        parts, left = divmod(count, BLOCK)
        blocks = xp.reshape(rows[: parts * BLOCK, :], (BLOCK, parts * columns))
        sums = xp.reshape(xp.matmul(ones, blocks), (parts, columns))
        rows = xp.concat([sums, rows[parts * BLOCK :, :]], axis=0) if left else sums
    return xp.astype(sum_rows_in_float64(rows) * scale, dtype)


def sum_rows_in_float64(rows: Array) -> Array:
    """
    Sum of the rows of a matrix with every addition in float64, for sums in which most of it cancels.

    Four times the time of :func:`sum_rows`: short rows are first put side by side, ``fold`` to a row, and added as long
    ones.

    Examples
    --------
    >>> import numpy as np
    >>> sum_rows_in_float64(np.asarray([[1e8], [1.0], [-1e8]], dtype="float32")).tolist()
    [1.0]
    """
    xp = array_namespace(rows)
    if (fast := accelerated("sum_rows", rows, 1.0, xp.float64)) is not None:
        return fast
    count, columns = rows.shape
    fold = max(1, WIDE // columns)
    parts, left = divmod(count, fold)
    wide = xp.reshape(rows[: parts * fold, :], (parts, fold * columns))
    total = xp.sum(xp.reshape(xp.sum(wide, axis=0, dtype=xp.float64), (fold, columns)), axis=0)
    return total + xp.sum(rows[parts * fold :, :], axis=0, dtype=xp.float64) if left else total
