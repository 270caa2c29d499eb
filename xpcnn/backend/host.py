"""Arrays made on the host, for layers that must not know NumPy: what a parameter or buffer starts from."""

import numpy as np

__all__ = ["filled"]


def filled(shape: tuple[int, ...], value: float, dtype: str = "float64") -> np.ndarray:
    """
    A NumPy array of one value.

    Examples
    --------
    >>> filled((2,), 1).tolist()
    [1.0, 1.0]
    """
    return np.full(shape, value, dtype=dtype)
