"""Products of two matrices, in parts for several threads."""

import numpy as np

from xpcnn.backend.registry import accelerates

from .memory import empty
from .threads import spread

__all__ = ["matmul"]

SMALL = 1 << 19  # multiply-adds that are not worth a second thread
PART = 32  # rows or columns of a part, at least
PARTS = 8


@accelerates("matmul", "numpy")
def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of matrices (M, K) and (K, N), cut along the longer side of the result."""
    (m, k), n = a.shape, b.shape[1]
    out = empty((m, n), a.dtype)
    parts = min(PARTS, max(m, n) // PART)
    if m * k * n <= SMALL or parts < 2:
        np.matmul(a, b, out=out)
        return out

    def work(i: int) -> None:
        if m >= n:
            part = slice(m * i // parts, m * (i + 1) // parts)
            np.matmul(a[part], b, out=out[part])
        else:
            part = slice(n * i // parts, n * (i + 1) // parts)
            np.matmul(a, b[:, part], out=out[:, part])

    spread(work, parts)
    return out
