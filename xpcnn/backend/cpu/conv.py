"""Convolution of tiles: by windows or by Winograd's filtering, whichever is expected to be faster for the size."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .nodes import Node, Sums, Tile, row_of
from .sums import ones
from .windows import WindowConvolution
from .winograd import Winograd

__all__ = ["Convolution"]

Pair = tuple[int, int]


class _Shared(NamedTuple):
    """Weights as a pass multiplies by them, and the way to do it."""

    way: WindowConvolution | Winograd
    weights: Any
    bias: np.ndarray | None = None


class Convolution(Node):
    """
    See :func:`xpcnn.ops.conv2d`; one group.

    Parameters
    ----------
    image : (H, W, C)
    filters : int
    kernel, stride, dilation : pairs
    border : (top, bottom, left, right)
    bias : bool
    dtype : numpy.dtype
    """

    needs_input = True

    def __init__(
        self,
        image: tuple[int, int, int],
        filters: int,
        kernel: Pair,
        stride: Pair,
        dilation: Pair,
        border: tuple[int, int, int, int],
        bias: bool,
        dtype: np.dtype,
    ) -> None:
        self.windows = WindowConvolution(image, filters, kernel, stride, dilation, border, dtype)
        super().__init__(image, self.windows.output, dtype)
        self.bias = bias
        self.winograd: Winograd | None = None
        if kernel == (3, 3) and stride == dilation == (1, 1):
            winograd = Winograd(image, filters, border, dtype)
            if winograd.cost < self.windows.cost:
                self.winograd = winograd
        usual = self.winograd or self.windows
        self.bytes, self.images = usual.bytes, usual.images
        # The gradient at the input is the convolution of dy with the filters turned by half a turn, channels the other
        # way, if the stride is 1 and no more is padded than a filter covers; elsewhere windows are added up.
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        back = (reach[0] - border[0], reach[0] - border[1], reach[1] - border[2], reach[1] - border[3])
        self.turned: WindowConvolution | None = None
        self.turned_winograd: Winograd | None = None
        if stride == (1, 1) and min(back) >= 0 and kernel != (1, 1):
            out = self.windows.output
            self.turned = WindowConvolution(out, image[2], kernel, stride, dilation, back, dtype)
            if self.winograd:
                self.turned_winograd = Winograd(out, image[2], back, dtype)

    def way(self, samples: int) -> WindowConvolution | Winograd:
        """The way that is expected to be faster for so many images."""
        if self.winograd and samples * (self.windows.cost - self.winograd.cost) > self.winograd.cost_of_weights:
            return self.winograd
        return self.windows

    def describe(self, samples: int) -> str:
        return self.way(samples).describe(samples) + (", bias added in the tile" if self.bias else "")

    def prepare(self, params: dict[str, np.ndarray], samples: int) -> _Shared:
        way, b = self.way(samples), params.get("bias")
        return _Shared(way, way.weights(params["weight"]), None if b is None else row_of(b, self.out[1]))

    def turn(self, params: dict[str, np.ndarray], shared: _Shared) -> _Shared:
        if shared.way is self.winograd and self.turned_winograd:
            return shared
        if self.turned:
            turned = params["weight"][:, :, ::-1, ::-1].swapaxes(0, 1)
            return _Shared(shared.way, self.turned.weights(turned))
        return _Shared(shared.way, self.windows.weights(params["weight"]))

    def sums(self, shared: _Shared) -> list[tuple[tuple[int, ...], Any]]:
        row = [((self.out[1] * self.out[2],), self.dtype)] if self.bias else []
        return [(shared.way.gradient_shape(), self.dtype), *row]

    def finish(self, sums: Sums, shared: _Shared) -> dict[str, np.ndarray]:
        grads = {"weight": shared.way.filters_of(sums[0])}
        if self.bias:
            row = sums[1].reshape(self.out[1], self.out[2])
            grads["bias"] = np.add.reduce(row, axis=0, dtype=np.float64).astype(self.dtype)
        return grads

    def forward(self, x: np.ndarray, y: np.ndarray, shared: _Shared, kept: np.ndarray | None, tile: Tile) -> None:
        shared.way.forward(x, shared.weights, y)
        if shared.bias is not None:
            rows = y.reshape(-1, shared.bias.size)  # a row of pixels at a time: long runs are added faster
            rows += shared.bias

    def backward(self, dy: Any, dx: Any, x: Any, y: Any, shared: _Shared, kept: Any, sums: Sums, first: int) -> None:
        if sums:
            shared.way.weight_gradient(x, dy, sums[0])
            if self.bias:
                rows = dy.reshape(-1, self.out[1] * self.out[2])
                np.matmul(ones(len(rows), self.dtype), rows, out=sums[1])
        if dx is None:
            return
        if shared.way is self.winograd and self.turned_winograd:
            self.turned_winograd.forward(dy, shared.weights, dx, turned=True)
        elif self.turned:
            self.turned.forward(dy, shared.weights, dx)
        else:
            self.windows.scatter(dy, shared.weights, dx)
