"""
Pooling: maxima and means over windows, and where the gradient goes.

No windows are copied here: for each of the KH * KW positions in a window, the entries at that position in all windows
at once are a strided slice of the image, and the layer is a running comparison or sum over these slices.
"""

import math
from collections.abc import Sequence

from xpcnn.backend import Array, accelerated, array_namespace
from xpcnn.settings import flag

from .checks import check_gradient, check_images, common
from .geometry import Pads, pads
from .pool_windows import PoolWindows, pool_windows
from .sums import from_rows, to_rows
from .windows import crop, pad

__all__ = [
    "avg_pool2d",
    "avg_pool2d_backward",
    "global_avg_pool2d",
    "global_avg_pool2d_backward",
    "max_pool2d",
    "max_pool2d_backward",
]

Size = int | Sequence[int]


def max_pool2d(
    x: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> tuple[Array, Array]:
    """
    Largest entry of each window, and where in the window it lies.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    kernel_size, stride, dilation : int or pair (height, width), pixels
        The default stride is the kernel size.
    padding : int, pair or four (left, right, top, bottom), pixels
        Border of minus infinity, at most half the kernel.
    ceil_mode : bool
        Round the number of windows up: the last ones may reach over the border.

    Returns
    -------
    y : array, shape (N, C, OH, OW)
    index : integer array, shape (N, C, OH, OW)
        Position ``i * KW + j`` of the maximum in its window: what the backward pass needs.

    Raises
    ------
    ShapeError, ConfigError, DtypeError, NamespaceError
        Before anything is computed.

    Notes
    -----
    ``y[n, c, oh, ow] = max_{i, j} x[n, c, oh sh + i dh, ow sw + j dw]``, of equal entries the first, and a NaN wins,
    as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> y, index = max_pool2d(np.asarray([[[[1.0, 5.0], [2.0, 3.0]]]]), 2)
    >>> y.tolist(), index.tolist()
    ([[[[5.0]]]], [[[[1]]]])
    """
    xp = common("MaxPool2d", x=x)
    win = pool_windows("MaxPool2d", x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    x = pad(x, win.border, -math.inf)
    if (fast := accelerated("max_pool2d", x, win)) is not None:
        return fast
    (_, rows, cols), *others = win.taps()
    y = xp.asarray(x[:, :, rows, cols], copy=True)
    index = xp.zeros_like(y, dtype=xp.uint8 if len(others) < 256 else xp.int32)
    for t, rows, cols in others:
        entry = x[:, :, rows, cols]
        better = xp.logical_or(entry > y, entry != entry)  # a NaN differs from itself
        index = xp.maximum(index, xp.astype(better, index.dtype) * t)  # t only grows, so the last one stays
        y = xp.maximum(y, entry)
    return y, index


def max_pool2d_backward(
    dy: Array,
    index: Array,
    shape: tuple[int, ...],
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Array:
    """
    Gradient of :func:`max_pool2d`, given ``dy = dL/dy``.

    Parameters
    ----------
    dy : array, shape (N, C, OH, OW)
    index : integer array, shape (N, C, OH, OW)
        Of the forward pass.
    shape : tuple
        Shape (N, C, H, W) of x.

    Returns
    -------
    dx : array, shape (N, C, H, W)

    Notes
    -----
    Only the winner moves the output, so it gets all of the gradient; windows that overlap add up::

        dx[n, c, h, w] = sum of dy[n, c, oh, ow] over the windows whose maximum lies at (h, w)

    An infinite dy gives NaN at the losers of its window, since ``inf * 0`` is (in PyTorch 0).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([[[[1.0, 5.0], [2.0, 3.0]]]])
    >>> max_pool2d_backward(np.ones((1, 1, 1, 1)), max_pool2d(x, 2)[1], x.shape, 2).tolist()
    [[[[0.0, 1.0], [0.0, 0.0]]]]
    """
    xp = common("MaxPool2d", dy=dy)
    win = pool_windows("MaxPool2d", shape, kernel_size, stride, padding, dilation, ceil_mode)
    check_gradient("MaxPool2d", dy, (*shape[:2], *win.out))
    check_gradient("MaxPool2d", index, (*shape[:2], *win.out))
    if (fast := accelerated("max_pool2d_backward", dy, index, shape, win)) is not None:
        return crop(fast, win.border)
    dx = win.zeros(dy, shape)
    dy = from_rows(to_rows(dy), dy.shape)  # channels-last, as the forward pass left the index
    for t, rows, cols in win.taps():
        dx[:, :, rows, cols] += dy * xp.astype(index == t, dy.dtype)
    return crop(dx, win.border)


def avg_pool2d(
    x: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """
    Mean of each window.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    kernel_size, stride, padding, ceil_mode
        As in :func:`max_pool2d`, but the border is zeros.
    count_include_pad : bool
        Whether the border's zeros count as entries. What `ceil_mode` lets a window reach over beyond the padding
        never counts.

    Returns
    -------
    y : array, shape (N, C, OH, OW)

    Raises
    ------
    ShapeError, ConfigError, DtypeError, NamespaceError
        Before anything is computed.

    Notes
    -----
    ``y[n, c, oh, ow] = sum_{i, j} x[n, c, oh sh + i, ow sw + j] / count[oh, ow]``

    Examples
    --------
    >>> import numpy as np
    >>> avg_pool2d(np.asarray([[[[1.0, 5.0], [2.0, 4.0]]]]), 2).tolist()
    [[[[3.0]]]]
    """
    common("AvgPool2d", x=x)
    win = pool_windows("AvgPool2d", x.shape, kernel_size, stride, padding, 1, ceil_mode)
    counted = _counted(win, padding, count_include_pad)
    if (fast := accelerated("avg_pool2d", x, win, counted)) is not None:
        return fast
    weight = _one_over_count(x, x.shape, win, counted)
    x = pad(x, win.border)
    (_, rows, cols), *others = win.taps()
    total = x[:, :, rows, cols]
    for _, rows, cols in others:
        total = total + x[:, :, rows, cols]
    return total * weight


def avg_pool2d_backward(
    dy: Array,
    shape: tuple[int, ...],
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """
    Gradient of :func:`avg_pool2d`, given ``dy = dL/dy`` and the shape (N, C, H, W) of x.

    Notes
    -----
    Every entry of a window moves its mean equally::

        dx[n, c, h, w] = sum of dy[n, c, oh, ow] / count[oh, ow] over the windows that cover (h, w)

    Examples
    --------
    >>> import numpy as np
    >>> avg_pool2d_backward(np.ones((1, 1, 1, 1)), (1, 1, 2, 2), 2).tolist()
    [[[[0.25, 0.25], [0.25, 0.25]]]]
    """
    common("AvgPool2d", dy=dy)
    win = pool_windows("AvgPool2d", shape, kernel_size, stride, padding, 1, ceil_mode)
    check_gradient("AvgPool2d", dy, (*shape[:2], *win.out))
    counted = _counted(win, padding, count_include_pad)
    if (fast := accelerated("avg_pool2d_backward", dy, shape, win, counted)) is not None:
        return fast
    share = dy * _one_over_count(dy, shape, win, counted)
    dx = win.zeros(dy, shape)
    for _, rows, cols in win.taps():
        dx[:, :, rows, cols] += share
    return crop(dx, win.border)


def _counted(win: PoolWindows, padding: Size, count_include_pad: bool) -> Pads:
    """How much of the border counts as entries of windows."""
    include = flag("AvgPool2d", "count_include_pad", count_include_pad)
    return pads("AvgPool2d", padding, win.kernel) if include else (0, 0, 0, 0)


def _one_over_count(x: Array, shape: tuple[int, ...], win: PoolWindows, counted: Pads) -> Array | float:
    """One over the number of entries of each window: a number where all have the kernel's size, else (OH, OW)."""
    if win.border == counted:
        return 1.0 / math.prod(win.kernel)
    xp = array_namespace(x)
    counts = []
    for axis in range(2):
        before, after = counted[2 * axis : 2 * axis + 2]
        start = xp.arange(win.out[axis], dtype=x.dtype, device=x.device) * float(win.stride[axis])
        start = start - win.border[2 * axis]
        # not xp.clip: for CuPy it masks by a boolean index, which waits for the device
        stop = xp.minimum(start + float(win.kernel[axis]), float(shape[2 + axis] + after))
        counts.append(stop - xp.maximum(start, float(-before)))
    return 1.0 / (xp.expand_dims(counts[0], axis=1) * xp.expand_dims(counts[1], axis=0))


def global_avg_pool2d(x: Array) -> Array:
    """
    Mean of each channel over the whole image.

    Parameters
    ----------
    x : array, shape (N, C, H, W)

    Returns
    -------
    y : array, shape (N, C)

    Notes
    -----
    ``y[n, c] = sum_{h, w} x[n, c, h, w] / (H W)``. Source: Lin, Chen and Yan (2014), "Network in network", section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> global_avg_pool2d(np.ones((2, 3, 4, 5))).shape
    (2, 3)
    """
    xp = common("GlobalAvgPool2d", x=x)
    check_images("GlobalAvgPool2d", x.shape)
    if (fast := accelerated("global_avg_pool2d", x)) is not None:
        return fast
    total = xp.sum(x, axis=(2, 3), dtype=xp.float64)  # in which a million numbers around zero keep all digits
    return xp.astype(total / (x.shape[2] * x.shape[3]), x.dtype)


def global_avg_pool2d_backward(dy: Array, shape: tuple[int, ...]) -> Array:
    """
    Gradient of :func:`global_avg_pool2d`, given ``dy = dL/dy`` and the shape (N, C, H, W) of x.

    Notes
    -----
    ``dx[n, c, h, w] = dy[n, c] / (H W)``

    Examples
    --------
    >>> import numpy as np
    >>> global_avg_pool2d_backward(np.ones((1, 1)), (1, 1, 1, 2)).tolist()
    [[[[0.5, 0.5]]]]
    """
    xp = common("GlobalAvgPool2d", dy=dy)
    check_gradient("GlobalAvgPool2d", dy, shape[:2])
    if (fast := accelerated("global_avg_pool2d_backward", dy, shape)) is not None:
        return fast
    n, c, h, w = shape
    share = xp.reshape(dy * (1.0 / (h * w)), (n, 1, 1, c))
    dx = xp.zeros((n, h, w, c), dtype=dy.dtype, device=dy.device) + share
    return xp.permute_dims(dx, (0, 3, 1, 2))
