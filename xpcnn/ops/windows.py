"""
Sliding windows and their adjoint, on channels-last images.

Everything that slides (convolution, pooling) is these two and plain arithmetic. The adjoint of a linear map is its
transpose: where the map reads a number, the adjoint adds one. In channels-last memory a window's row ``kw * C`` lies in
one piece, which is what makes copying it cheap.

Letters: (i, j) is a position in the kernel, a *tap*; sh, sw are the stride and dh, dw the dilation, along height and
width.
"""

from collections.abc import Iterable

from xpcnn.backend import Array, array_namespace, kernel, library

from .geometry import Pads, Pair

__all__ = ["crop", "pad", "tap", "windows", "windows_adjoint"]


def pad(x: Array, pads: Pads, value: float = 0.0) -> Array:
    """
    Images with a border.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    pads : (top, bottom, left, right)
    value : float
        What fills the border.

    Returns
    -------
    padded : array, shape (N, C, top + H + bottom, left + W + right)
        Channels-last in memory; `x` itself where nothing is added.
    """
    if not any(pads):
        return x
    xp = array_namespace(x)
    n, c, h, w = x.shape
    top, bottom, left, right = pads
    shape = (n, top + h + bottom, left + w + right, c)
    out = xp.permute_dims(xp.full(shape, value, dtype=x.dtype, device=x.device), (0, 3, 1, 2))
    out[:, :, top : top + h, left : left + w] = x
    return out


def crop(x: Array, pads: Pads) -> Array:
    """Images without the border that :func:`pad` added: its adjoint."""
    top, bottom, left, right = pads
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right] if any(pads) else x


def tap(i: int, count: int, stride: int, dilation: int) -> slice:
    """Where tap `i` of all `count` windows lies along one axis; the stop is tight, as the standard asks."""
    start = i * dilation
    return slice(start, start + stride * (count - 1) + 1, stride)


def windows(x: Array, kernel_size: Pair, stride: Pair, dilation: Pair) -> Array:
    """
    All windows of channels-last images.

    Parameters
    ----------
    x : array, shape (N, H, W, C)
    kernel_size, stride, dilation : pairs (height, width)

    Returns
    -------
    v : array, shape (N, OH, OW, KH, KW, C)
        A read-only view where the library has strides, else a copy.

    Notes
    -----
    ``v[n, oh, ow, i, j, c] = x[n, oh * sh + i * dh, ow * sw + j * dw, c]``

    Examples
    --------
    >>> import numpy as np
    >>> windows(np.arange(4.0).reshape(1, 1, 4, 1), (1, 2), (1, 1), (1, 1))[0, 0, :, 0, :, 0].tolist()
    [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]
    """
    strided = kernel("windows", library(x))
    if strided is not None:
        return strided(x, kernel_size, stride, dilation)
    xp = array_namespace(x)
    (kh, kw), (sh, sw), (dh, dw) = kernel_size, stride, dilation
    n, h, w, c = x.shape
    oh, ow = (h - dh * (kh - 1) - 1) // sh + 1, (w - dw * (kw - 1) - 1) // sw + 1
    taps = [x[:, tap(i, oh, sh, dh), tap(j, ow, sw, dw), :] for i in range(kh) for j in range(kw)]
    return xp.reshape(xp.stack(taps, axis=3), (n, oh, ow, kh, kw, c))


def windows_adjoint(
    taps: Iterable[Array], kernel_size: Pair, size: Pair, stride: Pair, dilation: Pair
) -> Array:
    """
    Sum windows back into images: the adjoint of :func:`windows`, ``<windows(x), v> == <x, windows_adjoint(v)>``.

    Parameters
    ----------
    taps : iterable of KH * KW arrays, shape (N, OH, OW, C)
        Tap by tap, row by row: ``v[:, :, :, i, j, :]``. One at a time, so that v never exists as a whole.
    kernel_size, stride, dilation : pairs (height, width)
    size : pair
        Height and width of the images.

    Returns
    -------
    x : array, shape (N, H, W, C)

    Notes
    -----
    ``x[n, h, w, c] = sum of v[n, oh, ow, i, j, c] over all oh * sh + i * dh == h, ow * sw + j * dw == w``

    One strided addition for each kernel position, in a fixed order: no scatter, so the bits repeat.

    Examples
    --------
    >>> import numpy as np
    >>> windows_adjoint([np.ones((1, 1, 3, 1))] * 2, (1, 2), (1, 4), (1, 1), (1, 1))[0, 0, :, 0].tolist()
    [1.0, 2.0, 2.0, 1.0]
    """
    x = None
    (sh, sw), (dh, dw) = stride, dilation
    positions = ((i, j) for i in range(kernel_size[0]) for j in range(kernel_size[1]))
    for (i, j), v in zip(positions, taps, strict=True):
        n, oh, ow, c = v.shape
        if x is None:
            x = array_namespace(v).zeros((n, *size, c), dtype=v.dtype, device=v.device)
        x[:, tap(i, oh, sh, dh), tap(j, ow, sw, dw), :] += v
    return x
