"""The layer that is a product of two matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from .nodes import Node, Sums, Tile
from .products import matmul
from .sums import ones

__all__ = ["Linear"]


class Linear(Node):
    """
    See :func:`xpcnn.ops.linear`.

    Parameters
    ----------
    features, outputs : int
    bias : bool
    dtype : numpy.dtype
    """

    needs_input = True

    def __init__(self, features: int, outputs: int, bias: bool, dtype: np.dtype) -> None:
        super().__init__((features,), (outputs,), dtype)
        self.bias = bias
        self.expects = {"weight": (outputs, features), "bias": (outputs,)}

    def describe(self, samples: int) -> str:
        return "a matrix product" + (", bias added in the tile" if self.bias else "")

    def prepare(self, params: dict[str, np.ndarray], samples: int) -> dict[str, np.ndarray]:
        return params

    def sums(self, shared: Any) -> list[tuple[tuple[int, ...], Any]]:
        row = [(self.out, self.dtype)] if self.bias else []
        return [((*self.out, *self.shape), self.dtype), *row]

    def finish(self, sums: Sums, shared: Any) -> dict[str, np.ndarray]:
        return dict(zip(("weight", "bias"), sums, strict=False))

    def forward(self, x: np.ndarray, y: np.ndarray, shared: Any, kept: np.ndarray | None, tile: Tile) -> None:
        matmul(x, shared["weight"].T, y)
        if self.bias:
            y += shared["bias"]

    def backward(self, dy: Any, dx: Any, x: Any, y: Any, shared: Any, kept: Any, sums: Sums, first: int) -> None:
        if sums:
            np.matmul(dy.T, x, out=sums[0])
            if self.bias:
                np.matmul(ones(len(dy), self.dtype), dy, out=sums[1])
        if dx is not None:
            np.matmul(dy, shared["weight"], out=dx)
