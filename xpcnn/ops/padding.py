"""
Borders around images: zeros, the image mirrored, or its outermost pixels repeated; and their adjoints.

Each works along the rows first and then along the columns of what that gave, so that corners come by themselves; the
adjoint goes the other way round. A negative number of pixels crops: the border is made first and then what is to go is
cut off, so a mirror image shows the whole image even where a part of that is cut away. This is PyTorch's order, too.
"""

from collections.abc import Callable, Sequence
from typing import Any

from xpcnn.backend import Array, array_namespace
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.settings import integer

from .checks import check_gradient, check_images, common
from .geometry import Pads
from .windows import crop, pad

__all__ = [
    "padded_shape",
    "reflection_pad2d",
    "reflection_pad2d_backward",
    "replication_pad2d",
    "replication_pad2d_backward",
    "sides",
    "zero_pad2d",
    "zero_pad2d_backward",
]

Sides = int | Sequence[int]
Border = Callable[[Array, int, int, int, int], None]

ZERO, REFLECTION, REPLICATION = "ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d"


def zero_pad2d(x: Array, padding: Sides) -> Array:
    """
    Images in a frame of zeros.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    padding : int or four (left, right, top, bottom), pixels
        Negative numbers crop.

    Returns
    -------
    y : array, shape (N, C, top + H + bottom, left + W + right)

    Raises
    ------
    ShapeError, ConfigError, DtypeError, NamespaceError
        Before anything is computed.

    Notes
    -----
    ``y[n, c, h + top, w + left] = x[n, c, h, w]``, and 0 elsewhere.

    Examples
    --------
    >>> import numpy as np
    >>> zero_pad2d(np.ones((1, 1, 1, 2)), (1, 2, 0, 0)).tolist()
    [[[[0.0, 1.0, 1.0, 0.0, 0.0]]]]
    """
    return _forward(ZERO, x, padding, None)


def zero_pad2d_backward(dy: Array, shape: tuple[int, ...], padding: Sides) -> Array:
    """
    Gradient of :func:`zero_pad2d`, given ``dy = dL/dy`` and the shape (N, C, H, W) of x.

    Notes
    -----
    ``dx[n, c, h, w] = dy[n, c, h + top, w + left]``, and 0 for what was cut off.

    Examples
    --------
    >>> import numpy as np
    >>> zero_pad2d_backward(np.asarray([[[[1.0, 2.0, 3.0]]]]), (1, 1, 1, 2), (1, 0, 0, 0)).tolist()
    [[[[2.0, 3.0]]]]
    """
    return _backward(ZERO, dy, shape, padding, None)


def reflection_pad2d(x: Array, padding: Sides) -> Array:
    """
    Images continued by their mirror image; the outermost pixels are the mirror and are not repeated.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    padding : int or four (left, right, top, bottom), pixels
        Less than the image's width and height. Negative numbers crop.

    Returns
    -------
    y : array, shape (N, C, top + H + bottom, left + W + right)

    Raises
    ------
    ShapeError, ConfigError, DtypeError, NamespaceError
        Before anything is computed.

    Notes
    -----
    ``y[n, c, h, w] = x[n, c, r(h - top, H), r(w - left, W)]`` with ``r(i, n) = n - 1 - | n - 1 - |i| |``.

    Examples
    --------
    >>> import numpy as np
    >>> reflection_pad2d(np.asarray([[[[1.0, 2.0, 3.0]]]]), (2, 1, 0, 0)).tolist()
    [[[[3.0, 2.0, 1.0, 2.0, 3.0, 2.0]]]]
    """
    return _forward(REFLECTION, x, padding, _mirror)


def reflection_pad2d_backward(dy: Array, shape: tuple[int, ...], padding: Sides) -> Array:
    """
    Gradient of :func:`reflection_pad2d`, given ``dy = dL/dy`` and the shape (N, C, H, W) of x.

    Notes
    -----
    A pixel gets what all of its copies got, so the border is folded back, mirrored and added::

        dx[n, c, h, w] = sum of dy[n, c, p, q] over all copies (p, q) of (h, w)

    Examples
    --------
    >>> import numpy as np
    >>> reflection_pad2d_backward(np.ones((1, 1, 1, 6)), (1, 1, 1, 3), (2, 1, 0, 0)).tolist()
    [[[[1.0, 3.0, 2.0]]]]
    """
    return _backward(REFLECTION, dy, shape, padding, _fold_mirror)


def replication_pad2d(x: Array, padding: Sides) -> Array:
    """
    Images continued by their outermost pixels.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    padding : int or four (left, right, top, bottom), pixels
        Negative numbers crop.

    Returns
    -------
    y : array, shape (N, C, top + H + bottom, left + W + right)

    Raises
    ------
    ShapeError, ConfigError, DtypeError, NamespaceError
        Before anything is computed.

    Notes
    -----
    ``y[n, c, h, w] = x[n, c, e(h - top, H), e(w - left, W)]`` with ``e(i, n) = min(max(i, 0), n - 1)``.

    Examples
    --------
    >>> import numpy as np
    >>> replication_pad2d(np.asarray([[[[1.0, 2.0]]]]), (2, 1, 0, 0)).tolist()
    [[[[1.0, 1.0, 1.0, 2.0, 2.0]]]]
    """
    return _forward(REPLICATION, x, padding, _repeat)


