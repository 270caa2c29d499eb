"""The layer normalization layer."""

import math
from collections.abc import Sequence
from typing import final

from xpcnn import ops
from xpcnn.backend import Array, Key, filled
from xpcnn.errors import ConfigError
from xpcnn.ops.layer_norm import check_last_axes
from xpcnn.settings import flag, integer, number, shape

from .base import Cache, Cost, Layer
from .norm import standardized_cost

__all__ = ["LayerNorm"]


@final
class LayerNorm(Layer):
    """
    Normalize each sample over its last axes; see :func:`xpcnn.ops.layer_norm`.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Sizes of the axes that are normalized together: the last ones of x (N, ...), never the batch's.
    eps : float, > 0
        Added to the variance, inside the root.
    elementwise_affine : bool
        Learn a scale, and a shift, for each place.
    bias : bool
        Whether there is a shift; without `elementwise_affine` there is none.

    Attributes
    ----------
    params : ``weight``, ``bias`` of shape `normalized_shape`

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> LayerNorm((16, 8, 8)).output_shape((16, 8, 8))
    (16, 8, 8)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        one = integer(normalized_shape)
        sizes = shape(self, "normalized_shape", normalized_shape if one is None else (one,))
        self.normalized_shape = list(sizes)  # no tuple: a pair of equal numbers would be printed as one
        if not self.normalized_shape:
            message = f"LayerNorm: expected normalized_shape to name at least one axis, got {normalized_shape!r}"
            raise ConfigError(message)
        self.eps = number(self, "eps", eps, above=0)
        self.elementwise_affine = flag(self, "elementwise_affine", elementwise_affine)
        self.bias = flag(self, "bias", bias)

    def init_params(self, key: Key) -> dict[str, Array]:
        sizes = tuple(self.normalized_shape)
        start = {"weight": 1.0, "bias": 0.0} if self.bias else {"weight": 1.0}
        return {name: filled(sizes, value) for name, value in start.items()} if self.elementwise_affine else {}

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        w, b = self.params.get("weight"), self.params.get("bias")
        y, state = ops.layer_norm(x, tuple(self.normalized_shape), w, b, eps=self.eps)
        return y, self.keep(y, state) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (state,) = self.recall(dy, cache)
        dx, dw, db = ops.layer_norm_backward(dy, state, tuple(self.normalized_shape), self.params.get("weight"))
        grads = {"weight": dw, "bias": db}
        return dx, {name: grads[name] for name in self.params}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_last_axes((1, *input_shape), tuple(self.normalized_shape))
        return tuple(input_shape)

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        rows = math.prod(input_shape) // math.prod(self.normalized_shape)
        return standardized_cost(input_shape, rows, itemsize, self.elementwise_affine)
