"""Samples by their numbers, on a GPU."""

from __future__ import annotations

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from . import launch

__all__: list[str] = []  # found by its name in the registry


@accelerates("take", "cupy")
def take(x: Array, index: Array) -> Array:
    """
    See :func:`xpcnn.backend.take`; images stay channels-last in memory.

    Returns
    -------
    chosen : array, shape (len(index), ...)
    """
    if x.ndim == 4:
        return launch.channels_first(launch.cupy().take(x.transpose(0, 2, 3, 1), index, axis=0))
    return launch.cupy().take(x, index, axis=0)
