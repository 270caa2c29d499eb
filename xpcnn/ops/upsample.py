"""
Images at another size: the nearest pixel, or straight lines between pixels; and their adjoints.

Both work along rows and columns apart from each other: ``y = R x C'`` with two small matrices, R (OH, H) and C (OW, W).
So the adjoint is ``dx = R' dy C``, two matrix products and no scatter. Nearest needs no matrix to go forward, nor
backward where each pixel becomes a block of pixels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from xpcnn.backend import Array, Namespace
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.settings import flag, number

from .checks import check_gradient, check_images, common
from .geometry import pair
from .sums import from_rows, to_rows
from .windows import tap

__all__ = ["upsample2d", "upsample2d_backward", "upsample2d_shape", "upsample_settings"]

WHO = "Upsample"
MODES = ("nearest", "bilinear")

Size = int | Sequence[int]
Factor = float | Sequence[float]


def upsample2d(
    x: Array,
    size: Size | None = None,
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Array:
    """
    Images at another size, larger or smaller.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    size : int or pair (height, width), pixels
        OH and OW. Either this or `scale_factor`.
    scale_factor : float or pair, above 0
        Then ``OH = floor(H s)``, and s itself, not OH / H, says which pixels lie where.
    mode : {"nearest", "bilinear"}
    align_corners : bool, optional
        For bilinear only. True: the centres of the corner pixels stay in place. False (and None): the image's edges do.

    Returns
    -------
    y : array, shape (N, C, OH, OW)

    Raises
    ------
    ShapeError, ConfigError, DtypeError, NamespaceError
        Before anything is computed.

    Notes
    -----
    With ``s = scale_factor``, or ``OH / H`` where a size was given, output row oh lies at the row ::

        u = floor(oh / s)                      nearest: at most H - 1
        u = (oh + 1/2) / s - 1/2               bilinear, moved into 0, ..., H - 1
        u = oh (H - 1) / (OH - 1)              bilinear with align_corners

    and columns alike. Nearest is ``y[n, c, oh, ow] = x[n, c, u, v]``. Bilinear is a weighted mean of the four pixels
    around (u, v), the product of two hat functions::

        y[n, c, oh, ow] = sum_{h, w} R[oh, h] x[n, c, h, w] C[ow, w]    ->  y = R x C'
        R[oh, h] = max(0, 1 - |u(oh) - h|)

    All as in PyTorch (torch.nn.functional.interpolate, antialias=False), where an axis that keeps its size is copied
    whatever s is, and one that doubles in nearest mode doubles each pixel. Nearest multiplies by 1 / s in float32,
    because PyTorch does, and what is nearly whole can be rounded either way; but a whole s always makes equal blocks,
    where PyTorch's rounding spoils a few of 41 and more. Bilinear spreads an inf or NaN over its channel, since
    ``0 * inf`` is NaN; nearest does so in the backward pass, unless the factors are whole.

    Examples
    --------
    >>> import numpy as np
    >>> upsample2d(np.asarray([[[[1.0, 2.0]]]]), scale_factor=2).tolist()
    [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]
    >>> upsample2d(np.asarray([[[[1.0, 2.0]]]]), (1, 3), mode="bilinear").tolist()
    [[[[1.0, 1.5, 2.0]]]]
    """
    xp = common(WHO, x=x)
    rows, cols = _axes(x.shape, size, scale_factor, mode, align_corners)
    n, c, h, w = x.shape
    channels_last = xp.reshape(to_rows(x), (n, h, w, c))
    if mode == "bilinear":
        return _sandwich(xp, _hats(xp, x, rows), channels_last, _hats(xp, x, cols))
    if rows.block and cols.block:
        blocks = xp.broadcast_to(xp.reshape(channels_last, (n, h, 1, w, 1, c)), (n, h, rows.block, w, cols.block, c))
        y = xp.reshape(blocks, (n, rows.out, cols.out, c))
    else:
        y = xp.take(channels_last, _nearest(xp, x, rows), axis=1)
        y = xp.take(y, _nearest(xp, x, cols), axis=2)
    return xp.permute_dims(y, (0, 3, 1, 2))


def upsample2d_backward(
    dy: Array,
    shape: tuple[int, ...],
    size: Size | None = None,
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Array:
    """
    Gradient of :func:`upsample2d`, given ``dy = dL/dy`` and the shape (N, C, H, W) of x.

    Notes
    -----
    A pixel gets what each output got from it, with the same weight::

        dx[n, c, h, w] = sum_{oh, ow} R[oh, h] dy[n, c, oh, ow] C[ow, w]    ->  dx = R' dy C

    For nearest ``R[oh, h] = [u(oh) = h]``: the sum of a pixel's block.

    Examples
    --------
    >>> import numpy as np
    >>> upsample2d_backward(np.asarray([[[[1.0, 2.0, 3.0]]]]), (1, 1, 1, 2), (1, 3), mode="bilinear").tolist()
    [[[[2.0, 4.0]]]]
    """
    xp = common(WHO, dy=dy)
    rows, cols = _axes(shape, size, scale_factor, mode, align_corners)
    n, c, h, w = shape
    check_gradient(WHO, dy, (n, c, rows.out, cols.out))
    if mode == "nearest" and rows.block and cols.block:
        dy = from_rows(to_rows(dy), dy.shape)
        first, *others = (dy[:, :, tap(i, h, rows.block, 1), :] for i in range(rows.block))
        dy = sum(others, first)
        first, *others = (dy[:, :, :, tap(j, w, cols.block, 1)] for j in range(cols.block))
        return sum(others, first)
    channels_last = xp.reshape(to_rows(dy), (n, rows.out, cols.out, c))
    if mode == "bilinear":
        r, k = _hats(xp, dy, rows), _hats(xp, dy, cols)
    else:
        r, k = (_picks(xp, dy, axis) for axis in (rows, cols))
    return _sandwich(xp, r.T, channels_last, k.T)


class Axis(NamedTuple):
    """One axis of the image: its size before and after, and where the outputs lie among the inputs."""

    size: int
    out: int
    step: float  # inputs from one output to the next
    corners: bool  # the first output lies at the first input, not half a step behind the edge
    block: int  # how many outputs an input becomes in nearest mode, 0 where that differs


def _axes(
    shape: tuple[int, ...], size: Any, scale_factor: Any, mode: str, align_corners: bool | None
) -> tuple[Axis, Axis]:
    _, _, *outs = upsample2d_shape(shape, size, scale_factor, mode, align_corners)
    _, factors = upsample_settings(size, scale_factor, mode, align_corners)
    axes = []
    for n, out, factor in zip(shape[2:], outs, factors or (None, None), strict=True):
        times = out // n if out % n == 0 and (out <= 2 * n or factor is None or factor == out // n) else 0
        if out == n:
            axes.append(Axis(n, out, 1.0, True, 1))  # a copy, though the factor may be 1.1
        elif align_corners:
            axes.append(Axis(n, out, (n - 1) / (out - 1) if out > 1 else 0.0, True, times))
        else:
            axes.append(Axis(n, out, n / out if factor is None else 1.0 / factor, False, times))
    return axes[0], axes[1]


def _nearest(xp: Namespace, like: Array, axis: Axis) -> Array:
    """Which input each output is."""
    if axis.block:
        return xp.arange(axis.out, dtype=xp.int64, device=like.device) // axis.block
    # float32 whatever the images are, see the op
    place = xp.floor(xp.arange(axis.out, dtype=xp.float32, device=like.device) * axis.step)
    # the limit is for lines of 2**24 pixels, where float32 has no fractions left
    return xp.astype(xp.minimum(place, float(axis.size - 1)), xp.int64)


def _picks(xp: Namespace, like: Array, axis: Axis) -> Array:
    """The matrix (out, size) of nearest: a one in each row."""
    chosen = xp.expand_dims(_nearest(xp, like, axis), axis=1)
    return xp.astype(chosen == xp.arange(axis.size, dtype=xp.int64, device=like.device), like.dtype)


def _hats(xp: Namespace, like: Array, axis: Axis) -> Array:
    """The matrix (out, size) of bilinear: two weights in each row, which sum to one."""
    # float64 whatever the images are: the fraction of a place of 200 has lost two digits in float32
    place = xp.arange(axis.out, dtype=xp.float64, device=like.device)
    place = place * axis.step if axis.corners else (place + 0.5) * axis.step - 0.5
    place = xp.expand_dims(xp.minimum(xp.maximum(place, 0.0), float(axis.size - 1)), axis=1)
    distance = xp.abs(place - xp.arange(axis.size, dtype=xp.float64, device=like.device))
    return xp.astype(xp.maximum(1.0 - distance, 0.0), like.dtype)


def _sandwich(xp: Namespace, r: Array, x: Array, k: Array) -> Array:
    """``R x K'`` for channels-last images (N, H, W, C), as images (N, C, OH, OW)."""
    n, h, w, c = x.shape
    oh, ow = r.shape[0], k.shape[0]
    y = xp.matmul(r, xp.reshape(x, (n, h, w * c)))
    y = xp.matmul(k, xp.reshape(y, (n * oh, w, c)))
    return xp.permute_dims(xp.reshape(y, (n, oh, ow, c)), (0, 3, 1, 2))


