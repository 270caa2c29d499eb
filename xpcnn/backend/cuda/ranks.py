"""The rank of each label among the scores, for top-k accuracy, in one kernel."""

from __future__ import annotations

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from .launch import answers, empty, launch, rows

__all__: list[str] = []  # found by its name in the registry


@accelerates("label_ranks", "cupy")
def label_ranks(scores: Array, label: Array) -> Array | None:
    """See :func:`xpcnn.ops.ranks.label_ranks`."""
    if not answers(scores, narrow=False):
        return None
    ranks = empty(label.shape, np.int64)
    arrays = rows(scores), rows(label.astype(np.int64, copy=False)), ranks
    launch("ranks", "label_ranks", len(ranks), *arrays, *map(np.int64, scores.shape), Number=scores.dtype)
    return ranks
