"""The fully connected layer."""

from typing import final

from xpcnn import ops
from xpcnn.backend import Array, Key, filled
from xpcnn.ops.linear import check_features
from xpcnn.settings import count, flag

from . import initializers
from .base import Cache, Cost, Layer

__all__ = ["Linear"]


@final
class Linear(Layer):
    """
    Affine map ``y = x @ weight.T + bias``; the mathematics is in :func:`xpcnn.ops.linear`.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    init : str or callable
        Initializer of the weights, see :mod:`xpcnn.layers.initializers`. Biases start at zero.

    Attributes
    ----------
    params : ``weight`` of shape (O, I), ``bias`` of shape (O,)

    Raises
    ------
    ConfigError
        If a size is not positive.

    Examples
    --------
    >>> Linear(3, 2).output_shape((3,))
    (2,)
    """

    rectifies = True
    narrow = ("x", "params", "y")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: initializers.Initializer | str = "he_normal",
    ) -> None:
        self.in_features = count(self, "in_features", in_features)
        self.out_features = count(self, "out_features", out_features)
        self.bias = flag(self, "bias", bias)
        initializers.get(init)
        self.init = init

    def init_params(self, key: Key) -> dict[str, Array]:
        shape = (self.out_features, self.in_features)
        params = {"weight": initializers.get(self.init)(shape, key.child("weight"))}
        if self.bias:
            params["bias"] = filled((self.out_features,), 0.0)
        return params

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = ops.linear(x, self.params["weight"], self.params.get("bias"), relu=self.rectified)
        return y, self.keep(y, x, y if self.rectified else None) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        x, y = self.recall(dy, cache)
        if y is not None:
            dy = ops.relu_backward(dy, y)
        dx, dw, db = ops.linear_backward(dy, x, self.params["weight"])
        return dx, {"weight": dw, "bias": db} if self.bias else {"weight": dw}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_features((1, *input_shape), self.out_features, self.in_features)
        return (self.out_features,)

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(self.in_features * self.out_features, keeps_input=True)
