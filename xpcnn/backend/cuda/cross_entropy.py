"""Softmax, cross-entropy and its gradient in one kernel, for labels without weights."""

from __future__ import annotations

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from .launch import answers, empty, launch, rows

__all__: list[str] = []  # found by its name in the registry

MOST = 4096  # classes; a thread takes all of a sample


@accelerates("softmax_cross_entropy", "cupy")
def softmax_cross_entropy(logits: Array, target: Array, ignore_index: int) -> tuple[Array, Array, Array] | None:
    """
    Values of the samples (N,), their gradients (N, K), and how many samples count.

    See :func:`xpcnn.ops.softmax_cross_entropy`, without weights and smoothing, before the reduction.
    """
    n, k = logits.shape
    if not answers(logits) or not 0 < k <= MOST:
        return None
    values, counted, dlogits = (empty(shape, logits.dtype) for shape in ((n,), (n,), (n, k)))
    arrays = rows(logits), rows(target.astype(np.int64)), values, dlogits, counted
    numbers = np.int64(n), np.int32(k), np.int64(ignore_index)
    launch("cross_entropy", "softmax_cross_entropy", n, *arrays, *numbers, Number=logits.dtype)
    return values, dlogits, counted.sum()
