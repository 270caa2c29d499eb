"""The dropout layer."""

import math
from typing import final

from xpcnn import ops
from xpcnn.backend import Array, Key
from xpcnn.ops.checks import check_shape, common
from xpcnn.settings import number

from .base import Cache, Cost, Layer

__all__ = ["Dropout"]


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
