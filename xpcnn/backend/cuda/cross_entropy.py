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
    Values of the samples (N,), their gradients (N, K) in C order, and how many samples count (): in the logits' dtype.

    ``values[n] = -log p[n, t]`` and ``dlogits[n, k] = p[n, k] - [k = t]``, p the softmax of the logits (N, K) and t the
    integer target (N,). Both are 0 where t is `ignore_index`, which does not count, and NaN, like the count, where t is
    no class. None unless float32 or float64, of 1 to 4096 classes. See :func:`xpcnn.ops.softmax_cross_entropy`; this is
    without weights and smoothing, before the reduction.
    """
    n, k = logits.shape
    if not answers(logits, narrow=False) or not 0 < k <= MOST:
        return None
    values, counted, dlogits = (empty(shape, logits.dtype) for shape in ((n,), (n,), (n, k)))
    arrays = rows(logits), rows(target.astype(np.int64)), values, dlogits, counted
    numbers = np.int64(n), np.int32(k), np.int64(ignore_index)
    launch("cross_entropy", "softmax_cross_entropy", n, *arrays, *numbers, Number=logits.dtype)
    return values, dlogits, counted.sum()
