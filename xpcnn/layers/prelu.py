"""The rectifier whose slope is learned; the mathematics is in :mod:`xpcnn.ops.prelu`."""

from typing import final

from xpcnn import ops
from xpcnn.backend import Array, Key, filled
from xpcnn.ops.prelu import check_channels
from xpcnn.settings import count, number

from .base import Cache, Cost, Layer

__all__ = ["PReLU"]


@final
class PReLU(Layer):
    """
    ``x`` where positive, ``weight * x`` elsewhere, with a slope that is learned; see :func:`xpcnn.ops.prelu`.

    Parameters
    ----------
    num_parameters : int
        1 for one slope, or the number C of channels for one each.
    init : float
        What the slopes start from.

    Attributes
    ----------
    params : ``weight`` of shape (num_parameters,)
        Leave weight decay off: it would make the slopes zero.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> PReLU()(np.asarray([[-1.0, 2.0]], dtype="float32")).tolist()
    [[-0.25, 2.0]]
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        self.num_parameters = count(self, "num_parameters", num_parameters)
        self.init = number(self, "init", init)

    def init_params(self, key: Key) -> dict[str, Array]:
        return {"weight": filled((self.num_parameters,), self.init)}

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = ops.prelu(x, self.params["weight"])
        return y, self.keep(y, x) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (x,) = self.recall(dy, cache)
        dx, dw = ops.prelu_backward(dy, x, self.params["weight"])
        return dx, {"weight": dw}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_channels((1, *input_shape), self.num_parameters)
        return tuple(input_shape)

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(keeps_input=True)
