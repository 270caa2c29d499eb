"""
Memory that is used again.

The first touch of fresh memory costs as much as the arithmetic on it, since the system hands it out page by page. An
arena keeps what it has allocated and gives it out again once nobody looks at it: an array that somebody still holds is
never overwritten.
"""

import itertools
import math
import os
import sys
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["Arena", "Scratch", "empty", "scratch"]

MANY = 4096  # views of scratch memory, for as many shapes
LARGE = 1 << 15  # bytes; what is smaller, the system's allocator has at hand anyway
OLD = 8  # times that the arena was active: a size that was not asked for in these is let go when another one is new


class Arena:
    """
    Arrays whose memory is used again when they are gone.

    Every array and every view of it refers to the block of memory below it; a block to which only the arena itself
    refers is free. It is given out for its own size only, and when a new size comes, those go that were not asked for
    lately: so much is held as the last few batches took.

    Examples
    --------
    >>> arena = Arena()
    >>> a = arena.empty((1000, 1000), np.dtype("float32"))
    >>> address, a = a.ctypes.data, None
    >>> arena.empty((1000, 1000), np.dtype("float32")).ctypes.data == address
    True
    """

    def __init__(self) -> None:
        self._blocks: dict[int, list[np.ndarray]] = defaultdict(list)
        self._asked: dict[int, int] = {}  # for each size, when
        self._time = 0
        self._lock = threading.Lock()
        _arenas.add(self)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array with anything in it, in C order."""
        size = math.prod(shape) * dtype.itemsize
        if size < LARGE:
            return np.empty(shape, dtype)
        size = _rounded(size)
        with self._lock:
            self._asked[size] = self._time
            for block in self._blocks[size]:
                if sys.getrefcount(block) == _ALONE:
                    return np.ndarray(shape, dtype, block)
            self._let_go(self._time - OLD)
            block = np.empty(size, np.uint8)
            self._blocks[size].append(block)
            return np.ndarray(shape, dtype, block)

    def free(self) -> int:
        """Give back to the system what nobody looks at; the number of bytes."""
        with self._lock:
            return self._let_go(self._time)

    def _let_go(self, time: int) -> int:
        """Drop free blocks of sizes that were not asked for after that time."""
        freed = 0
        for size, blocks in self._blocks.items():
            if self._asked[size] > time:
                continue
            kept = [sys.getrefcount(block) > _ALONE for block in blocks]
            freed += size * kept.count(False)
            blocks[:] = itertools.compress(blocks, kept)
        return freed

    @property
    def nbytes(self) -> int:
        """Bytes that the arena holds."""
        with self._lock:
            return sum(size * len(blocks) for size, blocks in self._blocks.items())

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let :func:`empty` take its memory from here, in this thread; unless another one was there before."""
        before = _here.arena
        if before is None:
            _here.arena = self  # a model inside another one shares the memory of the outer one
            self._time += 1
        try:
            yield
        finally:
            _here.arena = before

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Arena, ()  # a copy of a model starts with an empty one


_arenas: weakref.WeakSet[Arena] = weakref.WeakSet()


def _after_fork() -> None:
    """In a child of fork, a lock that another thread of the parent held would stay closed."""
    for arena in _arenas:
        arena._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Here(threading.local):
    arena: Arena | None = None


_here = _Here()


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array with anything in it, from the arena that is active in this thread, or else from the system."""
    return np.empty(shape, dtype) if _here.arena is None else _here.arena.empty(shape, dtype)


def _rounded(size: int) -> int:
    """Up by an eighth at most, so that batches of nearly the same size share blocks."""
    step = 1 << max(12, size.bit_length() - 4)
    return -(-size // step) * step


def _count_alone() -> int:
    """References to a block in a loop over blocks when nobody else has one; it differs between Pythons."""
    counts = []
    for block in [np.empty(1, np.uint8)]:
        counts.append(sys.getrefcount(block))
    return counts[0]


_ALONE = _count_alone()


class Scratch(threading.local):
    """
    Arrays for a moment, each thread its own: whatever stands in them is gone at the next call of the same name.

    One block a name, as large as was ever needed.
    """

    uses = 0  # of all threads: counted up when they are to begin anew

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._blocks: dict[str, np.ndarray] = {}
        self._views: dict[tuple[Any, ...], np.ndarray] = {}
        self._use = Scratch.uses

    @staticmethod
    def free() -> None:
        """Let every thread begin anew when it asks next."""
        Scratch.uses += 1

    def empty(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array with anything in it, in C order."""
        if self._use != Scratch.uses or len(self._views) > MANY:
            self._begin()
        view = self._views.get((name, shape, dtype))
        if view is not None:
            return view
        size = math.prod(shape) * dtype.itemsize
        block = self._blocks.get(name)
        if block is None or block.nbytes < size:
            block = self._blocks[name] = np.empty(size, np.uint8)
            self._views = {key: view for key, view in self._views.items() if key[0] != name}
        view = self._views[name, shape, dtype] = np.ndarray(shape, dtype, block)
        return view


scratch = Scratch()
