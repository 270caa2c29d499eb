"""The local response normalization layer."""

import math
from typing import final

from xpcnn import ops
from xpcnn.backend import Array
from xpcnn.ops.local_response_norm import check_response
from xpcnn.settings import count, number

from .base import Cache, Cost, Layer

__all__ = ["LocalResponseNorm"]


@final
class LocalResponseNorm(Layer):
    """
    Damp each number by the energy of the channels around it; see :func:`xpcnn.ops.local_response_norm`.

    Parameters
    ----------
    size : int
        Channels in the window.
    alpha : float, >= 0
        Weight of the window's mean square.
    beta : float
        Power of the energy.
    k : float, > 0
        Added to the energy, which so is never zero.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> LocalResponseNorm(5).output_shape((16, 8, 8))
    (16, 8, 8)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size = count(self, "size", size)
        self.alpha = number(self, "alpha", alpha, least=0)
        self.beta = number(self, "beta", beta)
        self.k = number(self, "k", k, above=0)

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y, energy = ops.local_response_norm(x, **self.config())
        return y, self.keep(y, x, energy) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        x, energy = self.recall(dy, cache)
        return ops.local_response_norm_backward(dy, x, energy, self.size, self.alpha, self.beta), {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_response((1, *input_shape))
        return tuple(input_shape)

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(keeps_input=True, extra=math.prod(input_shape) * itemsize)
