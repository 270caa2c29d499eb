"""The layer between images and features."""

import math
from typing import final

from xpcnn.backend import Array
from xpcnn.ops.checks import check_shape, common

from .base import Cache, Layer

__all__ = ["Flatten"]


@final
class Flatten(Layer):
    """
    (N, C, H, W) to (N, C * H * W), in this order of axes whatever the memory's.

    Backward is the reshape back.

    Examples
    --------
    >>> Flatten().output_shape((32, 7, 7))
    (1568,)
    """

    narrow = ("x", "y")

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        who = type(self).__name__
        xp = common(who, x=x)
        check_shape(who, "x", x.shape, ("N", *"CHWDEFG"[: x.ndim - 1]))
        y = xp.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
        return y, self.keep(y, tuple(x.shape)) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (shape,) = self.recall(dy, cache)
        return common(type(self).__name__, dy=dy).reshape(dy, shape), {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (math.prod(input_shape),)
