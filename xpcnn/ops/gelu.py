"""
GELU: x times the chance that a standard normal number is below it, ``y = x Phi(x)``, and ``y' = Phi(x) + x phi(x)``.

Phi is computed without the cancellation in ``(1 + erf(x / sqrt(2))) / 2``, which leaves no digits from about -8 down.
"""

import math

from xpcnn.backend import Array, Namespace
from xpcnn.errors import ConfigError

from .activations import sigmoid
from .checks import check_gradient, common
from .elementwise import elementwise
from .erfcx import erfcx
from .gated import bounded

__all__ = ["gelu", "gelu_backward", "gelu_variant"]

_FAR = 40.0  # exp(-40^2 / 2) is 0 in every dtype


def gelu_variant(approximate: str) -> str:
    """
    The name of a variant, if it is one.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> gelu_variant("tanh")
    'tanh'
    """
    if approximate in ("none", "tanh"):
        return approximate
    message = f"GELU: expected approximate to be 'none' or 'tanh', got {approximate!r}"
    raise ConfigError(message)


@elementwise
def gelu(x: Array, approximate: str = "none") -> Array:
    """
    Gaussian error linear unit, ``y = x Phi(x)``.

    Parameters
    ----------
    x : array
    approximate : {"none", "tanh"}
        How Phi is computed; see the notes.

    Returns
    -------
    y : array, shape of `x`

    Notes
    -----
    ::

        "none":  Phi(x) = P(X <= x) for a standard normal X = (1 + erf(x / sqrt(2))) / 2
        "tanh":  Phi(x) = (1 + tanh u) / 2 = sigmoid(2 u),    u = sqrt(2 / pi) (x + 0.044715 x^3)

    With ``a = |x|`` the chance to lie beyond a is ``Q = exp(-a^2 / 2) erfcx(a / sqrt(2)) / 2``; Phi is Q to the left of
    zero and 1 - Q to the right.

    Source: Hendrycks and Gimpel (2016), "Gaussian error linear units (GELUs)", section 2.

    Examples
    --------
    >>> import numpy as np
    >>> gelu(np.asarray([-np.inf, 0.0, 1.0, 1e4])).round(12).tolist()
    [-0.0, 0.0, 0.841344746069, 10000.0]
    """
    xp = common("GELU", x=x)
    return xp.maximum(x, -_FAR) * _chance(xp, bounded(xp, x, _FAR), gelu_variant(approximate))


@elementwise
def gelu_backward(dy: Array, x: Array, approximate: str = "none") -> Array:
    """
    Gradient of :func:`gelu`, given ``dy = dL/dy``: ``dx = dy (Phi(x) + x phi(x))``.

    Notes
    -----
    The density phi is the derivative of Phi. With s = sigmoid(2 u)::

        "none":  phi(x) = exp(-x^2 / 2) / sqrt(2 pi)
        "tanh":  phi(x) = 2 u' s (1 - s),    u' = sqrt(2 / pi) (1 + 3 * 0.044715 x^2)

    Examples
    --------
    >>> import numpy as np
    >>> gelu_backward(np.ones(3), np.asarray([-1e4, 0.0, 1e4])).tolist()
    [0.0, 0.5, 1.0]
    """
    xp = common("GELU", x=x, dy=dy)
    check_gradient("GELU", dy, x.shape)
    x = bounded(xp, x, _FAR)
    return dy * (_chance(xp, x, gelu_variant(approximate)) + x * _density(xp, x, approximate))


_SLOPE = 2.0 * math.sqrt(2.0 / math.pi)  # of 2 u at 0
_CUBE = 0.044715


def _chance(xp: Namespace, x: Array, approximate: str) -> Array:
    """Phi of numbers from -40 to 40."""
    if approximate == "tanh":
        return sigmoid(_SLOPE * x * (1.0 + _CUBE * (x * x)))
    beyond = 0.5 * xp.exp(-0.5 * (x * x)) * erfcx(math.sqrt(0.5) * xp.abs(x))
    right = xp.astype(x >= 0.0, x.dtype)
    return right + (1.0 - 2.0 * right) * beyond


def _density(xp: Namespace, x: Array, approximate: str) -> Array:
    """The derivative of Phi."""
    square = x * x
    if approximate == "tanh":
        e = xp.exp(-_SLOPE * xp.abs(x) * (1.0 + _CUBE * square))
        return _SLOPE * (1.0 + 3.0 * _CUBE * square) * (e / ((1.0 + e) * (1.0 + e)))
    return math.sqrt(0.5 / math.pi) * xp.exp(-0.5 * square)
