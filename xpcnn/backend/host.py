"""Arrays made on the host, for layers that must not know NumPy: what a parameter or buffer starts from."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

__all__ = ["filled", "filters_last", "is_hollow", "is_undrawn", "undrawn"]

_undrawn: ContextVar[str] = ContextVar("undrawn", default="")


@contextmanager
def undrawn(*, hollow: bool = False) -> Iterator[None]:
    """
    Nothing is drawn inside: whoever asks for initial numbers gets zeros.

    Parameters
    ----------
    hollow : bool
        Whether these are read-only arrays that take no memory, of any shape: to know shapes before there is room.

    Examples
    --------
    >>> with undrawn(hollow=True):
    ...     filled((10**9, 10**9), 1.0).shape
    (1000000000, 1000000000)
    """
    token = _undrawn.set("hollow" if hollow else "zeros")
    try:
        yield
    finally:
        _undrawn.reset(token)


def is_undrawn() -> bool:
    """Whether this is inside of :func:`undrawn`."""
    return bool(_undrawn.get())


def is_hollow() -> bool:
    """Whether this is inside of ``undrawn(hollow=True)``."""
    return _undrawn.get() == "hollow"


def filled(shape: tuple[int, ...], value: float, dtype: str = "float64") -> np.ndarray:
    """
    A NumPy array of one value.

    Examples
    --------
    >>> filled((2,), 1).tolist()
    [1.0, 1.0]
    """
    if _undrawn.get():
        return np.broadcast_to(np.zeros((), dtype), shape) if is_hollow() else np.zeros(shape, dtype)
    return np.full(shape, value, dtype=dtype)


def filters_last(w: np.ndarray) -> np.ndarray:
    """
    The same filters (O, C, KH, KW), in memory in the order (KH, KW, C, O).

    That is the matrix by which convolution multiplies windows: it need not be copied together at every step.

    Examples
    --------
    >>> filters_last(np.zeros((8, 3, 5, 5))).strides[0]
    8
    """
    if is_hollow():
        return w
    return np.ascontiguousarray(w.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