def replication_pad2d_backward(dy: Array, shape: tuple[int, ...], padding: Sides) -> Array:
    """
    Gradient of :func:`replication_pad2d`, given ``dy = dL/dy`` and the shape (N, C, H, W) of x.

    Notes
    -----
    A pixel gets what all of its copies got, so the border is summed up into the outermost pixels::

        dx[n, c, h, w] = sum of dy[n, c, p, q] over all copies (p, q) of (h, w)

    Examples
    --------
    >>> import numpy as np
    >>> replication_pad2d_backward(np.ones((1, 1, 1, 5)), (1, 1, 1, 2), (2, 1, 0, 0)).tolist()
    [[[[3.0, 2.0]]]]
    """
    return _backward(REPLICATION, dy, shape, padding, _fold_repeated)


def _forward(who: str, x: Array, padding: Sides, fill: Border | None) -> Array:
    common(who, x=x)
    padded_shape(who, x.shape, padding)
    added, cut = _added_and_cut(sides(who, padding))
    y = pad(x, added)
    if fill is not None:
        for axis in (3, 2):
            fill(y, axis, added[2 * axis - 4], x.shape[axis], added[2 * axis - 3])
    return crop(y, cut)


def _backward(who: str, dy: Array, shape: tuple[int, ...], padding: Sides, fold: Border | None) -> Array:
    xp = common(who, dy=dy)
    check_gradient(who, dy, padded_shape(who, shape, padding))
    added, cut = _added_and_cut(sides(who, padding))
    dy = pad(dy, cut)
    if fold is not None and any(added):
        dy = dy if any(cut) else xp.asarray(dy, copy=True)  # dy belongs to the caller
        for axis in (2, 3):
            fold(dy, axis, added[2 * axis - 4], shape[axis], added[2 * axis - 3])
    return crop(dy, added)


# Along one axis `size` entries lie behind `before` and in front of `after` entries of border.


def _mirror(y: Array, axis: int, before: int, size: int, after: int) -> None:
    flip, end = array_namespace(y).flip, before + size
    if before:
        y[_at(axis, 0, before)] = flip(y[_at(axis, before + 1, 2 * before + 1)], axis=axis)
    if after:
        y[_at(axis, end, end + after)] = flip(y[_at(axis, end - 1 - after, end - 1)], axis=axis)


def _fold_mirror(dy: Array, axis: int, before: int, size: int, after: int) -> None:
    flip, end = array_namespace(dy).flip, before + size
    if before:
        dy[_at(axis, before + 1, 2 * before + 1)] += flip(dy[_at(axis, 0, before)], axis=axis)
    if after:
        dy[_at(axis, end - 1 - after, end - 1)] += flip(dy[_at(axis, end, end + after)], axis=axis)


def _repeat(y: Array, axis: int, before: int, size: int, after: int) -> None:
    end = before + size
    if before:
        y[_at(axis, 0, before)] = y[_at(axis, before, before + 1)]
    if after:
        y[_at(axis, end, end + after)] = y[_at(axis, end - 1, end)]


def _fold_repeated(dy: Array, axis: int, before: int, size: int, after: int) -> None:
    xp, end = array_namespace(dy), before + size
    if before:
        dy[_at(axis, before, before + 1)] += xp.sum(dy[_at(axis, 0, before)], axis=axis, keepdims=True)
    if after:
        dy[_at(axis, end - 1, end)] += xp.sum(dy[_at(axis, end, end + after)], axis=axis, keepdims=True)


def _at(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    """The index of entries `start` to ``stop - 1`` along one of four axes."""
    return (slice(None),) * axis + (slice(start, stop),) + (slice(None),) * (3 - axis)


def sides(who: str, padding: Any) -> Pads:
    """
    Pixels to add above, below, left and right; negative ones crop.

    Parameters
    ----------
    who : str
        Who asks, for the error text.
    padding : int, or four (left, right, top, bottom)

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> sides("ZeroPad2d", 1), sides("ZeroPad2d", (1, 2, 3, -4))
    ((1, 1, 1, 1), (3, -4, 1, 2))
    """
    given = (padding,) * 4 if integer(padding) is not None else padding
    numbers = [integer(p) for p in given] if isinstance(given, (tuple, list)) else []
    plain = [p for p in numbers if p is not None]
    if len(plain) == len(numbers) == 4:
        left, right, top, bottom = plain
        return top, bottom, left, right
    message = f"{who}: expected padding to be an integer or four (left, right, top, bottom), got {padding!r}"
    raise ConfigError(message)


def _added_and_cut(border: Pads) -> tuple[Pads, Pads]:
    top, bottom, left, right = border
    added = (max(top, 0), max(bottom, 0), max(left, 0), max(right, 0))
    return added, (max(-top, 0), max(-bottom, 0), max(-left, 0), max(-right, 0))


def padded_shape(who: str, shape: tuple[int, ...], padding: Sides) -> tuple[int, int, int, int]:
    """
    Shape of images with their border, of the layer that is named.

    Raises
    ------
    ConfigError
    ShapeError
        If nothing would be left, or a mirror image would be larger than what is mirrored.

    Examples
    --------
    >>> padded_shape("ReflectionPad2d", (2, 3, 8, 8), (1, 0, 2, -1))
    (2, 3, 9, 9)
    """
    top, bottom, left, right = sides(who, padding)
    check_images(who, shape)
    n, c, h, w = shape
    if who == REFLECTION and (max(top, bottom) >= h or max(left, right) >= w):
        hint = "use ReplicationPad2d or a larger image"
        message = f"{who}: expected padding of less than the image's size {(h, w)}, got {padding!r}: {hint}"
        raise ShapeError(message)
    height, width = top + h + bottom, left + w + right
    if min(height, width) < 1:
        message = f"{who}: expected padding {padding!r} to leave something of an image of {(h, w)}: crop less"
        raise ShapeError(message)
    return n, c, height, width
