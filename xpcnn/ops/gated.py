"""
Activations that let x through a gate between 0 and 1 which x itself opens: ``y = x F(x)``, so ``y' = F(x) + x F'(x)``.

Far to the left F falls faster than x grows. There x is taken as -1000, where F is 0 in every dtype: minus infinity
gives 0, its limit, and no ``inf * 0``, which PyTorch answers with NaN. GELU is of the same family; see `ops/gelu.py`.
"""

from xpcnn.backend import Array, Namespace

from .activations import sigmoid
from .checks import check_gradient, common
from .elementwise import elementwise

__all__ = ["bounded", "hardswish", "hardswish_backward", "mish", "mish_backward", "silu", "silu_backward"]


def bounded(xp: Namespace, x: Array, limit: float = 1000.0) -> Array:
    """
    x, not beyond the limits; NaN stays NaN. (``xp.clip`` makes CuPy wait for the device.)

    Examples
    --------
    >>> import numpy as np
    >>> bounded(np, np.asarray([-np.inf, 2.0]), 3.0).tolist()
    [-3.0, 2.0]
    """
    return xp.minimum(xp.maximum(x, -limit), limit)


@elementwise
def silu(x: Array) -> Array:
    """
    ``y = x sigmoid(x)``, also called Swish.

    Source: Elfwing, Uchibe and Doya (2018), "Sigmoid-weighted linear units for neural network function approximation
    in reinforcement learning", equation 2.

    Examples
    --------
    >>> import numpy as np
    >>> silu(np.asarray([-np.inf, 0.0, 1e4])).tolist()
    [-0.0, 0.0, 10000.0]
    """
    xp = common("SiLU", x=x)
    return xp.maximum(x, -1000.0) * sigmoid(x)


@elementwise
def silu_backward(dy: Array, x: Array) -> Array:
    """
    ``dx = dy (s + x s (1 - s))`` with ``s = sigmoid(x)``, and ``s (1 - s) = e / (1 + e)^2`` with ``e = exp(-|x|)``.

    Examples
    --------
    >>> import numpy as np
    >>> silu_backward(np.ones(3), np.asarray([-1e4, 0.0, 1e4])).tolist()
    [0.0, 0.5, 1.0]
    """
    xp = common("SiLU", x=x, dy=dy)
    check_gradient("SiLU", dy, x.shape)
    e = xp.exp(-xp.abs(x))
    return dy * (sigmoid(x) + bounded(xp, x) * (e / ((1.0 + e) * (1.0 + e))))


@elementwise
def mish(x: Array) -> Array:
    """
    ``y = x tanh(softplus(x))``, with ``softplus(x) = log(1 + exp(x))``.

    Notes
    -----
    ``tanh(log u) = (u^2 - 1) / (u^2 + 1)`` with ``u = 1 + exp(x)`` leaves one exponential. Numerator and denominator
    are divided by exp(2 x) where x is positive, so that with ``e = exp(-|x|)`` nothing overflows or cancels::

        F = p / (p + r),    p = 1 + 2 e,     r = 2 e^2    for x >= 0
                            p = e^2 + 2 e,   r = 2        for x < 0

    Source: Misra (2019), "Mish: a self regularized non-monotonic activation function", equation 1.

    Examples
    --------
    >>> import numpy as np
    >>> mish(np.asarray([-np.inf, 0.0, 1e4])).tolist()
    [-0.0, 0.0, 10000.0]
    """
    xp = common("Mish", x=x)
    p, r = _mish_gate(xp, x)
    return xp.maximum(x, -1000.0) * (p / (p + r))


@elementwise
def mish_backward(dy: Array, x: Array) -> Array:
    """
    ``dx = dy (F + x (1 - F^2) sigmoid(x))`` with the F of :func:`mish`.

    Since ``tanh' = 1 - tanh^2`` and ``softplus' = sigmoid``. In p and r, ``1 - F^2 = r (2 p + r) / (p + r)^2``, which
    keeps its digits where F is nearly 1.

    Examples
    --------
    >>> import numpy as np
    >>> mish_backward(np.ones(3), np.asarray([-1e4, 0.0, 1e4])).round(12).tolist()
    [0.0, 0.6, 1.0]
    """
    xp = common("Mish", x=x, dy=dy)
    check_gradient("Mish", dy, x.shape)
    p, r = _mish_gate(xp, x)
    whole = p + r
    return dy * (p / whole + bounded(xp, x) * sigmoid(x) * (r * (p + whole) / (whole * whole)))


def _mish_gate(xp: Namespace, x: Array) -> tuple[Array, Array]:
    e = xp.exp(-xp.abs(x))
    right = xp.astype(x >= 0.0, x.dtype)
    left = 1.0 - right
    return 2.0 * e + (right + left * (e * e)), 2.0 * (left + right * (e * e))


@elementwise
def hardswish(x: Array) -> Array:
    """
    ``y = x min(max(x + 3, 0), 6) / 6``: SiLU with a gate of three straight lines.

    Source: Howard et al. (2019), "Searching for MobileNetV3", section 5.2.

    Examples
    --------
    >>> import numpy as np
    >>> hardswish(np.asarray([-4.0, 0.0, 1.5, 4.0])).tolist()
    [-0.0, 0.0, 1.125, 4.0]
    """
    xp = common("Hardswish", x=x)
    return xp.maximum(x, -3.0) * ((bounded(xp, x, 3.0) + 3.0) / 6.0)


@elementwise
def hardswish_backward(dy: Array, x: Array) -> Array:
    """
    ``dx = dy (x / 3 + 1 / 2)`` for ``-3 < x < 3``, 0 to the left, dy to the right; at the kinks as outside of them.

    Examples
    --------
    >>> import numpy as np
    >>> hardswish_backward(np.ones(5), np.asarray([-4.0, -3.0, 0.0, 3.0, 4.0])).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    xp = common("Hardswish", x=x, dy=dy)
    check_gradient("Hardswish", dy, x.shape)
    inside, right = xp.astype(xp.abs(x) < 3.0, x.dtype), xp.astype(x >= 3.0, x.dtype)
    return dy * (inside * (bounded(xp, x, 3.0) / 3.0 + 0.5) + right)
