"""Transforms that move pixels: flips, crops, shifts, rotations."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

from xpcnn.backend import Array, array_namespace
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.ops.geometry import pads, pair, plain
from xpcnn.settings import number

from .base import Transform
from .sampling import checked_mode, gather, positions, rotate

__all__ = ["Move", "RandomCrop", "RandomHorizontalFlip", "RandomRotation", "RandomShift", "RandomVerticalFlip", "whole"]


class Move(Transform, ABC):
    """
    Base of the transforms that only read other rows and columns: what several in a row do is one reading.

    Attributes
    ----------
    fill : float or None
        What is outside; None: it never reads there.
    """

    fill: float | None = None

    @abstractmethod
    def places(self, u: Array, h: int, w: int) -> tuple[Array, Array]:
        """Where to read: rows (N, OH) and columns (N, OW) of images (N, C, H, W), -1 outside of them."""

    def agrees(self, other: "Move") -> bool:
        """Whether both take the same for what is outside, so that they can be one."""
        return self.fill is None or other.fill is None or self.fill == other.fill

    def images(self, x: Array, u: Array) -> Array:
        return gather(x, *self.places(u, *x.shape[2:]), self.fill or 0.0)


class _Flip(Move):
    draws = 1
    on_device = True

    def __init__(self, p: float = 0.5) -> None:
        self.p = number(self, "p", p, least=0, most=1)

    def _ways(self, u: Array, size: int, *, flip: bool) -> Array:
        """Positions along an axis of that size: backwards where the draw says so."""
        xp = array_namespace(u)
        forwards = xp.arange(size, dtype=xp.int64, device=u.device)[None, :]
        if not flip:
            return xp.broadcast_to(forwards, (u.shape[0], size))
        return xp.where(u < self.p, size - 1 - forwards, forwards)


@final
class RandomHorizontalFlip(_Flip):
    """
    Left and right exchanged, with probability `p` for each image.

    Parameters
    ----------
    p : float, 0 to 1

    Raises
    ------
    ConfigError

    Notes
    -----
    ``y[n, c, i, j] = x[n, c, i, W - 1 - j]``

    Examples
    --------
    >>> import numpy as np
    >>> RandomHorizontalFlip(p=1)(np.asarray([[[[1.0, 2.0]]]]), index=[0])[0].tolist()
    [[[[2.0, 1.0]]]]
    """

    def places(self, u: Array, h: int, w: int) -> tuple[Array, Array]:
        return self._ways(u, h, flip=False), self._ways(u, w, flip=True)


@final
class RandomVerticalFlip(_Flip):
    """
    Top and bottom exchanged, with probability `p` for each image.

    Parameters
    ----------
    p : float, 0 to 1

    Raises
    ------
    ConfigError

    Notes
    -----
    ``y[n, c, i, j] = x[n, c, H - 1 - i, j]``

    Examples
    --------
    >>> import numpy as np
    >>> RandomVerticalFlip(p=1)(np.asarray([[[[1.0], [2.0]]]]), index=[0])[0].tolist()
    [[[[2.0], [1.0]]]]
    """

    def places(self, u: Array, h: int, w: int) -> tuple[Array, Array]:
        return self._ways(u, h, flip=True), self._ways(u, w, flip=False)


@final
class RandomCrop(Move):
    """
    A piece of each image, padded first, from a random place.

    Parameters
    ----------
    size : int or pair (height, width), pixels
    padding : int, pair (height, width), or four (left, right, top, bottom), pixels
        Border added before; None is 0. Pairs are as everywhere in xpcnn; torchvision has (width, height).
    fill : float
        Of the border with ``padding_mode="constant"``.
    padding_mode : {"constant", "edge", "reflect", "symmetric"}
        As in :func:`numpy.pad`; "reflect" does not repeat the last pixel.

    Raises
    ------
    ConfigError
        At construction; `ShapeError` at the call, if an image with its border is smaller than `size`.

    Examples
    --------
    >>> import numpy as np
    >>> RandomCrop(4, padding=1)(np.ones((2, 3, 4, 4)), index=[0, 1])[0].shape
    (2, 3, 4, 4)
    """

    draws = 2
    on_device = True

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        *,
        fill: float = 0.0,
        padding_mode: str = "constant",
    ) -> None:
        pair("RandomCrop", "size", size)
        if padding is not None:
            if isinstance(padding, str):
                message = f"RandomCrop: expected padding in pixels, got {padding!r}"
                raise ConfigError(message)
            pads("RandomCrop", padding, (1, 1))
        self.size, self.padding = plain(size), plain(padding)
        self.fill = number(self, "fill", fill)
        self.padding_mode = checked_mode(self, padding_mode)

    def check(self, shape: tuple[int, ...], y: Array | None) -> tuple[int, ...]:
        size, (top, bottom, left, right) = pair("RandomCrop", "size", self.size), self._pads()
        padded = (shape[2] + top + bottom, shape[3] + left + right)
        if size[0] > padded[0] or size[1] > padded[1]:
            message = (
                f"RandomCrop: expected images of at least {size} with their padding, got {padded}: "
                "take a smaller size or more padding"
            )
            raise ShapeError(message)
        return (*shape[:2], *size)

    def places(self, u: Array, h: int, w: int) -> tuple[Array, Array]:
        (oh, ow), (top, bottom, left, right) = pair("RandomCrop", "size", self.size), self._pads()
        i = whole(u[:, 0], h + top + bottom - oh + 1) - top
        j = whole(u[:, 1], w + left + right - ow + 1) - left
        mode = self.padding_mode
        return positions(i, oh, h, mode), positions(j, ow, w, mode)

    def _pads(self) -> tuple[int, int, int, int]:
        return pads("RandomCrop", 0 if self.padding is None else self.padding, (1, 1))


@final
class RandomShift(Move):
    """
    Images moved by whole pixels, up to so many in each direction: :class:`RandomCrop` to the size that they have.

    Parameters
    ----------
    pixels : int or pair (down, right), at least 0
        Largest shift; each from -pixels to pixels is as likely.
    fill : float
        What comes in from outside with ``padding_mode="constant"``.
    padding_mode : {"constant", "edge", "reflect", "symmetric"}

    Raises
    ------
    ConfigError

    Notes
    -----
    ``y[n, c, i, j] = x[n, c, i + a[n], j + b[n]]``, with a and b the draws of ``RandomCrop((H, W), padding=pixels)``,
    less the padding.

    Examples
    --------
    >>> import numpy as np
    >>> RandomShift(2)(np.ones((2, 1, 8, 8)), index=[0, 1])[0].shape
    (2, 1, 8, 8)
    """

    draws = 2
    on_device = True

    def __init__(
        self, pixels: int | Sequence[int], *, fill: float = 0.0, padding_mode: str = "constant"
    ) -> None:
        pair("RandomShift", "pixels", pixels, minimum=0)
        self.pixels = plain(pixels)
        self.fill = number(self, "fill", fill)
        self.padding_mode = checked_mode(self, padding_mode)

    def places(self, u: Array, h: int, w: int) -> tuple[Array, Array]:
        a, b = pair("RandomShift", "pixels", self.pixels, minimum=0)
        i, j = whole(u[:, 0], 2 * a + 1) - a, whole(u[:, 1], 2 * b + 1) - b
        mode = self.padding_mode
        return positions(i, h, h, mode), positions(j, w, w, mode)


@final
class RandomRotation(Transform):
    """
    Images turned about their centres, by bilinear interpolation; see :func:`xpcnn.data.augment.sampling.rotate`.

    Parameters
    ----------
    degrees : float of at least 0, or pair (least, most)
        A number d stands for (-d, d). Counter-clockwise is positive, as in torchvision; its default interpolation,
        nearest, is not offered, because the nearest pixel may hang on the last bit.
    fill : float
        What lies outside of the image.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> RandomRotation(10)(np.ones((2, 1, 8, 8)), index=[0, 1])[0].shape
    (2, 1, 8, 8)
    """

    draws = 1
    on_device = True

    def __init__(self, degrees: float | Sequence[float], *, fill: float = 0.0) -> None:
        self.degrees: float | tuple[float, ...]
        if isinstance(degrees, (tuple, list)):
            ends = tuple(number(self, "degrees", d) for d in degrees)
            if len(ends) != 2 or ends[0] > ends[1]:
                message = f"RandomRotation: expected degrees to be a number or a pair (least, most), got {degrees!r}"
                raise ConfigError(message)
            self.degrees = ends
        else:
            self.degrees = number(self, "degrees", degrees, least=0)
        self.fill = number(self, "fill", fill)

    def images(self, x: Array, u: Array) -> Array:
        least, most = self.degrees if isinstance(self.degrees, tuple) else (-self.degrees, self.degrees)
        return rotate(x, least + (most - least) * u[:, 0], self.fill)


def whole(u: Array, count: int) -> Array:
    """
    Integers 0 to count - 1, each as likely, from uniform numbers in [0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> whole(np.asarray([0.0, 0.5, 1 - 2**-53]), 10).tolist()
    [0, 5, 9]
    """
    xp = array_namespace(u)
    return xp.astype(xp.floor(u * count), xp.int64)
