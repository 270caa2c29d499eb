"""
Updates of parameters, a piece at a time.

The formulas of an optimizer make an array for each step of the arithmetic. On a piece of a parameter these arrays are
small and stay in the cache, and pieces go to the threads as these get free. The formula itself is the caller's: it is
called on a piece just as on the whole, which gives the same bits where each number is treated by itself.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.array_utils import byte_bounds

from .caches import level2
from .memory import scratch
from .threads import spread

__all__ = ["in_pieces"]

Slots: TypeAlias = dict[str, np.ndarray]
Apply: TypeAlias = Callable[[np.ndarray, np.ndarray, Slots, float], Any]
Item: TypeAlias = tuple[np.ndarray, np.ndarray, Slots]

SHARE = 4  # a piece takes this part of a core's cache; smaller ones fit better, but each costs its calls
MOST = 1 << 18  # bytes of a piece
SMALL = 1 << 20  # bytes of parameters that are not worth it
LINES = 256  # bytes of a gradient in another order that are read together
BLOCK = 32  # columns of it that are near enough


@functools.cache
def _let_a_large_array_go() -> None:
    """The C library asks the system for every array of more than 128 kB anew, until it has seen a larger one go."""
    np.empty(16 * MOST, np.uint8)


def in_pieces(apply: Apply, items: Sequence[Item], lr: float) -> None:
    """
    Call ``apply(p, g, state, lr)`` for each parameter, its gradient and its state, in pieces and on several threads.

    Parameters
    ----------
    apply : callable
        Changes `p` and `state` by the gradient, each number by itself. Slots of no axes, such as a count of steps, may
        depend on one another but on no numbers of `p` and `g`: each piece gets a copy, and all copies change alike.
    items : sequence of (array, array, dict of arrays)
        A gradient has the shape of its parameter, and a slot has it or none.
    lr : float
    """
    _let_a_large_array_go()
    if sum(p.nbytes for p, _, _ in items) <= SMALL or not _apart(items):
        for item in items:
            apply(*item, lr)
        return
    cuts = [_Cut(*item) for item in items]
    tasks = _tasks(cuts)

    def work(i: int) -> None:
        for cut, start, stop in tasks[i]:
            cut.change(apply, start, stop, lr)

    spread(work, len(tasks))
    for cut in cuts:
        cut.finish()


class _Cut:
    """
    A parameter and what belongs to it, as one long row of numbers in the parameter's order in memory.

    A gradient that lies in another order is copied, some rows at a time. With a slot that does, nothing is cut.
    """

    def __init__(self, p: np.ndarray, g: np.ndarray, state: Slots) -> None:
        self.item = p, g, state
        self.new: Slots = {}
        self.lock = threading.Lock()
        self.order = sorted(range(p.ndim), key=lambda axis: (p.shape[axis] == 1, -p.strides[axis]))
        self.fits = p.size > 1 and all(self._fits(a) for a in (p, *state.values()) if a.ndim)
        self.turned = self.fits and not self._fits(g)
        self.runs = [(0, p.size)]
        if self.fits:
            self.runs, self.p = self._runs(), self._row(p)
            self.rows = {slot: self._row(value) for slot, value in state.items() if value.ndim}

    def _runs(self) -> list[tuple[int, int]]:
        """First and last number of what one thread does at a time, the last one excluded."""
        p = self.item[0]
        rows, size = p.size, _most(p)
        if self.turned:  # whole rows
            rows = p.shape[self.order[0]]
            size = max(size * rows // p.size, LINES // p.itemsize)
        count, width = -(-rows // size), p.size // rows
        return [(rows * i // count * width, rows * (i + 1) // count * width) for i in range(count)]

    def _fits(self, array: np.ndarray) -> bool:
        return array.transpose(self.order).flags.c_contiguous

    def _row(self, array: np.ndarray) -> np.ndarray:
        # as many axes as before: rules tell biases from weights by them
        return array.transpose(self.order).reshape(*[1] * (array.ndim - 1), array.size)

    def change(self, apply: Apply, start: int, stop: int, lr: float) -> None:
        """Change one run."""
        p, g, state = self.item
        if not self.fits:
            apply(p, g, state, lr)
            return
        g = self._copied(g, start, stop) if self.turned else self._row(g)[..., start:stop]
        size = _most(p)
        for a in range(start, stop, size):
            b = min(a + size, stop)
            views = {slot: row[..., a:b] for slot, row in self.rows.items()}
            own = {slot: views[slot] if slot in views else value.copy() for slot, value in state.items()}
            apply(self.p[..., a:b], g[..., a - start : b - start], own, lr)
            for slot, value in own.items():
                if value is not views.get(slot):
                    self._keep(slot, value, a, b)

    def _copied(self, g: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Rows of the gradient in the order of the parameter, until the next call in this thread."""
        rows = g.transpose(self.order)
        width = g.size // len(rows)
        rows = rows[start // width : stop // width]
        copy = scratch.empty("turned", rows.shape, g.dtype)
        if g.ndim == 1:
            copy[...] = rows
        else:
            for i in range(0, rows.shape[1], BLOCK):  # all of a line of memory is used while it is near
                copy[:, i : i + BLOCK] = rows[:, i : i + BLOCK]
        return copy.reshape(*[1] * (g.ndim - 1), copy.size)

    def _keep(self, slot: str, value: np.ndarray, start: int, stop: int) -> None:
        """Remember what was not changed in place: a slot of no axes, or one that is new."""
        with self.lock:
            if slot not in self.new:
                self.new[slot] = np.empty_like(self.item[0]) if value.ndim else value
        if value.ndim:
            self._row(self.new[slot])[..., start:stop] = value

    def finish(self) -> None:
        """Put into the state what was remembered, once all runs are done."""
        state = self.item[2]
        for slot, value in self.new.items():
            if slot in state:
                state[slot][...] = value
            else:
                state[slot] = value


def _most(p: np.ndarray) -> int:
    """Numbers in a piece."""
    return max(min(level2() // SHARE, MOST) // p.itemsize, 1)


def _tasks(cuts: Sequence[_Cut]) -> list[list[tuple[_Cut, int, int]]]:
    """Runs for a thread at a time; small ones together, so that none is over in no time."""
    tasks: list[list[tuple[_Cut, int, int]]] = []
    room = 0
    for cut in cuts:
        for start, stop in cut.runs:
            if room < stop - start:
                tasks.append([])
                room = _most(cut.item[0])
            tasks[-1].append((cut, start, stop))
            room -= stop - start
    return tasks


def _apart(items: Sequence[Item]) -> bool:
    """Whether no two arrays share memory, as far as their first and last bytes tell; else it counts who comes first."""
    spans = sorted(byte_bounds(array) for p, g, state in items for array in (p, g, *state.values()) if array.size)
    return all(stop <= start for (_, stop), (start, _) in pairwise(spans))
