"""
Batch norm of tiles.

With given statistics a sample is normalized by itself. In training the statistics are those of the whole batch: they
are made in a pass over all tiles before a run begins, each tile's mean and squared deviations from it first, then all
of them combined. Backward, the sums over the batch are made while the tiles go by, and a second pass finishes the
gradient.

Source for combining: Chan, Golub and LeVeque (1983), equation 1.5.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .memory import scratch
from .nodes import Node, Sums, Tile, row_of
from .sums import exact_sum_rows, sum_rows
from .threads import spread

__all__ = ["BatchNorm"]


class _Shared(NamedTuple):
    """What all tiles of a pass need: numbers for each channel, in float64, and rows of them for a row of pixels."""

    mean: np.ndarray
    var: np.ndarray
    rest: np.ndarray  # what rounding the mean leaves over
    scale: np.ndarray  # 1 / sqrt(var + eps)
    mean_row: np.ndarray
    gain_row: np.ndarray
    shift_row: np.ndarray


class BatchNorm(Node):
    """
    See :func:`xpcnn.ops.batch_norm`, whose formulas these are.

    Parameters
    ----------
    shape : (H, W, C)
    eps : float
    affine : bool
        Whether scale and shift are learned.
    fixed : bool
        Normalize by running statistics; else by those of the batch, and then it has to be the first of its run.
    dtype : numpy.dtype
    """

    in_place = True
    needs_input = True

    def __init__(self, shape: tuple[int, int, int], eps: float, affine: bool, fixed: bool, dtype: np.dtype) -> None:
        super().__init__(shape, shape, dtype)
        self.eps, self.affine, self.whole = eps, affine, not fixed
        self.width, self.channels = shape[1], shape[2]
        self.expects = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (self.channels,))

    def describe(self, samples: int) -> str:
        if self.whole:
            return "batch norm in the tile, statistics in a pass before"
        return "batch norm in the tile, by running statistics"

    def begin(self, x: np.ndarray, params: dict[str, np.ndarray], tiles: list[tuple[int, int]]) -> _Shared:
        """The statistics of the batch (N, H, W, C), in a pass over its tiles."""
        means = np.empty((len(tiles), self.channels))
        squares = np.empty_like(means)

        def work(t: int) -> None:
            rows = np.ascontiguousarray(x[slice(*tiles[t])]).reshape(-1, self.channels)
            means[t] = exact_sum_rows(rows) / len(rows)
            rounded = means[t].astype(self.dtype)
            off = scratch.empty("near", (len(rows) // self.width, self.width * self.channels), self.dtype)
            np.subtract(rows.reshape(off.shape), row_of(rounded, self.width), out=off)
            off *= off
            squares[t] = sum_rows(off.reshape(rows.shape)) - len(rows) * (means[t] - rounded) ** 2

        spread(work, len(tiles))
        places = x.shape[1] * x.shape[2]
        counts = np.asarray([[(stop - start) * places] for start, stop in tiles], dtype=np.float64)
        total = counts.sum()
        mean = (means * counts).sum(axis=0) / total
        var = (squares + counts * (means - mean) ** 2).sum(axis=0) / total
        return self._shared(mean, var, params)

    def prepare(self, params: dict[str, np.ndarray], samples: int) -> _Shared | None:
        if self.whole:
            return None
        return self._shared(params["running_mean"], params["running_var"], params)

    def line(
        self, mean: np.ndarray, var: np.ndarray, params: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By given statistics, batch norm is ``y = gain * x + shift``; 1 / sqrt(var + eps), gain, shift, in float64."""
        scale = 1.0 / np.sqrt(var.astype(np.float64) + self.eps)
        gain = scale * params.get("weight", 1.0)
        return scale, gain, params.get("bias", 0.0) - mean * gain

    def _shared(self, mean: np.ndarray, var: np.ndarray, params: dict[str, np.ndarray]) -> _Shared:
        mean, var = mean.astype(np.float64), var.astype(np.float64)
        rounded = mean.astype(self.dtype)
        rest = mean - rounded
        scale, gain, shift = self.line(rest, var, params)  # of x - rounded
        rows = (row_of(a.astype(self.dtype), self.width) for a in (rounded, gain, shift))
        return _Shared(mean, var, rest, scale, *rows)

    def sums(self, shared: Any) -> list[tuple[tuple[int, ...], Any]]:
        return [((self.channels,), np.dtype(np.float64))] * 2

    def finish(self, sums: Sums, shared: _Shared) -> dict[str, np.ndarray]:
        if not self.affine:
            return {}
        db, dw = sums
        return {"weight": (dw - shared.rest * shared.scale * db).astype(self.dtype), "bias": db.astype(self.dtype)}

    def forward(self, x: np.ndarray, y: np.ndarray, shared: _Shared, kept: np.ndarray | None, tile: Tile) -> None:
        out = self._rows(y)
        np.subtract(self._rows(x), shared.mean_row, out=out)
        out *= shared.gain_row
        out += shared.shift_row

    def backward(self, dy: Any, dx: Any, x: Any, y: Any, shared: _Shared, kept: Any, sums: Sums, first: int) -> None:
        if sums:
            near = scratch.empty("near", (len(dy) * self.shape[0], self.width * self.channels), self.dtype)
            np.subtract(self._rows(x), shared.mean_row, out=near)
            near *= row_of(shared.scale.astype(self.dtype), self.width)
            near *= self._rows(dy)
            sums[0][...] = sum_rows(np.ascontiguousarray(dy).reshape(-1, self.channels))
            sums[1][...] = sum_rows(near.reshape(-1, self.channels))
        if dx is not None and not self.whole:
            np.multiply(self._rows(dy), shared.gain_row, out=self._rows(dx))

    def end(
        self,
        dy: np.ndarray,
        dx: np.ndarray,
        x: np.ndarray,
        shared: _Shared,
        sums: Sums,
        tiles: list[tuple[int, int]],
    ) -> None:
        """
        Write the gradient at the input of the whole batch into dx, once the sums are known; dx may be dy.

        ``dx = w s (dy - db / P - xhat dw / P)``, see :func:`xpcnn.ops.batch_norm_backward`.
        """
        db, dw = sums
        off = shared.rest * shared.scale
        share = 1.0 / (len(x) * x.shape[1] * x.shape[2])
        slope = (dw - off * db) * share
        numbers = (shared.scale * slope, db * share - off * slope)
        by_x, constant = (row_of(a.astype(self.dtype), self.width) for a in numbers)

        def work(t: int) -> None:
            part = slice(*tiles[t])
            source, out = self._rows(dy[part]), self._rows(dx[part])
            near = scratch.empty("near", out.shape, self.dtype)
            np.subtract(self._rows(x[part]), shared.mean_row, out=near)
            near *= by_x
            np.subtract(source, constant, out=out)
            out -= near
            out *= shared.gain_row

        spread(work, len(tiles))

    def _rows(self, a: np.ndarray) -> np.ndarray:
        """A row of pixels a row: numbers for each channel, repeated, are then added in long runs."""
        return a.reshape(-1, self.width * self.channels)
