"""Are these arrays the same?"""

import math
from collections.abc import Callable
from typing import Any

from xpcnn.backend import Array, array_namespace, device_of, is_array, library

__all__ = ["assert_close"]


def assert_close(actual: Array, desired: Array, *, rtol: float = 1e-7, atol: float = 0.0) -> None:
    """
    Demand that two arrays are the same: library, device, dtype, shape, then values.

    Parameters
    ----------
    actual, desired : arrays
    rtol, atol : float
        Largest difference is ``atol + rtol * |desired|``, entry by entry. NaN equals NaN.

    Raises
    ------
    AssertionError
        Naming the first thing that differs.

    Examples
    --------
    >>> import numpy as np
    >>> assert_close(np.asarray([1.0]), np.asarray([1.0 + 1e-9]))
    >>> assert_close(np.asarray([1.0]), np.asarray([1.0], dtype="float32"))
    Traceback (most recent call last):
        ...
    AssertionError: expected dtype float32, got float64
    """
    for a in (actual, desired):
        if not is_array(a):
            message = f"expected arrays, got {type(a).__module__}.{type(a).__qualname__}"
            raise AssertionError(message)
    things: tuple[tuple[str, Callable[[Array], Any]], ...] = (
        ("library", library),
        ("device", device_of),
        ("dtype", lambda a: a.dtype),
        ("shape", lambda a: tuple(a.shape)),
    )
    for name, of in things:
        if of(actual) != of(desired):
            message = f"expected {name} {of(desired)}, got {of(actual)}"
            raise AssertionError(message)
    xp = array_namespace(actual)
    equal = actual == desired
    if xp.isdtype(actual.dtype, "real floating"):
        equal = xp.logical_or(equal, xp.logical_and(actual != actual, desired != desired))
        # where both are the same infinity the difference would be NaN
        difference = xp.where(equal, xp.zeros_like(actual), actual) - xp.where(equal, xp.zeros_like(desired), desired)
        close = xp.abs(difference) <= atol + rtol * xp.abs(desired)
        equal = xp.logical_or(equal, xp.logical_and(close, xp.isfinite(desired)))
    wrong = math.prod(actual.shape) - int(xp.count_nonzero(equal))
    if wrong:
        message = f"{wrong} of {math.prod(actual.shape)} entries differ (rtol={rtol}, atol={atol})"
        if xp.isdtype(actual.dtype, "real floating"):
            message += f", by at most {float(xp.max(xp.abs(difference))):.3g}"
        raise AssertionError(message)
