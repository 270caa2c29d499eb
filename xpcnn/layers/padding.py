"""Layers that put a border around images, or crop them."""

from collections.abc import Callable, Sequence
from typing import final

from xpcnn import ops
from xpcnn.backend import Array
from xpcnn.ops.geometry import plain
from xpcnn.ops.padding import padded_shape, sides

from .base import Cache, Layer

__all__ = ["ReflectionPad2d", "ReplicationPad2d", "ZeroPad2d"]

Sides = int | Sequence[int]


class _Pad(Layer):
    """A border of any kind: the ops know what is in it."""

    _op: Callable[[Array, Sides], Array]
    _op_backward: Callable[[Array, tuple[int, ...], Sides], Array]

    def __init__(self, padding: Sides) -> None:
        sides(type(self).__name__, padding)
        self.padding = plain(padding)

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = self._op(x, self.padding)
        return y, self.keep(y, tuple(x.shape)) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (shape,) = self.recall(dy, cache)
        return self._op_backward(dy, shape, self.padding), {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return padded_shape(type(self).__name__, (1, *input_shape), self.padding)[1:]


@final
class ZeroPad2d(_Pad):
    """
    Images in a frame of zeros; see :func:`xpcnn.ops.zero_pad2d`.

    Parameters
    ----------
    padding : int or four (left, right, top, bottom), pixels
        Negative numbers crop.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> ZeroPad2d((1, 2, 0, -4)).output_shape((16, 28, 28))
    (16, 24, 31)
    """

    narrow = ("x", "y")
    _op, _op_backward = staticmethod(ops.zero_pad2d), staticmethod(ops.zero_pad2d_backward)


@final
class ReflectionPad2d(_Pad):
    """
    Images continued by their mirror image; see :func:`xpcnn.ops.reflection_pad2d`.

    Parameters
    ----------
    padding : int or four (left, right, top, bottom), pixels
        Less than the image's width and height. Negative numbers crop.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> ReflectionPad2d(3).output_shape((3, 28, 28))
    (3, 34, 34)
    """

    _op, _op_backward = staticmethod(ops.reflection_pad2d), staticmethod(ops.reflection_pad2d_backward)


@final
class ReplicationPad2d(_Pad):
    """
    Images continued by their outermost pixels; see :func:`xpcnn.ops.replication_pad2d`.

    Parameters
    ----------
    padding : int or four (left, right, top, bottom), pixels
        Negative numbers crop.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> ReplicationPad2d((1, 1, 2, 2)).output_shape((3, 28, 28))
    (3, 32, 30)
    """

    _op, _op_backward = staticmethod(ops.replication_pad2d), staticmethod(ops.replication_pad2d_backward)
