"""Transforms of the pixels' values: normalising."""

from collections.abc import Sequence
from typing import final

import numpy as np

from xpcnn.backend import Array, is_array, to_numpy
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.settings import number

from .base import Transform, moved

__all__ = ["Normalize"]


@final
class Normalize(Transform):
    """
    Channels with their means taken away, divided by their standard deviations.

    Draws nothing, so it needs no index, and serves test images as well: ``Normalize(0.13, 0.31)(x)[0]``.

    Parameters
    ----------
    mean : float or sequence of C floats
    std : float or sequence of C floats, above 0

    Raises
    ------
    ConfigError
        At construction; `ShapeError` at the call, if the images have another number of channels.

    Notes
    -----
    ``y[n, c, i, j] = (x[n, c, i, j] - mean[c]) / std[c]``

    Examples
    --------
    >>> Normalize([0.5, 0.0], [0.5, 2.0])(np.ones((1, 2, 1, 1)))[0].tolist()
    [[[[1.0]], [[0.5]]]]
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean = self._channels("mean", mean)
        self.std = self._channels("std", std, above=0)

    def _channels(self, name: str, value: float | Sequence[float], above: float | None = None) -> float | list[float]:
        if is_array(value):
            value = to_numpy(value).tolist()
        if not isinstance(value, (tuple, list)):
            return number(self, name, value, above=above)
        if not value:
            message = f"Normalize: expected {name} to be a number or one for each channel, got {value!r}"
            raise ConfigError(message)
        return [number(self, name, v, above=above) for v in value]

    def check(self, shape: tuple[int, ...], y: Array | None) -> tuple[int, ...]:
        for name, value in (("mean", self.mean), ("std", self.std)):
            if isinstance(value, list) and len(value) not in (1, shape[1]):
                message = f"Normalize: expected images of {len(value)} channels, as {name} has, got x of shape {shape}"
                raise ShapeError(message)
        return shape

    def images(self, x: Array, u: np.ndarray) -> Array:
        def like(value: float | list[float]) -> float | Array:
            return moved(np.asarray(value), x)[None, :, None, None] if isinstance(value, list) else value

        return (x - like(self.mean)) / like(self.std)
