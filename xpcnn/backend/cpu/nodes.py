"""
Layers as the tiles see them: images of one size, channels last, into memory that is there already.

A tile is a few samples, of shape (m, H, W, C) or (m, F). A node computes forward and backward on it; what a backward
pass needs is kept by the run for all samples (:mod:`xpcnn.backend.cpu.tiles`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpcnn.backend.random import philox_words

from .memory import scratch

__all__ = [
    "Dropout",
    "Flatten",
    "MaxPool",
    "MaxPoolPairs",
    "Node",
    "ReLU",
    "Tile",
    "channels_first",
    "channels_last",
    "row_of",
]

Sums = Sequence[np.ndarray]


def channels_last(x: Any) -> Any:
    """Images as they lie in memory, (N, H, W, C); rows as they are."""
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def channels_first(x: Any) -> Any:
    """Images as layers see them, (N, C, H, W); rows as they are."""
    return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x


class Tile:
    """
    What is known when a tile is worked on.

    Parameters
    ----------
    first : int
        Number of its first sample in the batch.
    train : bool
    key : Key, or None
        Of the layer's random draws, where it makes any.
    """

    __slots__ = ("first", "key", "train")

    def __init__(self, first: int, train: bool, key: Any) -> None:
        self.first, self.train, self.key = first, train, key


class Node(ABC):
    """
    One layer, for samples of one shape.

    Parameters
    ----------
    shape : tuple of int
        Of a sample that comes in: (H, W, C) or (F,).
    dtype : numpy.dtype

    Attributes
    ----------
    out : tuple of int
        Shape of a sample that goes out.
    in_place : bool
        Whether the output may lie where the input does.
    needs_input, needs_output : bool
        What the backward pass looks at.
    bytes : int
        Size of what is worked on for a sample.
    images : int
        Samples that a tile should have at least.
    expects : dict of str to tuple of int
        Shapes of its layer's parameters and buffers.
    whole : bool
        Whether it looks at the whole batch before the tiles go by, and once more behind them; only the first of a run.
    """

    images = 1
    whole = False
    in_place = False
    needs_input = False
    needs_output = False

    def __init__(self, shape: tuple[int, ...], out: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.out, self.dtype = shape, out, dtype
        self.expects: dict[str, tuple[int, ...]] = {}
        self.bytes = (math.prod(shape) + math.prod(out)) * dtype.itemsize

    @abstractmethod
    def describe(self, samples: int) -> str:
        """How so many samples are computed, in a few words."""

    def prepare(self, params: dict[str, np.ndarray], samples: int) -> Any:
        """What all tiles share, made of the layer's parameters."""
        return None

    def keeps(self) -> tuple[tuple[int, ...], np.dtype] | None:
        """Shape and dtype of what is kept of each sample for the backward pass, beside input and output."""
        return None

    def begin(self, x: np.ndarray, params: dict[str, np.ndarray], tiles: list[tuple[int, int]]) -> Any:
        """Of a `whole` one, instead of `prepare`: what all tiles share in both passes."""
        return None

    def end(  # noqa: B027  # most have nothing to do
        self, dy: np.ndarray, dx: np.ndarray, x: np.ndarray, shared: Any, sums: Sums, tiles: list[tuple[int, int]]
    ) -> None:
        """Of a `whole` one: write the gradient at the input into dx, once the sums are known."""

    def sums(self, shared: Any) -> list[tuple[tuple[int, ...], Any]]:
        """Shapes and dtypes of the sums over all samples that the backward pass makes."""
        return []

    def finish(self, sums: Sums, shared: Any) -> dict[str, np.ndarray]:
        """The gradients at the parameters, from the sums over all tiles."""
        return {}

    @abstractmethod
    def forward(self, x: np.ndarray, y: np.ndarray, shared: Any, kept: np.ndarray | None, tile: Tile) -> None:
        """Write the output for x into y."""

    @abstractmethod
    def backward(
        self,
        dy: np.ndarray,
        dx: np.ndarray | None,
        x: np.ndarray | None,
        y: np.ndarray | None,
        shared: Any,
        kept: np.ndarray | None,
        sums: Sums,
        first: int,
    ) -> None:
        """
        Write the gradient at the input into dx, and what the tile adds to the sums into `sums`.

        dx may lie where dy does if `in_place`. It is None where nobody wants it: at a node with parameters, below which
        nothing learns. The first sample of the tile has the number `first` in the batch.
        """


def row_of(values: np.ndarray, width: int) -> np.ndarray:
    """Numbers for each channel, repeated for a row of pixels: long runs are added faster than short ones."""
    row = np.empty((width, *values.shape), values.dtype)
    row[...] = values
    return row.reshape(-1)


class ReLU(Node):
    """See :func:`xpcnn.ops.relu`."""

    in_place = True
    needs_output = True

    def describe(self, samples: int) -> str:
        return "larger of x and 0"

    def forward(self, x: np.ndarray, y: np.ndarray, shared: Any, kept: np.ndarray | None, tile: Tile) -> None:
        np.maximum(x, 0.0, out=y)

    def backward(self, dy: Any, dx: Any, x: Any, y: Any, shared: Any, kept: Any, sums: Sums, first: int) -> None:
        on = scratch.empty("mask", y.shape, np.dtype(bool))
        np.not_equal(y, 0.0, out=on)  # it is at least 0, or NaN, which lets the gradient through
        np.multiply(dy, on, out=dx)


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


class Dropout(Node):
    """See :func:`xpcnn.ops.dropout`: the same bits for the same key."""

    in_place = True

    def __init__(self, shape: tuple[int, ...], p: float, dtype: np.dtype) -> None:
        super().__init__(shape, shape, dtype)
        self.p = p
        self.scale = 1.0 / (1.0 - p) if p < 1.0 else 0.0

    def describe(self, samples: int) -> str:
        return "mask drawn in the tile" if self.p else "nothing to drop"

    def keeps(self) -> tuple[tuple[int, ...], np.dtype] | None:
        return (self.out, np.dtype(bool)) if self.p else None

    def forward(self, x: np.ndarray, y: np.ndarray, shared: Any, kept: np.ndarray | None, tile: Tile) -> None:
        if kept is None:
            if x is not y:
                y[...] = x
            return
        count = math.prod(self.out)
        words = philox_words(np, x.size, tile.key, start=(tile.key.first + tile.first) * count)
        np.greater_equal(words.reshape(x.shape), round(self.p * 2**32), out=kept)
        self._mask(x, kept, y)

    def backward(self, dy: Any, dx: Any, x: Any, y: Any, shared: Any, kept: Any, sums: Sums, first: int) -> None:
        if kept is not None:
            self._mask(dy, kept, dx)
        elif dx is not dy:
            dx[...] = dy

    def _mask(self, a: np.ndarray, mask: np.ndarray, out: np.ndarray) -> None:
        np.multiply(a, mask, out=out)
        out *= self.scale


class Flatten(Node):
    """Images (H, W, C) as rows in the order (C, H, W)."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        super().__init__(shape, (math.prod(shape),), dtype)

    def describe(self, samples: int) -> str:
        return "copied to rows, channels first"

    def forward(self, x: np.ndarray, y: np.ndarray, shared: Any, kept: np.ndarray | None, tile: Tile) -> None:
        h, w, c = self.shape
        y.reshape(len(y), c, h, w)[...] = x.transpose(0, 3, 1, 2)

    def backward(self, dy: Any, dx: Any, x: Any, y: Any, shared: Any, kept: Any, sums: Sums, first: int) -> None:
        h, w, c = self.shape
        dx[...] = dy.reshape(len(dy), c, h, w).transpose(0, 2, 3, 1)
