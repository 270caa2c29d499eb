"""Arithmetic on large arrays, in parts for several threads."""

from collections.abc import Sequence

import numpy as np

from xpcnn.backend.registry import accelerates

from .memory import empty
from .threads import spread

__all__ = ["add", "add_up"]

PART = 1 << 16  # numbers of a part, about
FEW = 4  # parts that are not worth a second thread


@accelerates("add", "numpy")
def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The sum of two arrays of one shape, in the memory order of the first where that is channels-last."""
    if a.size <= PART or a.ndim != 4 or a.shape != b.shape or a.dtype != b.dtype:
        return a + b
    a, b = a.transpose(0, 2, 3, 1), b.transpose(0, 2, 3, 1)
    out = empty(a.shape, a.dtype)
    samples = len(a)
    parts = min(samples, -(-a.size // PART))

    def work(i: int) -> None:
        part = slice(samples * i // parts, samples * (i + 1) // parts)
        np.add(a[part], b[part], out=out[part])

    spread(work, parts)
    return out.transpose(0, 3, 1, 2)


def add_up(lanes: Sequence[Sequence[np.ndarray]]) -> None:
    """Add the arrays of all other lanes to those of the first, in the order of the lanes; all are in C order."""
    parts = [
        (a.reshape(-1)[start : start + PART], [b.reshape(-1)[start : start + PART] for b in others])
        for a, *others in zip(*lanes, strict=True)
        for start in range(0, a.size, PART)
    ]

    def work(i: int) -> None:
        total, others = parts[i]
        for other in others:
            total += other

    if sum(a.size for a in lanes[0]) > FEW * PART:
        spread(work, len(parts))
        return
    for i in range(len(parts)):
        work(i)
