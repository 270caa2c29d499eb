"""Products of two matrices, in parts for several threads."""

from __future__ import annotations

import numpy as np

from xpcnn.backend.registry import accelerates

from .memory import empty
from .threads import spread

__all__ = ["matmul"]

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
    if parts < 2 or m * k * n <= (SMALL if m > ROWS else SMALL // 2):
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
