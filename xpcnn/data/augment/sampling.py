"""
Moving pixels: each entry of the output is read at a place in the input that may differ from sample to sample.

Where to read is worked out where the draws lie, in integers, for rows and columns apart (N * (H + W) numbers, not
N * H * W); the reading is one gather on the device, channel by channel, and so the result lies in memory.
"""

import math

from xpcnn.backend import Array, accelerated, array_namespace, is_host
from xpcnn.errors import ConfigError

from .base import moved

__all__ = ["PADDING_MODES", "checked_mode", "gather", "positions", "rotate"]

PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


def checked_mode(who: object, mode: str) -> str:
    """
    The name of a padding mode, checked.

    Raises
    ------
    ConfigError
    """
    if mode in PADDING_MODES:
        return mode
    message = f"{type(who).__name__}: expected padding_mode to be one of {', '.join(PADDING_MODES)}, got {mode!r}"
    raise ConfigError(message)


def positions(start: Array, count: int, size: int, mode: str = "constant") -> Array:
    """
    Where along an axis to read, for windows that may reach over the ends.

    Parameters
    ----------
    start : int64 array, shape (N,)
        First position of each window.
    count : int
        Length of the windows.
    size : int
        Length of the axis.
    mode : {"constant", "edge", "reflect", "symmetric"}
        What lies beyond the ends, as in :func:`numpy.pad`.

    Returns
    -------
    places : array, shape (N, count)
        0 to size - 1; -1 for the constant.

    Examples
    --------
    >>> import numpy as np
    >>> [positions(np.asarray([-2]), 4, 3, mode).tolist()[0] for mode in ("constant", "edge", "reflect", "symmetric")]
    [[-1, -1, 0, 1], [0, 0, 0, 1], [2, 1, 0, 1], [1, 0, 0, 1]]
    """
    xp = array_namespace(start)
    place = start[:, None] + xp.arange(count, dtype=xp.int64, device=start.device)
    if mode == "constant":
        return xp.where((place >= 0) & (place < size), place, -1)
    if mode == "edge":
        return xp.minimum(xp.maximum(place, 0), size - 1)
    if mode == "symmetric":  # ... 1 0 | 0 1 2 | 2 1 ...
        wrapped = place % (2 * size)
        return xp.minimum(wrapped, 2 * size - 1 - wrapped)
    wrapped = place % max(2 * size - 2, 1)  # ... 2 1 | 0 1 2 | 1 0 ...
    return xp.minimum(wrapped, 2 * size - 2 - wrapped)


def gather(x: Array, rows: Array, cols: Array, fill: float = 0.0) -> Array:
    """
    Images read at chosen rows and columns.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    rows : int64 array, shape (N, OH)
    cols : int64 array, shape (N, OW)
        -1 stands for outside. Of NumPy, or where `x` lives.
    fill : float
        What is outside.

    Returns
    -------
    y : array, shape (N, C, OH, OW)

    Notes
    -----
    ``y[n, c, i, j] = x[n, c, rows[n, i], cols[n, j]]``, as a take from the list of all pixels. One more row and column
    of `fill` stand for all that is outside.

    Examples
    --------
    >>> import numpy as np
    >>> gather(np.asarray([[[[1.0, 2.0]]]]), np.asarray([[0]]), np.asarray([[1, 0, -1]])).tolist()
    [[[[2.0, 1.0, 0.0]]]]
    """
    if (fast := accelerated("gather", x, rows, cols, fill)) is not None:
        return fast
    xp = array_namespace(x)
    n, c, h, w = x.shape
    (_, oh), (_, ow) = rows.shape, cols.shape
    there = array_namespace(rows)
    if not is_host(rows) or min(rows.min(), cols.min()) < 0:
        rows, cols = there.where(rows < 0, h, rows), there.where(cols < 0, w, cols)
        x = _bordered(x, (0, 1), fill)
    pixels, (h, w) = _planes(x), x.shape[2:]
    begin = there.arange(n, dtype=there.int64, device=rows.device)[:, None] * (h * w) + rows * w  # of each row
    place = xp.reshape(moved(begin, x)[:, :, None] + moved(cols, x)[:, None, :], (-1,))
    return xp.permute_dims(xp.reshape(xp.take(pixels, place, axis=1), (c, n, oh, ow)), (1, 0, 2, 3))


