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
