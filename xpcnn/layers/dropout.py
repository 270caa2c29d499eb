"""Dropout layers."""

import math
from typing import final

from xpcnn import ops
from xpcnn.backend import Array, Key
from xpcnn.ops.checks import check_images, check_shape, common
from xpcnn.settings import number

from .base import Cache, Cost, Layer

__all__ = ["Dropout", "Dropout2d"]


@final
class Dropout(Layer):
    """
    Zero entries at random in training, and scale the others up; see :func:`xpcnn.ops.dropout`.

    Parameters
    ----------
    p : float, 0 to 1
        Chance of an entry to be dropped.

    Raises
    ------
    ConfigError
        If `p` is no probability.

    Notes
    -----
    What is dropped follows from the key that comes with the call. A model makes it of its seed, its step and the
    layer's name; a layer used alone draws the same mask each time, unless it is given ``key=Key(seed, step=...)``.

    Examples
    --------
    >>> import numpy as np
    >>> Dropout(0.5)(np.ones((1, 3))).tolist()
    [[1.0, 1.0, 1.0]]
    """

    narrow = ("x", "y")
    random = True

    def __init__(self, p: float = 0.5) -> None:
        self.p = number(self, "p, the chance to drop,", p, least=0, most=1)

    def forward(self, x: Array, *, train: bool = False, key: Key | None = None) -> tuple[Array, Cache | None]:
        common(type(self).__name__, x=x)
        check_shape(type(self).__name__, "x", x.shape, ("N", *"ABCDEFG"[: x.ndim - 1]))
        if not train:
            return x, None
        if self.p == 0.0:
            return x, self.keep(x, None)
        y, mask = ops.dropout(x, self.p, Key(0, "dropout") if key is None else key)
        return y, self.keep(y, mask)

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (mask,) = self.recall(dy, cache)
        return (dy if mask is None else ops.dropout_backward(dy, mask, self.p)), {}

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(extra=math.prod(input_shape) if self.p else 0)  # one byte an entry for the mask


@final
class Dropout2d(Layer):
    """
    Zero whole channels at random in training, and scale the others up; see :func:`xpcnn.ops.dropout2d`.

    Parameters
    ----------
    p : float, 0 to 1
        Chance of a channel of a sample to be dropped.

    Raises
    ------
    ConfigError
        If `p` is no probability.

    Notes
    -----
    For the key that decides what is dropped see `Dropout`.

    Examples
    --------
    >>> import numpy as np
    >>> y, _ = Dropout2d(0.5).forward(np.ones((2, 8, 3, 3)), train=True)
    >>> sorted(set(y.sum(axis=(2, 3)).ravel().tolist()))
    [0.0, 18.0]
    """

    narrow = ("x", "y")
    random = True

    def __init__(self, p: float = 0.5) -> None:
        self.p = number(self, "p, the chance to drop,", p, least=0, most=1)

    def forward(self, x: Array, *, train: bool = False, key: Key | None = None) -> tuple[Array, Cache | None]:
        common(type(self).__name__, x=x)
        check_images(type(self).__name__, x.shape)
        if not train:
            return x, None
        if self.p == 0.0:
            return x, self.keep(x, None)
        y, mask = ops.dropout2d(x, self.p, Key(0, "dropout") if key is None else key)
        return y, self.keep(y, mask)

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (mask,) = self.recall(dy, cache)
        return (dy if mask is None else ops.dropout2d_backward(dy, mask, self.p)), {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_images(type(self).__name__, (1, *input_shape))
        return tuple(input_shape)

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(extra=input_shape[0] if self.p else 0)  # one byte a channel for the mask