def _bordered(x: Array, width: tuple[int, int], fill: float) -> Array:
    """Images with so many rows and columns of `fill` before and after them; in memory channel by channel."""
    xp = array_namespace(x)
    n, c, h, w = x.shape
    before, after = width
    shape = (c, n, before + h + after, before + w + after)
    out = xp.permute_dims(xp.full(shape, fill, dtype=x.dtype, device=x.device), (1, 0, 2, 3))
    out[:, :, before : before + h, before : before + w] = x
    return out


def _planes(x: Array) -> Array:
    """All pixels, one row for each channel."""
    xp = array_namespace(x)
    return xp.reshape(xp.permute_dims(x, (1, 0, 2, 3)), (x.shape[1], -1))


def rotate(x: Array, degrees: Array, fill: float = 0.0) -> Array:
    """
    Images turned about their centres, counter-clockwise, read between pixels by bilinear interpolation.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    degrees : float64 array, shape (N,)
        Of NumPy, or where `x` lives.
    fill : float
        What lies outside of the image.

    Returns
    -------
    y : array, shape (N, C, H, W)

    Notes
    -----
    With t the angle and (ci, cj) = ((H - 1) / 2, (W - 1) / 2) the centre, the pixel (i, j) comes from::

        a = ci + cos(t) (i - ci) + sin(t) (j - cj)
        b = cj - sin(t) (i - ci) + cos(t) (j - cj)

    and reads, with A = floor(a), B = floor(b), f = a - A and g = b - B::

        (1 - f) ((1 - g) x[A, B] + g x[A, B + 1]) + f ((1 - g) x[A + 1, B] + g x[A + 1, B + 1])

    As ``grid_sample(affine_grid(...), align_corners=False)`` of PyTorch in square pixels, which torchvision's `rotate`
    calls. It is continuous in (a, b), so a last bit that differs between libraries stays a last bit.

    Examples
    --------
    >>> import numpy as np
    >>> rotate(np.asarray([[[[1.0, 2.0], [3.0, 4.0]]]]), np.asarray([90.0])).round(12).tolist()
    [[[[2.0, 4.0], [1.0, 3.0]]]]
    """
    xp = array_namespace(x)
    n, c, h, w = x.shape
    there, angle = array_namespace(degrees), degrees * (math.pi / 180.0)
    turn = moved(there.stack([there.cos(angle), there.sin(angle)], axis=1), x)
    if (fast := accelerated("rotate", x, turn, fill)) is not None:
        return fast
    cos, sin = turn[:, 0, None, None], turn[:, 1, None, None]
    i = xp.reshape(xp.arange(h, dtype=x.dtype, device=x.device) - (h - 1) / 2.0, (1, h, 1))
    j = xp.reshape(xp.arange(w, dtype=x.dtype, device=x.device) - (w - 1) / 2.0, (1, 1, w))
    f, top = _split(cos * i + sin * j + (h - 1) / 2.0, h)
    g, left = _split(cos * j - sin * i + (w - 1) / 2.0, w)

    pixels = _planes(_bordered(x, (1, 1), fill))  # the border stands for all that is outside
    first = xp.arange(n, dtype=xp.int64, device=x.device) * ((h + 2) * (w + 2)) + (w + 3)
    place = xp.reshape(xp.reshape(first, (n, 1, 1)) + top * (w + 2) + left, (-1,))
    f, g = xp.reshape(f, (1, -1)), xp.reshape(g, (1, -1))

    def line(place: Array) -> Array:
        return (1.0 - g) * xp.take(pixels, place, axis=1) + g * xp.take(pixels, place + 1, axis=1)

    y = (1.0 - f) * line(place) + f * line(place + (w + 2))
    return xp.permute_dims(xp.reshape(y, (c, n, h, w)), (1, 0, 2, 3))


def _split(a: Array, size: int) -> tuple[Array, Array]:
    """Fraction and whole part of positions; those outside come to lie on the border, -1 or size."""
    xp = array_namespace(a)
    a = xp.minimum(xp.maximum(a, -1.0), float(size))
    whole = xp.minimum(xp.floor(a), size - 1.0)
    return a - whole, xp.astype(whole, xp.int64)
