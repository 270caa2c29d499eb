"""What a tally counts of a batch, in two kernels that add to its sums."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from . import launch

__all__: list[str] = []  # found by its name in the registry

MOST = 256  # classes; a thread takes all of a sample, and more would be slower than CuPy's argmax
TOPS = 8  # as in the kernels' struct
PLACES = np.dtype([("own", np.uint64, 4), ("top", np.uint64, TOPS), ("k", np.int64, TOPS)])


@accelerates("tally", "cupy")
def tally(
    sums: Mapping[str, Array],
    value: Array,
    scores: Array,
    target: Array,
    ignore_index: int,
    mean: bool,
    tops: Mapping[str, int],
) -> bool:
    """
    Add a batch to the sums in place; False where nothing was done.

    Parameters
    ----------
    sums : dict of 0-d arrays
        "loss" and "total" of the dtype of `scores`; "counted", "right" and the names in `tops` of int64.
    value : 0-d array
        Loss of the batch.
    scores : array, shape (N, K)
    target : integer array, shape (N,)
        A label that is no class makes "loss" and "total" NaN.
    ignore_index : int
        Samples with this label count for nothing.
    mean : bool
        Whether the value was divided by the number of samples that count, and is to be multiplied by it.
    tops : dict of int
        For each name the k of a top k.

    Notes
    -----
    All the numbers are those of the generic body, bit for bit: counts are integers, and `value * total` is added once.
    """
    n, k = scores.shape
    floats = [value, sums["loss"], sums["total"]]
    counts: Sequence[Array] = [sums[name] for name in ("counted", "right", *tops)]
    known = all(a.dtype == scores.dtype for a in floats) and all(a.dtype == np.int64 for a in counts)
    if not launch.answers(scores, narrow=False) or not known or not 0 < k <= MOST or not n or len(tops) > TOPS:
        return False
    none = [0] * (TOPS - len(tops))
    at = [launch.address(sums[name]) for name in tops]
    own = [launch.address(sums[name]) for name in ("loss", "total", "counted", "right")]
    places = np.array([(own, [*at, *none], [*tops.values(), *none])], PLACES)
    # a thread looks at some samples, each of k scores; the next one adds what all threads found
    parts = -(-n // max(1, math.isqrt(n // k)))
    z, t, found = launch.rows(scores), launch.labels(target), launch.empty((3 + len(tops), parts), np.int64)
    numbers = [np.int64(i) for i in (n, k, ignore_index, parts)]
    types = {"Number": z.dtype, "Label": t.dtype}
    launch.launch("tally", "tally_samples", parts, z, t, found, places, np.int32(len(tops)), *numbers, **types)
    few = np.int32(len(tops)), np.int64(parts), np.int32(mean)
    launch.launch("tally", "tally_sums", 3 + len(tops), value, found, places, *few, **types)
    return True
