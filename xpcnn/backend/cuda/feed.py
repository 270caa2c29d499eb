"""
Samples that do not fit into a GPU's memory: each batch is copied there while the one before it is computed.

Two buffers on each side take turns. Those on the host are pinned, so that the copy runs by itself, on a stream of its
own; events tell when a buffer has arrived, and when the GPU is done with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from xpcnn.backend.namespace import Array

from . import launch

__all__ = ["feed", "fits"]

SHARE = 0.3  # of the memory that is free: while a set is moved it is there twice, and a step needs some, too


def fits(nbytes: int) -> bool:
    """Whether so many bytes may stay on the current device."""
    cupy = launch.cupy()
    free, _ = cupy.cuda.runtime.memGetInfo()
    return nbytes <= SHARE * (free + cupy.get_default_memory_pool().free_bytes())


def feed(x: np.ndarray, parts: Iterable[np.ndarray]) -> Iterator[Array]:
    """
    Some samples after others, on the current device.

    Parameters
    ----------
    x : ndarray, shape (N, ...)
    parts : iterable of integer arrays
        Numbers of samples, of which the first part has the most.

    Returns
    -------
    chosen : iterator of arrays, each of shape (len(part), ...)
        What comes is overwritten by the one after the next.
    """
    stream = launch.cupy().cuda.Stream(non_blocking=True)
    coming: tuple[_Slot, int] | None = None
    slots: list[_Slot] = []
    try:
        for i, part in enumerate(parts):
            if len(slots) < 2:
                slots.append(_Slot((len(part), *x.shape[1:]), x.dtype))
            slot = slots[i % 2]
            slot.send(x, part, stream)
            if coming is not None:
                yield from coming[0].arrived(coming[1])
            coming = slot, len(part)
        if coming is not None:
            yield from coming[0].arrived(coming[1])
    finally:
        stream.synchronize()  # no copy may outlive its buffers, where somebody takes no more parts


class _Slot:
    """A buffer on the host and one on the device."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        cuda = launch.cupy().cuda
        size = int(np.prod(shape))
        memory = cuda.alloc_pinned_memory(size * dtype.itemsize)
        self.host = np.frombuffer(memory, dtype, size).reshape(shape)
        self.device: Any = launch.empty(shape, dtype)
        self.copied, self.used = cuda.Event(), cuda.Event()
        # what the pool gave may still be in use on the current stream
        self.used.record()

    def send(self, x: np.ndarray, part: np.ndarray, stream: Any) -> None:
        """Gather some samples, and let them be copied."""
        n = len(part)
        self.copied.synchronize()  # of two batches ago
        np.take(x, part, axis=0, out=self.host[:n], mode="clip")  # any other mode makes a copy first
        stream.wait_event(self.used)
        self.device[:n].set(self.host[:n], stream=stream)
        self.copied.record(stream)

    def arrived(self, n: int) -> Iterator[Array]:
        """The samples, once; whoever takes them computes behind the copy."""
        launch.cupy().cuda.get_current_stream().wait_event(self.copied)
        yield self.device[:n]
        self.used.record()
