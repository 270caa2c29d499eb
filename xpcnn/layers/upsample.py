"""The layer that changes the size of images."""

from collections.abc import Sequence
from typing import final

from xpcnn import ops
from xpcnn.backend import Array
from xpcnn.ops.geometry import plain
from xpcnn.ops.upsample import upsample_settings
from xpcnn.settings import flag

from .base import Cache, Layer

__all__ = ["Upsample"]


@final
class Upsample(Layer):
    """
    Images at another size, larger or smaller; the mathematics is in :func:`xpcnn.ops.upsample2d`.

    Parameters
    ----------
    size : int or pair (height, width), pixels
        Of the output. Either this or `scale_factor`.
    scale_factor : float or pair, above 0
        The output's size is rounded down.
    mode : {"nearest", "bilinear"}
    align_corners : bool, optional
        For bilinear only: whether the centres of the corner pixels stay in place, or (the default) the image's edges.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> Upsample(scale_factor=2, mode="bilinear").output_shape((16, 14, 14))
    (16, 28, 28)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        _, factors = upsample_settings(size, scale_factor, mode, align_corners)
        self.size, self.mode = plain(size), mode
        self.scale_factor = factors if isinstance(scale_factor, (list, tuple)) else factors and factors[0]
        self.align_corners = None if align_corners is None else flag(self, "align_corners", align_corners)

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = ops.upsample2d(x, **self.config())
        return y, self.keep(y, tuple(x.shape)) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (shape,) = self.recall(dy, cache)
        return ops.upsample2d_backward(dy, shape, **self.config()), {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return ops.upsample2d_shape((1, *input_shape), **self.config())[1:]
