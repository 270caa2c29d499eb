"""Products of two matrices, in parts for several threads; and the layer that is one."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpcnn.backend.registry import accelerates

from .memory import empty
from .nodes import Node, Sums, Tile
from .sums import ones
from .threads import spread

__all__ = ["Linear", "matmul"]

SMALL = 1 << 22  # multiply-adds that are not worth a second thread
ROWS = 4  # so few rows take as long as reading the other matrix
PART = 32  # rows or columns of a part, at least
PARTS = 8


@accelerates("matmul", "numpy")
def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The product of matrices (M, K) and (K, N), cut along the longer side of the result."""
    (m, k), n = a.shape, b.shape[1]
    into = empty((m, n), a.dtype) if out is None else out
    parts = min(PARTS, max(m, n) // PART)
    if parts < 2 or m * k * n <= (SMALL if m > ROWS else SMALL // 8):
        np.matmul(a, b, out=into)
        return into

    def work(i: int) -> None:
        if m >= n:
            part = slice(m * i // parts, m * (i + 1) // parts)
            np.matmul(a[part], b, out=into[part])
        else:
            part = slice(n * i // parts, n * (i + 1) // parts)
            np.matmul(a, b[:, part], out=into[:, part])

    spread(work, parts)
    return into


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
