"""Softmax and its logarithm, each with its backward pass below it."""

from xpcnn.backend import Array
from xpcnn.errors import ShapeError

from .checks import check_gradient, common

__all__ = ["log_softmax", "log_softmax_backward", "softmax", "softmax_backward"]


def _axis(who: str, shape: tuple[int, ...], dim: int) -> None:
    if not -len(shape) <= dim < len(shape) or 0 in shape:
        message = f"{who}: expected x with an axis {dim} and no empty axis, got shape {tuple(shape)}"
        raise ShapeError(message)


def softmax(x: Array, dim: int = 1) -> Array:
    """
    Probabilities from scores, along one axis.

    Parameters
    ----------
    x : array
    dim : int
        The axis over which the probabilities sum to one.

    Returns
    -------
    y : array, shape of `x`, in [0, 1]

    Notes
    -----
    ``y[k] = exp(x[k]) / sum_j exp(x[j])``. The largest score is subtracted first, which changes nothing in the
    quotient and keeps every exponent at most 0.

    Source: Bridle (1990), "Probabilistic interpretation of feedforward classification network outputs".

    Examples
    --------
    >>> import numpy as np
    >>> softmax(np.asarray([[1e4, 1e4]])).tolist()
    [[0.5, 0.5]]
    """
    xp = common("Softmax", x=x)
    _axis("Softmax", x.shape, dim)
    e = xp.exp(x - xp.max(x, axis=dim, keepdims=True))
    return e / xp.sum(e, axis=dim, keepdims=True)


def softmax_backward(dy: Array, y: Array, dim: int = 1) -> Array:
    """
    Gradient of :func:`softmax`, given ``dy = dL/dy`` and the layer's output.

    Notes
    -----
    ``dy[j]/dx[k] = y[j] (delta_jk - y[k])``, hence::

        dx[k] = sum_j dy[j] y[j] (delta_jk - y[k])    ->  dx = y * (dy - <dy, y>)

    Examples
    --------
    >>> import numpy as np
    >>> softmax_backward(np.asarray([[4.0, 0.0]]), np.asarray([[0.5, 0.5]])).tolist()
    [[1.0, -1.0]]
    """
    xp = common("Softmax", y=y, dy=dy)
    check_gradient("Softmax", dy, y.shape)
    return y * (dy - xp.sum(dy * y, axis=dim, keepdims=True))


def log_softmax(x: Array, dim: int = 1) -> Array:
    """
    Logarithm of :func:`softmax`, in nats.

    Notes
    -----
    ``y[k] = z[k] - log sum_j exp(z[j])`` with ``z = x - max x``. The order matters: ``x - (max + log sum)`` would lose
    the digits of small differences at large scores.

    Examples
    --------
    >>> import numpy as np
    >>> log_softmax(np.asarray([[0.0, -1e4]])).tolist()
    [[0.0, -10000.0]]
    """
    xp = common("LogSoftmax", x=x)
    _axis("LogSoftmax", x.shape, dim)
    z = x - xp.max(x, axis=dim, keepdims=True)
    return z - xp.log(xp.sum(xp.exp(z), axis=dim, keepdims=True))


def log_softmax_backward(dy: Array, y: Array, dim: int = 1) -> Array:
    """
    Gradient of :func:`log_softmax`, given ``dy = dL/dy`` and the layer's output.

    Notes
    -----
    ``dy[j]/dx[k] = delta_jk - exp(y[k])``, hence ``dx[k] = dy[k] - exp(y[k]) sum_j dy[j]``.

    Examples
    --------
    >>> import numpy as np
    >>> log_softmax_backward(np.asarray([[1.0, 0.0]]), np.log(np.asarray([[0.5, 0.5]]))).tolist()
    [[0.5, -0.5]]
    """
    xp = common("LogSoftmax", y=y, dy=dy)
    check_gradient("LogSoftmax", dy, y.shape)
    return dy - xp.exp(y) * xp.sum(dy, axis=dim, keepdims=True)
