"""Transforms that hide a part of each image: cutout and random erasing."""

import math
from collections.abc import Sequence
from typing import final

from xpcnn.backend import Array, array_namespace
from xpcnn.errors import ConfigError
from xpcnn.settings import count, number

from .base import Transform, moved
from .move import whole

__all__ = ["Cutout", "RandomErasing", "boxes"]


def boxes(x: Array, top: Array, bottom: Array, left: Array, right: Array) -> Array:
    """
    Boolean array of a box in each image.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    top, bottom, left, right : int64 arrays, shape (N,)
        First row and the one after the last, likewise columns; what is outside of the image does not matter. Of NumPy,
        or where `x` lives.

    Returns
    -------
    inside : boolean array, shape (N, 1, H, W), where `x` lives

    Examples
    --------
    >>> import numpy as np
    >>> side = np.asarray([1])
    >>> boxes(np.zeros((1, 1, 2, 3)), side - 1, side, side, side + 9).tolist()
    [[[[False, True, True], [False, False, False]]]]
    """
    rows, cols = moved(_between(top, bottom, x.shape[2]), x), moved(_between(left, right, x.shape[3]), x)
    return array_namespace(x).logical_and(rows[:, None, :, None], cols[:, None, None, :])


def _between(first: Array, end: Array, size: int) -> Array:
    """Boolean array (N, size), true from `first` to the one before `end`."""
    xp = array_namespace(first)
    i = xp.arange(size, dtype=xp.int64, device=first.device)[None, :]
    return (i >= first[:, None]) & (i < end[:, None])


@final
class Cutout(Transform):
    """
    Squares of each image hidden.

    Parameters
    ----------
    length : int, pixels
        Side of the square.
    n_holes : int
        How many in each image; they may overlap.
    fill : float
        What hides: 0, the mean of normalised images.

    Raises
    ------
    ConfigError

    Notes
    -----
    The centre is any pixel with equal probability, so the square may reach over the border and hide less: a square of
    side l hides ``ceil(l / 2)**2`` to ``l**2`` pixels of an image that is larger. Its rows are
    ``centre - l // 2`` to ``centre - l // 2 + l - 1``.

    Source: DeVries and Taylor (2017), "Improved regularization of convolutional neural networks with cutout",
    section 3.2, where fixed size is preferred to random size. (Their program's odd squares are a pixel smaller.)

    Examples
    --------
    >>> import numpy as np
    >>> x, _ = Cutout(3)(np.ones((1, 1, 9, 9)), index=[0])
    >>> 4 <= (x == 0).sum() <= 9
    np.True_
    """

    on_device = True

    def __init__(self, length: int, n_holes: int = 1, *, fill: float = 0.0) -> None:
        self.length = count(self, "length", length)
        self.n_holes = count(self, "n_holes", n_holes)
        self.fill = number(self, "fill", fill)
        self.draws = 2 * self.n_holes

    def images(self, x: Array, u: Array) -> Array:
        xp = array_namespace(x)
        for hole in range(self.n_holes):
            top = whole(u[:, 2 * hole], x.shape[2]) - self.length // 2
            left = whole(u[:, 2 * hole + 1], x.shape[3]) - self.length // 2
            x = xp.where(boxes(x, top, top + self.length, left, left + self.length), self.fill, x)
        return x


_ATTEMPTS = 10


@final
class RandomErasing(Transform):
    """
    A rectangle of random size and shape in each image, hidden with probability `p`.

    Parameters
    ----------
    p : float, 0 to 1
    scale : pair of float
        Least and largest area, as a share of the image's.
    ratio : pair of float
        Least and largest ratio of height to width; its logarithm is uniform.
    value : float
        What hides.

    Raises
    ------
    ConfigError

    Notes
    -----
    Area and ratio are drawn up to ten times, until the rectangle is smaller than the image; if it never is, the image
    stays as it is. All inside places are as likely. As torchvision does it.

    Source: Zhong, Zheng, Kang, Li and Yang (2020), "Random erasing data augmentation", algorithm 1 (there the ratio
    itself is uniform, and attempts go on until one fits).

    Examples
    --------
    >>> import numpy as np
    >>> x, _ = RandomErasing(p=1, scale=(0.2, 0.2), ratio=(1, 1))(np.ones((1, 1, 10, 10)), index=[0])
    >>> int((x == 0).sum())
    16
    """

    draws = 3 + 2 * _ATTEMPTS
    on_device = True

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float = 0.0,
    ) -> None:
        self.p = number(self, "p", p, least=0, most=1)
        self.scale = _range(self, "scale", scale, most=1)
        self.ratio = _range(self, "ratio", ratio)
        self.value = number(self, "value", value)

    def images(self, x: Array, u: Array) -> Array:
        xp, (h, w) = array_namespace(u), x.shape[2:]
        area = h * w * (self.scale[0] + (self.scale[1] - self.scale[0]) * u[:, 3::2])
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = xp.exp(low + (high - low) * u[:, 4::2])
        heights, widths = xp.round(xp.sqrt(area * ratio)), xp.round(xp.sqrt(area / ratio))
        fits = (heights < h) & (widths < w)
        first = xp.argmax(xp.astype(fits, xp.int64), axis=1)
        chosen = xp.arange(_ATTEMPTS, dtype=xp.int64, device=u.device)[None, :] == first[:, None]
        taken = xp.astype(chosen & fits & (u[:, :1] < self.p), xp.float64)
        height, width = (xp.astype(xp.sum(size * taken, axis=1), xp.int64) for size in (heights, widths))
        top = xp.astype(xp.floor(u[:, 1] * xp.astype(h - height + 1, xp.float64)), xp.int64)
        left = xp.astype(xp.floor(u[:, 2] * xp.astype(w - width + 1, xp.float64)), xp.int64)
        inside = boxes(x, top, top + height, left, left + width)
        return array_namespace(x).where(inside, self.value, x)


def _range(who: Transform, name: str, value: Sequence[float], most: float | None = None) -> tuple[float, ...]:
    """Two numbers above 0 in order."""
    ends = tuple(number(who, name, v, above=0, most=most) for v in value) if isinstance(value, (tuple, list)) else ()
    if len(ends) != 2 or ends[0] > ends[1]:
        message = f"{type(who).__name__}: expected {name} to be a pair (least, most), got {value!r}"
        raise ConfigError(message)
    return ends