def upsample_settings(
    size: Any, scale_factor: Any, mode: Any, align_corners: Any
) -> tuple[Any, tuple[float, float] | None]:
    """
    Size and factors as pairs, once all settings are known to make sense.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> upsample_settings(None, 2, "nearest", None)
    (None, (2.0, 2.0))
    """
    if not isinstance(mode, str) or mode not in MODES:
        message = f"{WHO}: expected mode to be one of {', '.join(map(repr, MODES))}, got {mode!r}"
        raise ConfigError(message)
    if align_corners is not None:
        flag(WHO, "align_corners", align_corners)
        if mode == "nearest":
            message = f"{WHO}: expected no align_corners for mode 'nearest', got {align_corners!r}: leave it None"
            raise ConfigError(message)
    if (size is None) == (scale_factor is None):
        message = f"{WHO}: expected either size or scale_factor, got size={size!r}, scale_factor={scale_factor!r}"
        raise ConfigError(message)
    if size is not None:
        return pair(WHO, "size", size), None
    given = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * 2
    if len(given) != 2:
        message = f"{WHO}: expected scale_factor to be a number or a pair (height, width), got {scale_factor!r}"
        raise ConfigError(message)
    height, width = (number(WHO, "scale_factor", factor, above=0) for factor in given)
    return None, (height, width)


def upsample2d_shape(
    shape: tuple[int, ...],
    size: Size | None = None,
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> tuple[int, int, int, int]:
    """
    Shape (N, C, OH, OW) of the images at their new size.

    Raises
    ------
    ConfigError, ShapeError

    Examples
    --------
    >>> upsample2d_shape((2, 3, 5, 5), scale_factor=(2, 1.5))
    (2, 3, 10, 7)
    """
    fixed, factors = upsample_settings(size, scale_factor, mode, align_corners)
    check_images(WHO, shape)
    n, c, h, w = shape
    height, width = fixed if factors is None else (int(h * factors[0]), int(w * factors[1]))
    if min(height, width) < 1:
        message = f"{WHO}: expected scale_factor {scale_factor!r} to leave something of an image of {(h, w)}: use size"
        raise ShapeError(message)
    return n, c, height, width
