"""
Differences of a loss along random directions, beside what its gradient gives.

One array is looked at at a time, since a large one would hide a small one's error, and in several random directions,
since an error can be orthogonal to one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from xpcnn.backend import Array, Key, array_namespace, device_like, normal

__all__ = ["EPSILON", "Difference", "described", "finite", "measured", "rounding"]

EPSILON = 1e-6
ROUNDING = 2e-15  # of a loss, as a share of the sum of its terms' sizes


@dataclass(frozen=True)
class Difference:
    """How far the gradient of one array is from differences, along the direction where it is farthest."""

    array: str
    shape: tuple[int, ...]
    direction: int
    got: float
    expected: float
    error: float  # infinity where something is no number


def measured(
    name: str,
    value: Array,
    gradient: Array,
    loss: Callable[[Array], float],
    directions: int,
    epsilon: float,
    floor: float,
    key: Key,
) -> Difference:
    """Compare the gradient of one array with differences of the loss; the worst direction."""
    xp, home = array_namespace(value), device_like(value)
    found = []
    for i in range(directions):
        d = home.asarray(normal(tuple(value.shape), key.child(f"{name}/{i}")))
        expected = (loss(value + d * epsilon) - loss(value - d * epsilon)) / (2.0 * epsilon)
        got, scale = float(xp.sum(gradient * d)), float(xp.sum(xp.abs(gradient * d)))
        error = finite(abs(got - expected) / (scale + floor))
        found.append(Difference(name, tuple(value.shape), i, got, expected, error))
    return max(found, key=lambda one: one.error)


def rounding(size: float, epsilon: float) -> float:
    """What rounding makes of a difference of sums whose terms have that size in all."""
    return ROUNDING * (1.0 + size) / epsilon


def finite(error: float) -> float:
    """The error; infinity for NaN, which would compare as small."""
    return math.inf if math.isnan(error) else error


def described(one: Difference, tolerance: float) -> str:
    """A wrong gradient, in words."""
    return (
        f"gradient of {one.array}, shape {one.shape}: along random direction {one.direction} "
        f"it gives {one.got:.9g}, differences give {one.expected:.9g}: "
        f"off by {one.error:.2g} of sum |g * d|, expected at most {tolerance:.2g}"
    )
