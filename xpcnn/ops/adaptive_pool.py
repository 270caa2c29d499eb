"""
Pooling to a given size: windows that share an image out evenly, whatever its size.

Window ``i`` of OH along H rows is ``floor(i H / OH) <= h < ceil((i + 1) H / OH)``: all rows are covered, and where H is
no multiple of OH neighbours may overlap by one. A window is a rectangle, so its mean and its maximum are taken along
each row first and then down the column of what that gave: OW + OH slices instead of OW * OH.
"""

from typing import Any

from xpcnn.backend import Array, Namespace, accelerated, array_namespace

from .adaptive_windows import OutputSize, adaptive_shape, place_bytes, spans_of
from .checks import check_gradient, check_images, common
from .sums import from_rows, to_rows

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "adaptive_shape",
    "global_max_pool2d",
    "global_max_pool2d_backward",
]

Places = tuple[Array, Array]

AVG, MAX, GLOBAL = "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "GlobalMaxPool2d"


def adaptive_avg_pool2d(x: Array, output_size: OutputSize) -> Array:
    """
    Means of windows that share the image out evenly.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    output_size : int or pair (height, width)
        OH and OW; None in a pair keeps the size of x.

    Returns
    -------
    y : array, shape (N, C, OH, OW)

    Raises
    ------
    ShapeError, ConfigError, DtypeError, NamespaceError
        Before anything is computed.

    Notes
    -----
    ::

        y[n, c, oh, ow] = sum_{h in rows(oh), w in columns(ow)} x[n, c, h, w] / (|rows(oh)| |columns(ow)|)
        rows(i) = floor(i H / OH), ..., ceil((i + 1) H / OH) - 1

    The windows are PyTorch's. They go back to He, Zhang, Ren and Sun (2014), "Spatial pyramid pooling in deep
    convolutional networks for visual recognition", section 2.3.

    Examples
    --------
    >>> import numpy as np
    >>> adaptive_avg_pool2d(np.asarray([[[[1.0, 2.0, 6.0]]]]), (1, 2)).tolist()
    [[[[1.5, 4.0]]]]
    """
    xp = common(AVG, x=x)
    out = adaptive_shape(AVG, x.shape, output_size)
    if (fast := accelerated("adaptive_avg_pool2d", x, out)) is not None:
        return fast
    x = from_rows(to_rows(x), x.shape)
    for axis in (3, 2):
        spans = spans_of(x.shape[axis], out[axis])
        # two divisions, each by a whole number: in float32 more exact than a product with one over it
        y = _zeros(xp, x, axis, out[axis])
        for i, (a, b) in enumerate(spans):
            y[_at(axis, i, i + 1)] = _sum(x[_at(axis, a, b)], axis) / float(b - a)
        x = y
    return x


def _sum(window: Array, axis: int) -> Array:
    """Sum along one axis as a product with ones, for the reason that :func:`xpcnn.ops.sums.sum_rows` has."""
    xp = array_namespace(window)
    order = (0, 5 - axis, axis, 1)  # its own inverse for the height; for the width the inverse is (0, 3, 1, 2)
    ones = xp.ones((1, window.shape[axis]), dtype=window.dtype, device=window.device)
    total = xp.matmul(ones, xp.permute_dims(window, order))
    return xp.permute_dims(total, (0, 3, 2, 1) if axis == 2 else (0, 3, 1, 2))


def adaptive_avg_pool2d_backward(dy: Array, shape: tuple[int, ...], output_size: OutputSize) -> Array:
    """
    Gradient of :func:`adaptive_avg_pool2d`, given ``dy = dL/dy`` and the shape (N, C, H, W) of x.

    Notes
    -----
    Every entry of a window moves its mean equally; windows that overlap add up::

        dx[n, c, h, w] = sum of dy[n, c, oh, ow] / (|rows(oh)| |columns(ow)|) over the windows that cover (h, w)

    Examples
    --------
    >>> import numpy as np
    >>> adaptive_avg_pool2d_backward(np.ones((1, 1, 1, 2)), (1, 1, 1, 3), (1, 2)).tolist()
    [[[[0.5, 1.0, 0.5]]]]
    """
    xp = common(AVG, dy=dy)
    check_gradient(AVG, dy, adaptive_shape(AVG, shape, output_size))
    if (fast := accelerated("adaptive_avg_pool2d_backward", dy, shape)) is not None:
        return fast
    for axis in (2, 3):
        dx = _zeros(xp, dy, axis, shape[axis])
        for i, (a, b) in enumerate(spans_of(shape[axis], dy.shape[axis])):
            dx[_at(axis, a, b)] += dy[_at(axis, i, i + 1)] / float(b - a)
        dy = dx
    return dy


