"""Transforms of the pixels' values: colour jitter and normalising."""

from collections.abc import Sequence
from typing import final

from xpcnn.backend import Array, array_namespace, is_array, to_numpy
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.settings import number

from .base import Transform, moved

__all__ = ["ColorJitter", "Normalize"]

Range = float | Sequence[float]


@final
class ColorJitter(Transform):
    """
    Brightness, contrast, saturation and hue changed at random, in this order, for each image.

    Pixels must be between 0 and 1, so it comes before :class:`Normalize`. Images have three channels (red, green,
    blue) or one, which has neither saturation nor hue.

    Parameters
    ----------
    brightness, contrast, saturation : float of at least 0, or pair (least, most)
        The factor is uniform between ``max(0, 1 - value)`` and ``1 + value``, or in the range given; 1 changes nothing.
    hue : float, 0 to 0.5, or pair (least, most), -0.5 to 0.5
        What is added to the hue, in turns of the colour circle: uniform in ``[-value, value]``, or in the range.

    Raises
    ------
    ConfigError
        At construction; `ShapeError` at the call, if the images have neither one channel nor three.

    Notes
    -----
    With v the factor, grey = 0.2989 red + 0.587 green + 0.114 blue, and each result kept between 0 and 1::

        brightness   v x
        contrast     v x + (1 - v) (mean of grey over the image)
        saturation   v x + (1 - v) grey
        hue          to hue, saturation, value; hue + v modulo 1; back

    These are torchvision's formulas. There the order of the four is random too; here it is as above, since an order for
    each image would mean to compute all of them in all places.

    Hue is that of Smith (1978), "Color gamut transform pairs". With M and m the largest and smallest of the three,
    ``d = M - m``, and h in sixths of a turn from 0 to 6::

        h = (green - blue) / d          if red is M
            2 + (blue - red) / d        if green is M
            4 + (red - green) / d       if blue is M

    and back, with k = (n + h) modulo 6 and n = 5, 3, 1 for red, green and blue: ``M - d max(0, min(k, 4 - k, 1))``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.full((1, 3, 1, 1), 0.25)
    >>> ColorJitter(brightness=(2, 2))(x, index=[0])[0][0, :, 0, 0].tolist()
    [0.5, 0.5, 0.5]
    """

    draws = 4
    on_device = True

    def __init__(
        self, brightness: Range = 0.0, contrast: Range = 0.0, saturation: Range = 0.0, hue: Range = 0.0
    ) -> None:
        self.brightness = self._range("brightness", brightness)
        self.contrast = self._range("contrast", contrast)
        self.saturation = self._range("saturation", saturation)
        self.hue = self._range("hue", hue, 0.0, -0.5, 0.5)

    def _range(
        self, name: str, value: Range, centre: float = 1.0, least: float = 0.0, most: float | None = None
    ) -> tuple[float, ...]:
        if not isinstance(value, (tuple, list)):
            width = number(self, name, value, least=0, most=most)
            return max(centre - width, least), centre + width
        ends = tuple(number(self, name, v, least=least, most=most) for v in value)
        if len(ends) != 2 or ends[0] > ends[1]:
            message = f"ColorJitter: expected {name} to be a number or a pair (least, most), got {value!r}"
            raise ConfigError(message)
        return ends

    def check(self, shape: tuple[int, ...], y: Array | None) -> tuple[int, ...]:
        if shape[1] not in (1, 3):
            message = f"ColorJitter: expected images of 1 or 3 channels, got x of shape {shape}"
            raise ShapeError(message)
        return shape

    def images(self, x: Array, u: Array) -> Array:
        xp = array_namespace(x)
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        brightness, contrast, saturation, hue = (
            moved(least + (most - least) * u[:, i], x)[:, None, None, None] for i, (least, most) in enumerate(ranges)
        )
        if self.brightness != (1.0, 1.0):
            x = _within(x * brightness)
        if self.contrast != (1.0, 1.0):
            x = _within(contrast * x + (1.0 - contrast) * xp.mean(_grey(x), axis=(1, 2, 3), keepdims=True))
        if x.shape[1] == 3 and self.saturation != (1.0, 1.0):
            x = _within(saturation * x + (1.0 - saturation) * _grey(x))
        if x.shape[1] == 3 and self.hue != (0.0, 0.0):
            x = _turned(x, hue)
        return x


def _grey(x: Array) -> Array:
    """Luminance, shape (N, 1, H, W)."""
    return x if x.shape[1] == 1 else 0.2989 * x[:, 0:1, ...] + 0.587 * x[:, 1:2, ...] + 0.114 * x[:, 2:3, ...]


def _within(x: Array) -> Array:
    xp = array_namespace(x)
    return xp.minimum(xp.maximum(x, 0.0), 1.0)


def _turned(x: Array, turns: Array) -> Array:
    """Colours (N, 3, H, W) with their hue moved along the circle; the formulas are in :class:`ColorJitter`."""
    xp = array_namespace(x)
    red, green, blue = x[:, 0:1, ...], x[:, 1:2, ...], x[:, 2:3, ...]
    high, low = xp.max(x, axis=1, keepdims=True), xp.min(x, axis=1, keepdims=True)
    d = high - low
    share = 1.0 / xp.where(d == 0.0, 1.0, d)  # grey has no hue: any will do
    from_green, from_blue = 2.0 + (blue - red) * share, 4.0 + (red - green) * share
    h = xp.where(high == red, (green - blue) * share, xp.where(high == green, from_green, from_blue))
    h = h + 6.0 * turns

    def back(n: float) -> Array:
        k = h + n
        k = k - 6.0 * xp.floor(k / 6.0)
        return high - d * xp.maximum(xp.minimum(xp.minimum(k, 4.0 - k), 1.0), 0.0)

    return xp.concat([back(5.0), back(3.0), back(1.0)], axis=1)


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
    >>> import numpy as np
    >>> Normalize([0.5, 0.0], [0.5, 2.0])(np.ones((1, 2, 1, 1)))[0].tolist()
    [[[[1.0]], [[0.5]]]]
    """

    on_device = True

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

    def images(self, x: Array, u: Array) -> Array:
        def like(value: float | list[float]) -> float | Array:
            if not isinstance(value, list):
                return value
            of_channels = array_namespace(x).empty((1, len(value), 1, 1), dtype=x.dtype, device=x.device)
            for i, v in enumerate(value):  # one by one, since no array comes from the host while a graph is captured
                of_channels[:, i, ...] = v
            return of_channels

        return (x - like(self.mean)) / like(self.std)
