"""Images as rows of channels, and sums over such rows."""

from xpcnn.backend import Array, array_namespace

__all__ = ["from_rows", "sum_rows", "to_rows"]


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


def sum_rows(rows: Array) -> Array:
    """
    Sum of the rows of a matrix, as ``1 @ rows``.

    A matrix product sums a long leading axis in blocks: faster than ``xp.sum(rows, axis=0)``, and in float32 more
    accurate, because NumPy sums pairwise only along the contiguous axis.

    Examples
    --------
    >>> import numpy as np
    >>> sum_rows(np.asarray([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [4.0, 6.0]
    """
    xp = array_namespace(rows)
    ones = xp.ones((1, rows.shape[0]), dtype=rows.dtype, device=rows.device)
    return xp.matmul(ones, rows)[0, :]
