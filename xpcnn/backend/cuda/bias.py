"""The bias of a fully connected layer and the rectifier behind it, in one kernel."""

from __future__ import annotations

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from .launch import answers, empty, launch, rows

__all__: list[str] = []  # found by its name in the registry


@accelerates("bias_relu", "cupy")
def bias_relu(x: Array, b: Array) -> Array | None:
    """
    ``max(x + b, 0)`` of rows x, shape (N, C), and a bias b, shape (C,), with a rounding in between.

    Returns
    -------
    y : array, shape of x, in C order; None where that is left to the generic body
    """
    if not answers(x) or b.dtype != x.dtype:
        return None
    y = empty(x.shape, x.dtype)
    sizes = np.int64(x.size), np.int64(x.shape[1])
    launch("bias", "bias_relu", x.size, rows(x), rows(b), y, *sizes, Number=x.dtype)
    return y
