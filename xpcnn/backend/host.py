"""Arrays made on the host, for layers that must not know NumPy: what a parameter or buffer starts from."""

import numpy as np

__all__ = ["filled", "filters_last"]


def filled(shape: tuple[int, ...], value: float, dtype: str = "float64") -> np.ndarray:
    """
    A NumPy array of one value.

    Examples
    --------
    >>> filled((2,), 1).tolist()
    [1.0, 1.0]
    """
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
    return np.ascontiguousarray(w.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
