"""
Activations, each with its derivative below it.

All act on single entries, so the backward pass is one multiplication: ``dx[i] = f'(x[i]) dy[i]``. Where f' can be
written in y, the backward pass takes y: the next layer keeps that array anyway.

Cases are told apart by products with a mask, not by ``xp.where``: on a CPU that branches at every entry, and with signs
as good as random it takes more than ten times as long.
"""

from xpcnn.backend import Array, array_namespace

from .checks import check_gradient, common
from .elementwise import elementwise

__all__ = [
    "add_relu",
    "leaky_relu",
    "leaky_relu_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "tanh",
    "tanh_backward",
]


@elementwise
def relu(x: Array) -> Array:
    """
    Rectifier, ``y = max(x, 0)``; NaN stays NaN.

    Source: Nair and Hinton (2010), "Rectified linear units improve restricted Boltzmann machines".

    Examples
    --------
    >>> import numpy as np
    >>> relu(np.asarray([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return common("ReLU", x=x).maximum(x, 0.0)


@elementwise
def add_relu(a: Array, b: Array) -> Array:
    """
    Rectified sum, ``y = max(a + b, 0)``; its backward pass, at both, is :func:`relu_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> add_relu(np.asarray([-1.0, 2.0]), np.asarray([-2.0, 1.0])).tolist()
    [0.0, 3.0]
    """
    return array_namespace(a).maximum(a + b, 0.0)


@elementwise
def relu_backward(dy: Array, y: Array) -> Array:
    """
    ``dx = dy`` where ``y > 0``, else 0; at the kink 0, at NaN dy, as in PyTorch.

    Not as in PyTorch: an infinite dy at a zero gives NaN, since ``inf * 0`` is.

    Examples
    --------
    >>> import numpy as np
    >>> relu_backward(np.asarray([3.0, 3.0, 3.0]), relu(np.asarray([-1.0, 0.0, 2.0]))).tolist()
    [0.0, 0.0, 3.0]
    """
    xp = common("ReLU", y=y, dy=dy)
    check_gradient("ReLU", dy, y.shape)
    return dy * xp.astype(xp.logical_not(y <= 0.0), dy.dtype)


@elementwise
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """
    ``y = x`` where ``x > 0``, else ``negative_slope * x``.

    Source: Maas, Hannun and Ng (2013), equation 2.

    Examples
    --------
    >>> import numpy as np
    >>> leaky_relu(np.asarray([-1.0, 2.0]), 0.5).tolist()
    [-0.5, 2.0]
    """
    xp = common("LeakyReLU", x=x)
    return xp.maximum(x, 0.0) + xp.minimum(x, 0.0) * negative_slope


@elementwise
def leaky_relu_backward(dy: Array, x: Array, negative_slope: float = 0.01) -> Array:
    """
    ``dx = dy`` where ``x > 0``, else ``negative_slope * dy``; at the kink the slope, as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> leaky_relu_backward(np.asarray([2.0, 2.0]), np.asarray([0.0, 1.0]), 0.5).tolist()
    [1.0, 2.0]
    """
    xp = common("LeakyReLU", x=x, dy=dy)
    check_gradient("LeakyReLU", dy, x.shape)
    positive = xp.astype(x > 0.0, dy.dtype)
    return dy * (positive + (1.0 - positive) * negative_slope)


@elementwise
def sigmoid(x: Array) -> Array:
    """
    Logistic function, ``y = 1 / (1 + exp(-x))``, in (0, 1).

    For negative x as ``exp(x) / (1 + exp(x))``: the exponent never overflows, and small values keep their digits.

    Examples
    --------
    >>> import numpy as np
    >>> sigmoid(np.asarray([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    xp = common("Sigmoid", x=x)
    e = xp.exp(-xp.abs(x))
    return xp.maximum(e, xp.astype(x >= 0.0, x.dtype)) / (1.0 + e)  # e is at most 1


@elementwise
def sigmoid_backward(dy: Array, y: Array) -> Array:
    """
    ``dx = dy y (1 - y)``: with ``e = exp(-x)``, ``dy/dx = e / (1 + e)^2 = y (1 - y)``.

    As ``m - m^2`` with the smaller ``m = min(y, 1 - y)``, for the product is the same in y and 1 - y. ``1 - y`` is
    exact for y from 1/2, and where it is not, y is the smaller one: so m is never rounded.

    Examples
    --------
    >>> import numpy as np
    >>> sigmoid_backward(np.asarray([4.0]), np.asarray([0.5])).tolist()
    [1.0]
    """
    xp = common("Sigmoid", y=y, dy=dy)
    check_gradient("Sigmoid", dy, y.shape)
    m = xp.minimum(y, 1.0 - y)
    m -= m * m
    m *= dy
    return m


@elementwise
def tanh(x: Array) -> Array:
    """
    Hyperbolic tangent, in (-1, 1).

    Examples
    --------
    >>> import numpy as np
    >>> tanh(np.asarray([0.0])).tolist()
    [0.0]
    """
    return common("Tanh", x=x).tanh(x)


@elementwise
def tanh_backward(dy: Array, y: Array) -> Array:
    """
    ``dx = dy (1 - y^2)``.

    Examples
    --------
    >>> import numpy as np
    >>> tanh_backward(np.asarray([4.0]), np.asarray([0.5])).tolist()
    [3.0]
    """
    common("Tanh", y=y, dy=dy)
    check_gradient("Tanh", dy, y.shape)
    return dy * (1.0 - y * y)
