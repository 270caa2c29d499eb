"""Softmax, cross-entropy and its gradient, reduced, in a few kernels, for labels without weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from .launch import answers, empty, labels, launch, rows

__all__: list[str] = []  # found by its name in the registry

FEW = 64  # classes, which one thread takes for a sample


@accelerates("softmax_cross_entropy", "cupy")
def softmax_cross_entropy(
    logits: Array, target: Array, ignore_index: int, reduction: str
) -> tuple[Array, Array] | None:
    """
    Value and gradient as :func:`xpcnn.ops.softmax_cross_entropy` gives them, without weights and smoothing.

    In four launches for the mean: what counts, values and gradients of the samples, and two for the sum of the values;
    two more where classes are many. None unless logits (N, K) are float32 or float64, and not empty.

    Notes
    -----
    Sums are in double and in the same order every time; it is not the generic body's, so the value may differ in its
    last bit. A sum of N is added by about sqrt(N) threads, and what they leave by one.
    """
    n, k = logits.shape
    if not answers(logits, narrow=False) or not n * k:
        return None
    z, t = rows(logits), labels(target)
    parts = math.isqrt(n - 1) + 1
    counted = parts if reduction == "mean" else 0
    values, dlogits = empty((n,), z.dtype), empty((n, k), z.dtype)
    totals: Any = empty((parts,), np.float64) if counted else np.uintp(0)

    def start(name: str, threads: int, *args: Any) -> None:
        given = [np.int64(a) if isinstance(a, int) else a for a in args]
        launch("cross_entropy", name, threads, *given, Number=z.dtype, Label=t.dtype)

    start("count_labels", counted, t, totals, n, k, ignore_index, parts)
    if k <= FEW:
        start("softmax_cross_entropy", n, z, t, totals, values, dlogits, n, k, ignore_index, counted)
    else:
        groups = math.isqrt(k)
        most, sums = empty((n, groups), z.dtype), empty((n, groups), np.float64)
        start("largest_of_groups", n * groups, z, most, n, k, groups)
        start("sums_of_groups", n * groups, z, most, sums, n, k, groups)
        arrays = z, t, totals, most, sums, values, dlogits
        start("gradients_of_groups", n * groups, *arrays, n, k, ignore_index, counted, groups)
    if reduction == "none":
        return values, dlogits
    value, sums = empty((), z.dtype), empty((parts,), np.float64)
    start("add_values", parts, values, sums, n, parts)
    start("reduced_value", 1, sums, totals, value, parts, counted)
    return value, dlogits
