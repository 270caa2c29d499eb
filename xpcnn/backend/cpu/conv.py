"""Convolution of tiles: by windows or by Winograd's filtering, whichever is expected to be faster for the size."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np

from .memory import empty
from .nodes import Node, Sums, Tile, row_of
from .norm import BatchNorm
from .sums import ones
from .windows import WindowConvolution
from .winograd import Winograd

__all__ = ["Convolution"]

Pair = tuple[int, int]

SPARED = 4  # numbers of outputs whose scaling is worth that of one weight, which lies further away


class _Shared(NamedTuple):
    """Weights as a pass multiplies by them, and the way to do it."""

    way: WindowConvolution | Winograd
    weights: Any
    bias: np.ndarray | None = None
    gain: np.ndarray | None = None  # what outputs are multiplied by


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

    Attributes
    ----------
    norm : BatchNorm or None
        What :meth:`folding` made a part of it.
    """

    needs_input = True
    norm: BatchNorm | None = None

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
        self.expects = {"weight": (filters, image[2], *kernel), "bias": (filters,)}
        self.winograd: Winograd | None = None
        if kernel == (3, 3) and stride == dilation == (1, 1) and max(border) <= 2:
            winograd = Winograd(image, filters, border, dtype)
            if winograd.cost < self.windows.cost:
                # the gradient at the input is the convolution of dy with filters turned by half a turn
                back = (2 - border[0], 2 - border[1], 2 - border[2], 2 - border[3])
                self.winograd, self.turned = winograd, Winograd(self.windows.output, image[2], back, dtype)
        usual = self.winograd or self.windows
        self.bytes, self.images = usual.bytes, usual.images

    @staticmethod
    def lacks(groups: int) -> str:
        """What keeps it from a convolution of so many groups, in a few words; nothing where it is made for that."""
        return "" if groups == 1 else f"groups={groups}"

    def folding(self, norm: BatchNorm) -> Convolution:
        """
        This convolution with the batch norm behind it as a part, for inference by running statistics.

        Then the norm is linear, ``y = gain * conv(x) + shift`` for each channel, so the filters take its gain, or the
        outputs do where these are fewer, and the bias its shift. Its arrays come as ``params["norm"]``.
        """
        both = copy.copy(self)
        both.norm, both.bytes = norm, max(self.bytes, norm.bytes)
        return both

    def way(self, samples: int) -> WindowConvolution | Winograd:
        """The way that is expected to be faster for so many images."""
        if self.winograd and samples * (self.windows.cost - self.winograd.cost) > self.winograd.cost_of_weights:
            return self.winograd
        return self.windows

    def describe(self, samples: int) -> str:
        text = self.way(samples).describe(samples)
        if self.norm is not None:
            where = "filters" if self._filters_take_gain(samples) else "outputs"
            return f"{text}, batch norm folded into {where} and bias"
        return text + (", bias added in the tile" if self.bias else "")

    def prepare(self, params: dict[str, Any], samples: int) -> _Shared:
        way, w, b, width = self.way(samples), params["weight"], params.get("bias"), self.out[1]
        gain = None
        if self.norm is not None:
            own = params["norm"]
            _, scale, shift = self.norm.line(own["running_mean"], own["running_var"], own)
            b = (shift if b is None else shift + scale * b).astype(self.dtype)
            scale = scale.astype(self.dtype)
            if self._filters_take_gain(samples):
                filters = w.transpose(2, 3, 1, 0)  # as they lie in memory
                w = np.multiply(filters, scale, out=empty(filters.shape, self.dtype)).transpose(3, 2, 0, 1)
            else:
                gain = row_of(scale, width)
        return _Shared(way, way.weights(w), None if b is None else row_of(b, width), gain)

    def _filters_take_gain(self, samples: int) -> bool:
        (kh, kw), pixels = self.windows.kernel, self.out[0] * self.out[1]
        return samples * pixels > SPARED * kh * kw * self.shape[2]

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
            if shared.gain is not None:
                rows *= shared.gain
            rows += shared.bias

    def backward(self, dy: Any, dx: Any, x: Any, y: Any, shared: _Shared, kept: Any, sums: Sums, first: int) -> None:
        if sums:
            shared.way.weight_gradient(x, dy, sums[0])
            if self.bias:
                rows = dy.reshape(-1, self.out[1] * self.out[2])
                np.matmul(ones(len(rows), self.dtype), rows, out=sums[1])
        if dx is None:
            return
        if isinstance(shared.way, Winograd):
            self.turned.forward(dy, shared.weights, dx, turned=True)
        else:
            shared.way.scatter(dy, shared.weights, dx)
