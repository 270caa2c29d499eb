"""
A run of layers, computed a few samples at a time.

The samples of a batch are cut into tiles so small that what a tile needs stays in the caches near a core on its way
through the layers, forward and later backward. Tiles go to the threads as these get free. What the backward pass needs
is kept for the whole batch: the input of a convolution, the output of a rectifier, a few bytes for each maximum.

Sums over all samples, which gradients at weights are, are made in *lanes*: each lane adds up its tiles in order, and in
the end the lanes are added up in order. Tiles and lanes follow from sizes alone, so the bits do not depend on threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpcnn.backend.random import Key

from .caches import working_set
from .elementwise import add_up
from .memory import empty, scratch
from .nodes import Node, Tile
from .threads import spread

__all__ = ["Frame", "Run", "suits"]

SMALL = 1 << 18  # bytes of work that are not worth a second thread
FEW = 4  # tiles come in multiples of this, so that no thread is left without one in the end
SUMS = 1 << 25  # bytes of sums that lanes may take together


class Frame(NamedTuple):
    """What a forward pass leaves for the backward pass of the same run."""

    values: list[np.ndarray | None]  # between the nodes: the input first, the output last
    kept: list[np.ndarray | None]
    shared: list[Any]  # what all tiles shared


class Run:
    """
    Layers that treat each sample by itself, one after the other.

    Parameters
    ----------
    nodes : sequence of Node
    dtype : numpy.dtype
    """

    def __init__(self, nodes: Sequence[Node], dtype: np.dtype) -> None:
        self.nodes, self.dtype = tuple(nodes), dtype
        last = len(self.nodes)
        self.shapes = [self.nodes[0].shape, *(node.out for node in self.nodes)]
        # values that the backward pass looks at
        self.needed = [False] * (last + 1)
        for i, node in enumerate(self.nodes):
            self.needed[i] |= node.needs_input
            self.needed[i + 1] |= node.needs_output
        self.bytes = max(node.bytes for node in self.nodes)
        self.least = max(node.images for node in self.nodes)

    def tiles(self, samples: int) -> list[tuple[int, int]]:
        """First and last sample of each tile, the last one excluded; all are about as large."""
        if samples * self.bytes <= SMALL:
            return [(0, samples)]
        size = max(working_set() // self.bytes, self.least, 1)
        count = -(-samples // size)
        count = min(-(-count // FEW) * FEW, max(1, samples // self.least))
        return [(samples * i // count, samples * (i + 1) // count) for i in range(count)]

    def forward(
        self,
        x: np.ndarray,
        params: Sequence[dict[str, np.ndarray]],
        keys: Sequence[Key | None],
        train: bool,
    ) -> tuple[np.ndarray, Frame]:
        """
        Output for a batch (N, H, W, C) or (N, F), and what the backward pass needs, if `train`.

        Parameters
        ----------
        x : array
        params : one dict for each node
        keys : one key or None for each node
        train : bool
        """
        samples, last = len(x), len(self.nodes)
        shared = [node.prepare(own, samples) for node, own in zip(self.nodes, params, strict=True)]
        tiles = self.tiles(samples)
        if self.nodes[0].whole:
            shared[0] = self.nodes[0].begin(x, params[0], tiles)
        kept = [self._kept(node, samples) if train else None for node in self.nodes]
        values: list[np.ndarray | None] = [None] * (last + 1)
        values[0], values[last] = x, empty((samples, *self.shapes[last]), self.dtype)
        for i in range(1, last):
            if train and self.needed[i]:
                values[i] = empty((samples, *self.shapes[i]), self.dtype)
        # an output that may lie where the input does is written there at once, if nobody needs the input any more
        places = list(values)
        for i in range(last - 1, 0, -1):
            if self.nodes[i].in_place and values[i] is None:
                places[i] = places[i + 1]

        def work(t: int) -> None:
            start, stop = tiles[t]
            value, between = x[start:stop], self._between(places, start, stop)
            for i, node in enumerate(self.nodes):
                own = None if kept[i] is None else kept[i][start:stop]  # type: ignore[index]
                into = between(i + 1, value if node.in_place and i and values[i] is None else None)
                node.forward(value, into, shared[i], own, Tile(start, train, keys[i]))
                value = into

        spread(work, len(tiles))
        frame = Frame([v if self.needed[i] else None for i, v in enumerate(values)], kept, shared)
        return values[last], frame  # type: ignore[return-value]

    def backward(
        self,
        dy: np.ndarray,
        frame: Frame,
        params: Sequence[dict[str, np.ndarray]],
        lowest: int,
        input_grad: bool,
        learns: Sequence[bool],
    ) -> tuple[np.ndarray | None, list[dict[str, np.ndarray]]]:
        """
        Gradient at the input, and those at the parameters of each node.

        Parameters
        ----------
        dy : array, shape of the output
        frame : Frame
        params
            As in the forward pass.
        lowest : int
            The lowest node that is gone through.
        input_grad : bool
            Whether the gradient below it is wanted.
        learns : sequence of bool
            Whether the gradients at a node's parameters are wanted.
        """
        samples, last = len(dy), len(self.nodes)
        dx = empty((samples, *self.shapes[lowest]), self.dtype) if input_grad else None
        wanted = [i > lowest or input_grad for i in range(last)]
        shared = frame.shared
        places: list[np.ndarray | None] = [None] * (last + 1)
        places[lowest] = dx
        for i in range(lowest, last - 1):
            if self.nodes[i].in_place:
                places[i + 1] = places[i]
        shapes = [
            node.sums(shared[i]) if i >= lowest and (learns[i] or (node.whole and input_grad)) else []
            for i, node in enumerate(self.nodes)
        ]
        tiles = self.tiles(samples)
        lanes = self._lanes(shapes, len(tiles))
        sums = [[[empty(*of) for of in own] for own in shapes] for _ in range(lanes)]

        def work(lane: int) -> None:
            first, stop = len(tiles) * lane // lanes, len(tiles) * (lane + 1) // lanes
            for t in range(first, stop):
                self._tile_backward(dy, frame, shared, places, wanted, lowest, tiles[t], sums[lane], t > first)

        spread(work, lanes)
        add_up([[a for own in lane for a in own] for lane in sums])
        if self.nodes[lowest].whole and dx is not None:
            self.nodes[0].end(dy if last == 1 else dx, dx, frame.values[0], shared[0], sums[0][0], tiles)  # type: ignore[arg-type]
        finished = zip(self.nodes, sums[0], shared, strict=True)
        return dx, [node.finish(own, one) if own else {} for node, own, one in finished]

    def _tile_backward(
        self,
        dy: np.ndarray,
        frame: Frame,
        shared: Sequence[Any],
        places: list[np.ndarray | None],
        wanted: Sequence[bool],
        lowest: int,
        tile: tuple[int, int],
        sums: list[list[np.ndarray]],
        add: bool,
    ) -> None:
        start, stop = tile
        gradient: Any = dy[start:stop]
        own = False  # dy is the caller's, what follows is ours
        cut = [None if v is None else v[start:stop] for v in frame.values]
        between = self._between(places, start, stop)
        for i in range(len(self.nodes) - 1, lowest - 1, -1):
            node, kept = self.nodes[i], frame.kept[i]
            into = None
            if wanted[i]:
                into = between(i, gradient if node.in_place and own else None)
            parts = sums[i]
            if add:
                parts = [scratch.empty(f"sum {j}", a.shape, a.dtype) for j, a in enumerate(sums[i])]
            own_kept = None if kept is None else kept[start:stop]
            node.backward(gradient, into, cut[i], cut[i + 1], shared[i], own_kept, parts, start)
            if add:
                for total, part in zip(sums[i], parts, strict=True):
                    total += part
            gradient, own = into, True

    def _between(
        self, places: list[np.ndarray | None], start: int, stop: int
    ) -> Callable[[int, np.ndarray | None], np.ndarray]:
        """
        Says where value `i` of a tile is written.

        Into its array, or where the value before it lies, or into one of two pieces of scratch memory in turns.
        """
        turn = 0

        def place(i: int, same: np.ndarray | None) -> np.ndarray:
            nonlocal turn
            if same is not None:
                return same
            whole = places[i]
            if whole is not None:
                return whole[start:stop]
            turn = 1 - turn
            return scratch.empty(f"value {turn}", (stop - start, *self.shapes[i]), self.dtype)

        return place

    def _kept(self, node: Node, samples: int) -> np.ndarray | None:
        of_one = node.keeps()
        return None if of_one is None else empty((samples, *of_one[0]), of_one[1])

    def _lanes(self, shapes: list[list[tuple[tuple[int, ...], Any]]], tiles: int) -> int:
        size = sum(math.prod(shape) * dtype.itemsize for own in shapes for shape, dtype in own)
        return min(tiles, max(2, SUMS // max(size, 1)))


def suits(arrays: dict[str, Any], dtype: Any, expects: dict[str, tuple[int, ...]]) -> bool:
    """Whether all are NumPy arrays, of the shapes expected, and of that dtype where expected or floating."""
    for name, a in arrays.items():  # no all(): it takes twice as long, and this is asked before every batch
        if type(a) is not np.ndarray or (a.dtype != dtype and (a.dtype.kind == "f" or name in expects)):
            return False
        if a.shape != expects.get(name, a.shape):
            return False
    return True
