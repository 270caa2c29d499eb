"""Max pooling of tiles without a border: of any windows, and of 2x2 windows side by side."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .memory import scratch
from .nodes import Node, Sums, Tile

__all__ = ["MaxPool", "MaxPoolPairs"]


class MaxPool(Node):
    """
    Pooling without border; see :func:`xpcnn.ops.max_pool2d`.

    What is kept is the position of the maximum in its window, a byte for each output.
    """

    largest = 256  # entries of a window whose places are bytes

    def __init__(
        self, shape: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int], dtype: np.dtype
    ) -> None:
        h, w, c = shape
        self.rows, self.width = (h - kernel[0]) // stride[0] + 1, (w - kernel[1]) // stride[1] + 1
        super().__init__(shape, (self.rows, self.width, c), dtype)
        self.kernel, self.stride = kernel, stride
        self.apart = kernel[0] <= stride[0] and kernel[1] <= stride[1]  # no entry is in two windows
        self.covers = kernel == stride and h % kernel[0] == 0 and w % kernel[1] == 0  # each entry is in one

    @classmethod
    def lacks(cls, kernel: tuple[int, int], dilation: tuple[int, int]) -> str:
        """What keeps it from windows of that kind, in a few words; nothing where it is made for them."""
        if dilation != (1, 1):
            return f"dilation={dilation[0] if dilation[0] == dilation[1] else dilation}"
        return f"windows of more than {cls.largest} entries" if math.prod(kernel) > cls.largest else ""

    def describe(self, samples: int) -> str:
        return f"largest of {math.prod(self.kernel)} shifted images"

    def keeps(self) -> tuple[tuple[int, ...], np.dtype]:
        return self.out, np.dtype(np.uint8)

    def _taps(self, x: np.ndarray) -> list[np.ndarray]:
        (kh, kw), (sh, sw) = self.kernel, self.stride
        down, across = sh * (self.rows - 1) + 1, sw * (self.width - 1) + 1
        return [x[:, i : i + down : sh, j : j + across : sw] for i in range(kh) for j in range(kw)]

    def forward(self, x: np.ndarray, y: np.ndarray, shared: Any, kept: np.ndarray | None, tile: Tile) -> None:
        first, *others = self._taps(x)
        if kept is None:
            if not others:
                y[...] = first
                return
            np.maximum(first, others[0], out=y)
            for entry in others[1:]:
                np.maximum(y, entry, out=y)
            return
        y[...] = first
        better, place = scratch.empty("mask", y.shape, np.dtype(bool)), scratch.empty("place", y.shape, kept.dtype)
        kept[...] = 0
        for t, entry in enumerate(others, start=1):
            np.greater(entry, y, out=better)
            np.maximum(y, entry, out=y)
            # the later one of equal places never wins, so the largest number is the last change
            np.multiply(better.view(np.uint8), np.uint8(t), out=place)
            np.maximum(kept, place, out=kept)
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.add.reduce(y, axis=None)
        if not math.isfinite(float(total)):
            self._repair(first, others, kept)

    def _repair(self, first: np.ndarray, others: list[np.ndarray], kept: np.ndarray) -> None:
        """With NaN among the entries, which no comparison finds: the last one wins, as in the op."""
        y = first.copy()
        kept[...] = 0
        for t, entry in enumerate(others, start=1):
            kept[(entry > y) | (entry != entry)] = t
            np.maximum(y, entry, out=y)

    def backward(self, dy: Any, dx: Any, x: Any, y: Any, shared: Any, kept: Any, sums: Sums, first: int) -> None:
        if not (self.apart and self.covers):
            dx[...] = 0.0
        here = scratch.empty("mask", dy.shape, np.dtype(bool))
        share = None if self.apart else scratch.empty("place", dy.shape, self.dtype)
        for t, into in enumerate(self._taps(dx)):
            np.equal(kept, t, out=here)
            if share is None:
                np.multiply(dy, here, out=into)
            else:
                np.multiply(dy, here, out=share)
                into += share


class MaxPoolPairs(Node):
    """
    Pooling of 2x2 windows side by side: the larger of two columns, then the larger of two rows.

    With fewer and longer operations than `MaxPool`. What is kept is whether the right one was larger in each pair of
    columns, and the lower one in each pair of rows; so of equal entries the first one wins, as in the op.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        h, w, c = shape
        self.rows, self.width = h // 2, w // 2
        super().__init__(shape, (self.rows, self.width, c), dtype)

    def describe(self, samples: int) -> str:
        return "larger of two columns, then of two rows"

    def keeps(self) -> tuple[tuple[int, ...], np.dtype]:
        return (3 * self.rows, self.width, self.out[2]), np.dtype(bool)

    def _columns(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = x[:, : 2 * self.rows, : 2 * self.width]
        return inside[:, :, ::2], inside[:, :, 1::2]

    def forward(self, x: np.ndarray, y: np.ndarray, shared: Any, kept: np.ndarray | None, tile: Tile) -> None:
        left, right = self._columns(x)
        larger = scratch.empty("larger", left.shape, self.dtype)
        upper, lower = larger[:, ::2], larger[:, 1::2]
        np.maximum(left, right, out=larger)
        np.maximum(upper, lower, out=y)
        if kept is None:
            return
        np.greater(right, left, out=kept[:, : 2 * self.rows])
        np.greater(lower, upper, out=kept[:, 2 * self.rows :])
        flat = y.reshape(-1)
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.dot(flat, flat)
        if not math.isfinite(float(total)):
            self._repair(right, lower, kept)

    def _repair(self, right: np.ndarray, lower: np.ndarray, kept: np.ndarray) -> None:
        """With NaN among the entries, which no comparison finds: the last one wins, as in the op."""
        kept[:, : 2 * self.rows] |= np.isnan(right)
        kept[:, 2 * self.rows :] |= np.isnan(lower)
        # a NaN on the left or above wins already, unless what stands behind it seems larger: nothing is larger than NaN

    def backward(self, dy: Any, dx: Any, x: Any, y: Any, shared: Any, kept: Any, sums: Sums, first: int) -> None:
        left, right = self._columns(dx)
        if self.shape[0] % 2 or self.shape[1] % 2:
            dx[...] = 0.0
        both = scratch.empty("larger", left.shape, self.dtype)
        to_right, to_lower = kept[:, : 2 * self.rows], kept[:, 2 * self.rows :]
        other = scratch.empty("mask", to_right.shape, np.dtype(bool))
        upper = other[:, : self.rows]
        np.logical_not(to_lower, out=upper)
        np.multiply(dy, upper, out=both[:, ::2])
        np.multiply(dy, to_lower, out=both[:, 1::2])
        np.logical_not(to_right, out=other)
        np.multiply(both, other, out=left)
        np.multiply(both, to_right, out=right)
