"""Convolution of tiles: by windows or by Winograd's filtering, whichever is expected to be faster for the size."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .nodes import Node, Sums, Tile
from .sums import ones
from .windows import WindowConvolution
from .winograd import Winograd

__all__ = ["Convolution"]

Pair = tuple[int, int]


@functools.lru_cache(maxsize=1024)
def plan(
    image: tuple[int, int, int],
    filters: int,
    kernel: Pair,
    stride: Pair,
    dilation: Pair,
    border: tuple[int, int, int, int],
    dtype: np.dtype,
) -> WindowConvolution | Winograd:
    """The way that is expected to be the fastest."""
    by_windows = WindowConvolution(image, filters, kernel, stride, dilation, border, dtype)
    if kernel != (3, 3) or stride != (1, 1) or dilation != (1, 1):
        return by_windows
    by_winograd = Winograd(image, filters, border, dtype)
    return by_winograd if by_winograd.cost < by_windows.cost else by_windows


class _Shared(NamedTuple):
    """Weights as a pass multiplies by them."""

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
        self.image = image
        self.plan = plan(image, filters, kernel, stride, dilation, border, dtype)
        super().__init__(image, self.plan.output, dtype)
        self.bias = bias
        self.bytes, self.images = self.plan.bytes, self.plan.images
        # The gradient at the input is the convolution of dy with the filters turned by half a turn, channels the other
        # way, if the stride is 1 and no more is padded than a filter covers; elsewhere windows are added up.
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        back = (reach[0] - border[0], reach[0] - border[1], reach[1] - border[2], reach[1] - border[3])
        self.turned: WindowConvolution | Winograd | None = None
        if stride == (1, 1) and min(back) >= 0 and kernel != (1, 1):
            if isinstance(self.plan, Winograd):
                self.turned = Winograd(self.plan.output, image[2], back, dtype)
            else:
                self.turned = WindowConvolution(self.plan.output, image[2], kernel, stride, dilation, back, dtype)

    def prepare(self, params: dict[str, np.ndarray]) -> _Shared:
        b = params.get("bias")
        return _Shared(self.plan.weights(params["weight"]), None if b is None else np.tile(b, self.out[1]))

    def turn(self, params: dict[str, np.ndarray], shared: _Shared) -> _Shared:
        w = params["weight"]
        if isinstance(self.turned, Winograd) or (self.turned is None and isinstance(self.plan, WindowConvolution)):
            return shared
        if self.turned is not None:
            return _Shared(self.turned.weights(w[:, :, ::-1, ::-1].swapaxes(0, 1)))
        return _Shared(self._windows.weights(w))

    @functools.cached_property
    def _windows(self) -> WindowConvolution:
        """Where the forward pass goes by Winograd, and too much is padded for the backward pass to do so."""
        if isinstance(self.plan, WindowConvolution):
            return self.plan
        return WindowConvolution(self.image, self.out[2], (3, 3), (1, 1), (1, 1), self.plan.given_border, self.dtype)

    def sums(self) -> list[tuple[tuple[int, ...], Any]]:
        row = [((self.out[1] * self.out[2],), self.dtype)] if self.bias else []
        return [(self.plan.gradient_shape(), self.dtype), *row]

    def finish(self, sums: Sums, shared: Any) -> dict[str, np.ndarray]:
        grads = {"weight": self.plan.filters_of(sums[0])}
        if self.bias:
            row = sums[1].reshape(self.out[1], self.out[2])
            grads["bias"] = np.add.reduce(row, axis=0, dtype=np.float64).astype(self.dtype)
        return grads

    def forward(self, x: np.ndarray, y: np.ndarray, shared: _Shared, kept: np.ndarray | None, tile: Tile) -> None:
        self.plan.forward(x, shared.weights, y)
        if shared.bias is not None:
            rows = y.reshape(-1, shared.bias.size)  # a row of pixels at a time: long runs are added faster
            rows += shared.bias

    def backward(
        self, dy: Any, dx: Any, x: Any, y: Any, shared: _Shared, kept: Any, sums: Sums
    ) -> None:
        if sums:
            self.plan.weight_gradient(x, dy, sums[0])
            if self.bias:
                rows = dy.reshape(-1, self.out[1] * self.out[2])
                np.matmul(ones(len(rows), self.dtype), rows, out=sums[1])
        if dx is None:
            return
        if isinstance(self.turned, Winograd):
            self.turned.forward(dy, shared.weights, dx, turned=True)
        elif self.turned is not None:
            self.turned.forward(dy, shared.weights, dx)
        else:
            self._windows.scatter(dy, shared.weights, dx)
