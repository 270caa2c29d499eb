"""
Bases of the layers that act on each entry by itself.

Each keeps the array that its derivative is written in: y where that is short, since the next layer keeps it anyway,
else x. The constructor's arguments are those of the op.
"""

from collections.abc import Callable

from xpcnn.backend import Array

from .base import Cache, Cost, Layer

__all__ = ["KeepsInput", "KeepsOutput"]


class KeepsInput(Layer):
    """An activation whose derivative is a function of x."""

    _op: Callable[..., Array]
    _op_backward: Callable[..., Array]

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = self._op(x, **self.config())
        return y, self.keep(y, x) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (x,) = self.recall(dy, cache)
        return self._op_backward(dy, x, **self.config()), {}

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(keeps_input=True)


class KeepsOutput(Layer):
    """An activation whose derivative is a function of y."""

    _op: Callable[..., Array]
    _op_backward: Callable[..., Array]

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = self._op(x, **self.config())
        return y, self.keep(y, y) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (y,) = self.recall(dy, cache)
        return self._op_backward(dy, y, **self.config()), {}

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(keeps_output=True)
