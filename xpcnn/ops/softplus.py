"""Softplus: a rectifier with a rounded corner."""

from xpcnn.backend import Array

from .activations import sigmoid
from .checks import check_gradient, common
from .elementwise import elementwise

__all__ = ["softplus", "softplus_backward"]


@elementwise
def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """
    ``y = log(1 + exp(beta x)) / beta``, and x itself where ``beta x > threshold``.

    Parameters
    ----------
    x : array
    beta : float, > 0
        How sharp the corner is.
    threshold : float, >= 0
        From there on the straight line, as in PyTorch; with the default it is off by 2e-9 at most.

    Notes
    -----
    As ``max(x, 0) + log(1 + exp(-beta |x|)) / beta``, of which no exponent overflows, and which keeps the digits of
    small values.

    Source: Dugas, Bengio, Belisle, Nadeau and Garcia (2001), "Incorporating second-order functional knowledge for
    better option pricing", section 3.

    Examples
    --------
    >>> import numpy as np
    >>> softplus(np.asarray([-1e4, 0.0, 1e4])).round(6).tolist()
    [0.0, 0.693147, 10000.0]
    """
    xp = common("Softplus", x=x)
    u = beta * x
    curved = xp.astype(xp.logical_not(u > threshold), x.dtype)
    return xp.maximum(x, 0.0) + curved * (xp.log1p(xp.exp(-xp.abs(u))) / beta)


@elementwise
def softplus_backward(dy: Array, x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """
    ``dx = dy sigmoid(beta x)``, and dy where ``beta x > threshold``.

    Examples
    --------
    >>> import numpy as np
    >>> softplus_backward(np.ones(3), np.asarray([-1e4, 0.0, 21.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    xp = common("Softplus", x=x, dy=dy)
    check_gradient("Softplus", dy, x.shape)
    u = beta * x
    return dy * xp.maximum(sigmoid(u), xp.astype(u > threshold, x.dtype))  # a sigmoid is at most 1
