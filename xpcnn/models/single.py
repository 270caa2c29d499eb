"""A layer that has no kernel of its own in a run of tiles: called as it is, tile by tile."""

from __future__ import annotations

from typing import Any

from xpcnn.backend import Array, cpu
from xpcnn.layers import Layer

__all__ = ["SingleLayer"]


class SingleLayer(cpu.Node):
    """
    Any layer that treats each sample by itself.

    Parameters
    ----------
    layer : Layer
    shape, out : tuple of int
        Of a sample before and behind it, in memory order.
    dtype : dtype
    """

    needs_input = True  # its cache may hold what it was given, which must not be scratch memory

    def __init__(self, layer: Layer, shape: tuple[int, ...], out: tuple[int, ...], dtype: Any) -> None:
        super().__init__(shape, out, dtype)
        self.layer = layer
        self.bytes *= 2  # what it computes on its way is about as large

    def describe(self, samples: int) -> str:
        return "generic, in the tile"

    def prepare(self, params: dict[str, Array], samples: int) -> dict[int, Any]:
        return {}  # the cache of each tile, by its first sample

    def sums(self, shared: Any) -> list[tuple[tuple[int, ...], Any]]:
        return [(tuple(p.shape), p.dtype) for p in self.layer.params.values()]

    def finish(self, sums: Any, shared: Any) -> dict[str, Array]:
        return dict(zip(self.layer.params, sums, strict=True))

    def forward(self, x: Array, y: Array, shared: Any, kept: Any, tile: cpu.Tile) -> None:
        own = {"key": tile.key and tile.key.at(tile.key.first + tile.first)} if self.layer.random else {}
        found, cache = self.layer.forward(cpu.channels_first(x), train=tile.train, **own)
        y[...] = cpu.channels_last(found)
        if tile.train:
            shared[tile.first] = cache

    def backward(self, dy: Any, dx: Any, x: Any, y: Any, shared: Any, kept: Any, sums: Any, first: int) -> None:
        spare = {"input_grad": False} if dx is None and self.layer.spares_input_grad else {}
        found, grads = self.layer.backward(cpu.channels_first(dy), shared[first], **spare)
        for into, name in zip(sums, self.layer.params, strict=False):
            into[...] = grads[name]
        if dx is not None:
            dx[...] = cpu.channels_last(found)
