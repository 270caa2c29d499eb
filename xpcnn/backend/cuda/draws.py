"""What augmentation draws for samples whose numbers lie on a GPU, and whom it mixes there."""

from __future__ import annotations

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.random import Key
from xpcnn.backend.registry import accelerates

from . import launch
from .launch import empty, here, rows

__all__: list[str] = []  # found by their names in the registry


@accelerates("sample_uniform", "cupy")
def sample_uniform(index: Array, count: int, key: Key) -> Array | None:
    """See :func:`xpcnn.backend.sample_uniform`; a captured graph reads the counter of the key anew at each replay."""
    if index.dtype != np.int64 or not here(index):
        return None
    u, blocks = empty((index.shape[0], count), np.float64), -(-count // 4)
    threads = index.shape[0] * blocks
    counter = 0 if key.counter is None else launch.address(key.counter)
    numbers = map(np.uint64, (threads, blocks, count, key.step, counter, *key.words()))
    launch.launch("draws", "sample_uniform", threads, rows(index), u, *numbers)
    return u


@accelerates("partners", "cupy")
def partners(u: Array) -> Array | None:
    """See :func:`xpcnn.data.augment.mix.partners`; each thread looks at all: a sort cannot be captured."""
    if u.dtype != np.float64 or not here(u):
        return None
    place = empty(u.shape, np.int64)
    launch.launch("draws", "partners", u.shape[0], rows(u), place, np.int64(u.shape[0]))
    return place