def adaptive_max_pool2d(x: Array, output_size: OutputSize) -> tuple[Array, Places]:
    """
    Largest entries of windows that share the image out evenly, and where they lie.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    output_size : int or pair (height, width)
        OH and OW; None in a pair keeps the size of x.

    Returns
    -------
    y : array, shape (N, C, OH, OW)
    places : pair of integer arrays, shapes (N, C, H, OW) and (N, C, OH, OW)
        What the backward pass needs: for each row of x the column of its maximum in each window, and the row in which
        the window's maximum lies; both counted from where the window starts.

    Raises
    ------
    ShapeError, ConfigError, DtypeError, NamespaceError
        Before anything is computed.

    Notes
    -----
    ::

        y[n, c, oh, ow] = max_{h in rows(oh), w in columns(ow)} x[n, c, h, w]

    with the windows of :func:`adaptive_avg_pool2d`. Of equal entries the first in the order of rows wins, as in
    PyTorch: the first column of each row, then the first row. A NaN wins over all numbers; of several NaNs the first
    (in PyTorch the last).

    Examples
    --------
    >>> import numpy as np
    >>> adaptive_max_pool2d(np.asarray([[[[1.0, 2.0, 6.0]]]]), (1, 2))[0].tolist()
    [[[[2.0, 6.0]]]]
    """
    common(MAX, x=x)
    return _max(x, adaptive_shape(MAX, x.shape, output_size))


def adaptive_max_pool2d_backward(dy: Array, places: Places, shape: tuple[int, ...], output_size: OutputSize) -> Array:
    """
    Gradient of :func:`adaptive_max_pool2d`, given ``dy = dL/dy``.

    Parameters
    ----------
    dy : array, shape (N, C, OH, OW)
    places : pair of integer arrays
        Of the forward pass.
    shape : tuple
        Shape (N, C, H, W) of x.

    Returns
    -------
    dx : array, shape (N, C, H, W)

    Notes
    -----
    Only the winner moves the output, so it gets all of the gradient; windows that overlap add up. The forward pass took
    ``m[n, c, h, ow] = max_w x`` and ``y = max_h m``, so backwards, with the column q and the row p of the winners::

        dm[n, c, h, ow] = sum_oh dy[n, c, oh, ow] [h = p[n, c, oh, ow]]
        dx[n, c, h, w]  = sum_ow dm[n, c, h, ow] [w = q[n, c, h, ow]]

    An infinite dy gives NaN at the losers of its window, since ``inf * 0`` is (in PyTorch 0).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([[[[1.0, 6.0, 2.0]]]])
    >>> adaptive_max_pool2d_backward(np.ones((1, 1, 1, 2)), adaptive_max_pool2d(x, (1, 2))[1], x.shape, (1, 2)).tolist()
    [[[[0.0, 2.0, 0.0]]]]
    """
    common(MAX, dy=dy)
    return _max_backward(MAX, dy, places, shape, adaptive_shape(MAX, shape, output_size))


def global_max_pool2d(x: Array) -> tuple[Array, Places]:
    """
    Largest entry of each channel over the whole image, and where it lies.

    Parameters
    ----------
    x : array, shape (N, C, H, W)

    Returns
    -------
    y : array, shape (N, C)
    places : pair of integer arrays
        As in :func:`adaptive_max_pool2d`, of which this is the case of one window.

    Raises
    ------
    ShapeError, DtypeError, NamespaceError
        Before anything is computed.

    Notes
    -----
    ``y[n, c] = max_{h, w} x[n, c, h, w]``. A NaN wins. The first maximum gets the gradient, as with PyTorch's
    ``AdaptiveMaxPool2d(1)`` and ``max``; ``amax`` would share it out among equals.

    Source: Oquab, Bottou, Laptev and Sivic (2015), "Is object localization for free?", section 3.

    Examples
    --------
    >>> import numpy as np
    >>> global_max_pool2d(np.asarray([[[[1.0, 5.0], [2.0, 3.0]]]]))[0].tolist()
    [[5.0]]
    """
    xp = common(GLOBAL, x=x)
    check_images(GLOBAL, x.shape)
    y, places = _max(x, (*x.shape[:2], 1, 1))
    return xp.reshape(y, x.shape[:2]), places


