"""How many inputs a weight sums over, and how many outputs an input feeds."""

import math

from xpcnn.errors import ShapeError

__all__ = ["fans"]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """
    Fan-in and fan-out of a weight.

    Parameters
    ----------
    shape : tuple of int
        ``(out, in)`` or ``(O, C/groups, kh, kw)``.

    Raises
    ------
    ShapeError
        If there are fewer than two axes, or one is empty.

    Examples
    --------
    >>> fans((10, 120)), fans((32, 16, 5, 5))
    ((120, 10), (400, 800))
    """
    if len(shape) < 2 or min(shape) < 1:
        message = f"initializers: expected a weight of shape (out, in) or (O, C, kh, kw), none of them 0, got {shape}"
        raise ShapeError(message)
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window
