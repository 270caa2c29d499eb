"""
What becomes of many values: their mean, their sum, or nothing.

The gradient that goes with "none" is that of the sum: each entry has the derivative of its own value.
"""

import math

from xpcnn.backend import Array, Namespace, array_namespace
from xpcnn.errors import ConfigError
from xpcnn.settings import like

__all__ = ["REDUCTIONS", "check_reduction", "of_entries", "of_samples", "share"]

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(who: object, reduction: str) -> str:
    """
    The reduction, if it is one of the three; ConfigError otherwise.

    Examples
    --------
    >>> check_reduction("MSE", "sum")
    'sum'
    """
    if isinstance(reduction, str) and reduction in REDUCTIONS:
        return reduction
    name = who if isinstance(who, str) else type(who).__name__
    message = f"{name}: expected reduction to be 'mean', 'sum' or 'none', got {reduction!r}"
    raise ConfigError(message + like(reduction, REDUCTIONS))


def of_entries(values: Array, reduction: str) -> Array:
    """Values that all count the same, reduced; the gradient is to be multiplied by :func:`share`."""
    xp = array_namespace(values)
    if reduction == "none":
        return values
    return _rounded(xp, _sum(values) * share(values, reduction), values)


def share(values: Array, reduction: str) -> float:
    """
    What part of the reduced value each entry is.

    Examples
    --------
    >>> import numpy as np
    >>> share(np.zeros((2, 4)), "mean"), share(np.zeros((2, 4)), "sum")
    (0.125, 1.0)
    """
    return 1.0 / math.prod(values.shape) if reduction == "mean" else 1.0


def of_samples(
    xp: Namespace, values: Array, gradient: Array, reduction: str, total: Array | float
) -> tuple[Array, Array]:
    """Values of samples and their gradients, reduced; the mean divides by `total`, and is NaN where that is 0."""
    if reduction == "none":
        return values, gradient
    value = _sum(values)
    if reduction == "sum":
        return _rounded(xp, value, values), gradient
    if isinstance(total, float):
        return _rounded(xp, value / total, values), gradient * (1.0 / total)
    some = xp.where(total == 0.0, 1.0, total)  # with nothing counted the gradient is 0
    value = value / xp.where(total == 0.0, xp.nan, xp.astype(total, xp.float64))
    return _rounded(xp, value, values), gradient / some


def _sum(values: Array) -> Array:
    """In float64: one number, in which a float32 sum's rounding would be all of the error."""
    xp = array_namespace(values)
    return xp.sum(values, dtype=xp.float64)


def _rounded(xp: Namespace, value: Array, like: Array) -> Array:
    return xp.astype(xp.asarray(value), like.dtype)  # NumPy's sums are scalars
