"""Softmax layers; the mathematics is in :mod:`xpcnn.ops.softmax`."""

from typing import final

from xpcnn import ops
from xpcnn.backend import Array, is_array
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.settings import count

from .base import Cache, Cost, Layer

__all__ = ["LogSoftmax", "Softmax"]


@final
class Softmax(Layer):
    """
    Probabilities along one axis.

    For training leave it out and use `SoftmaxCrossEntropy`, which takes the scores themselves.

    Parameters
    ----------
    dim : int
        The axis that sums to one; 1 is the classes.

    Examples
    --------
    >>> import numpy as np
    >>> Softmax()(np.zeros((1, 2))).tolist()
    [[0.5, 0.5]]
    """

    narrow = ()  # what a loss takes

    def __init__(self, dim: int = 1) -> None:
        self.dim = _axis(type(self).__name__, count(self, "dim", dim, least=None))

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        _check_axis(x, type(self).__name__, self.dim)
        y = ops.softmax(x, self.dim)
        return y, self.keep(y, y) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (y,) = self.recall(dy, cache)
        return ops.softmax_backward(dy, y, self.dim), {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return _checked(type(self).__name__, input_shape, self.dim)

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(keeps_output=True)


@final
class LogSoftmax(Layer):
    """
    Logarithm of the probabilities along one axis, in nats.

    Parameters
    ----------
    dim : int
        The axis; 1 is the classes.

    Examples
    --------
    >>> import numpy as np
    >>> LogSoftmax()(np.asarray([[0.0, -1e4]])).tolist()
    [[0.0, -10000.0]]
    """

    narrow = ()  # what a loss takes

    def __init__(self, dim: int = 1) -> None:
        self.dim = _axis(type(self).__name__, count(self, "dim", dim, least=None))

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        _check_axis(x, type(self).__name__, self.dim)
        y = ops.log_softmax(x, self.dim)
        return y, self.keep(y, y) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (y,) = self.recall(dy, cache)
        return ops.log_softmax_backward(dy, y, self.dim), {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return _checked(type(self).__name__, input_shape, self.dim)

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(keeps_output=True)


def _axis(who: str, dim: int) -> int:
    if dim == 0:
        message = f"{who}: expected dim to be an axis other than the batch's, got {dim!r}"
        raise ConfigError(message)
    return dim


def _check_axis(x: Array, who: str, dim: int) -> None:
    """Raise unless the axis is there, and is not the batch's under a negative number."""
    if is_array(x) and x.ndim:
        _checked(who, tuple(x.shape[1:]), dim)


def _checked(who: str, input_shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    if not (1 <= dim <= len(input_shape) or -len(input_shape) <= dim < 0):
        message = f"{who}: expected x with an axis {dim}, got shape ('N', {', '.join(map(str, input_shape))})"
        raise ShapeError(message)
    return tuple(input_shape)
