"""Some samples of many, by their numbers."""

from .namespace import Array, array_namespace
from .registry import accelerated

__all__ = ["take"]


def take(x: Array, index: Array) -> Array:
    """
    The samples of those numbers, in their order.

    Parameters
    ----------
    x : array, shape (N, ...)
    index : integer array, shape (M,), of the same library and device

    Returns
    -------
    chosen : array, shape (M, ...)

    Examples
    --------
    >>> import numpy as np
    >>> take(np.asarray([5.0, 6.0, 7.0]), np.asarray([2, 0])).tolist()
    [7.0, 5.0]
    """
    if (fast := accelerated("take", x, index)) is not None:
        return fast
    return array_namespace(x).take(x, index, axis=0)