def global_max_pool2d_backward(dy: Array, places: Places, shape: tuple[int, ...]) -> Array:
    """
    Gradient of :func:`global_max_pool2d`, given ``dy = dL/dy``, the places and the shape (N, C, H, W) of x.

    Notes
    -----
    ``dx[n, c, h, w] = dy[n, c]`` where the first maximum of the channel lies, else 0.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([[[[1.0, 5.0], [5.0, 3.0]]]])
    >>> global_max_pool2d_backward(np.ones((1, 1)), global_max_pool2d(x)[1], x.shape).tolist()
    [[[[0.0, 1.0], [0.0, 0.0]]]]
    """
    xp = common(GLOBAL, dy=dy)
    check_gradient(GLOBAL, dy, shape[:2])
    out = (*shape[:2], 1, 1)
    return _max_backward(GLOBAL, xp.reshape(dy, out), places, shape, out)


def _max(x: Array, out: tuple[int, ...]) -> tuple[Array, Places]:
    if (fast := accelerated("adaptive_max_pool2d", x, out)) is not None:
        return fast
    x = from_rows(to_rows(x), x.shape)  # channels-last in memory: what follows runs along the channels
    m, columns = _first_max(x, 3, out[3])
    y, rows = _first_max(m, 2, out[2])
    return y, (columns, rows)


def _max_backward(who: str, dy: Array, places: Places, shape: tuple[int, ...], out: tuple[int, ...]) -> Array:
    columns, rows = places
    check_gradient(who, dy, out)
    check_gradient(who, rows, out)
    check_gradient(who, columns, (*shape[:3], out[3]))
    if (fast := accelerated("adaptive_max_pool2d_backward", dy, places, shape)) is not None:
        return fast
    dy = from_rows(to_rows(dy), dy.shape)
    return _to_winners(_to_winners(dy, rows, 2, shape[2]), columns, 3, shape[3])


def _first_max(x: Array, axis: int, count: int) -> tuple[Array, Array]:
    """Maxima over `count` windows along an axis, and the place of the first of each in its window."""
    xp = array_namespace(x)
    spans = spans_of(x.shape[axis], count)
    kind = xp.uint8 if place_bytes(x.shape[axis], count) == 1 else xp.int32
    maxima, places = _zeros(xp, x, axis, count), _zeros(xp, x, axis, count, kind)  # concat would lose channels-last
    for i, (a, b) in enumerate(spans):
        window = x[_at(axis, a, b)]
        y = xp.max(window, axis=axis, keepdims=True)
        # not argmax, which on a CPU is slow along any axis but the last: the first place has the largest countdown
        wins = xp.logical_or(window == y, window != window)  # a NaN differs from itself
        countdown = xp.astype(wins, kind) * _along(xp.arange(b - a, 0, -1, dtype=kind, device=x.device), axis)
        maxima[_at(axis, i, i + 1)] = y
        places[_at(axis, i, i + 1)] = (b - a) - xp.max(countdown, axis=axis, keepdims=True)
    return maxima, places


def _to_winners(dy: Array, places: Array, axis: int, size: int) -> Array:
    """Adjoint of reading the entries that :func:`_first_max` found."""
    xp = array_namespace(dy)
    dx = _zeros(xp, dy, axis, size)
    for i, (a, b) in enumerate(spans_of(size, dy.shape[axis])):
        own = _at(axis, i, i + 1)
        won = places[own] == _along(xp.arange(b - a, dtype=places.dtype, device=dy.device), axis)
        dx[_at(axis, a, b)] += dy[own] * xp.astype(won, dy.dtype)
    return dx


def _at(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    """The index of entries `start` to ``stop - 1`` along one of four axes."""
    return (slice(None),) * axis + (slice(start, stop),) + (slice(None),) * (3 - axis)


def _along(a: Array, axis: int) -> Array:
    """One-dimensional numbers as an array of four axes that extends along one."""
    return array_namespace(a).reshape(a, tuple(-1 if i == axis else 1 for i in range(4)))


def _zeros(xp: Namespace, like: Array, axis: int, size: int, dtype: Any = None) -> Array:
    """Zeros of the shape of `like` but for the size of one axis, channels-last in memory."""
    n, c, h, w = (size if i == axis else s for i, s in enumerate(like.shape))
    zeros = xp.zeros((n, h, w, c), dtype=dtype or like.dtype, device=like.device)
    return xp.permute_dims(zeros, (0, 3, 1, 2))
