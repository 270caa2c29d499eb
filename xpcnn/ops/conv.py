"""
Convolution: forward, and its backward pass derived below it.

The layer slides O small filters over the images and takes a dot product at each place (strictly a cross-correlation,
as in every framework: the kernel is not flipped). Cut all windows out, lay each one into a row, and the whole layer
becomes one matrix product; that view also gives the gradients.

Words and letters: a *tap* is one position (i, j) in the kernel; sh, sw are the stride and dh, dw the dilation, along
height and width. G is the number of groups; with one group read G as 1, and the matrices below as plain matrices.
"""

from collections.abc import Sequence
from typing import Any

from xpcnn.backend import Array, array_namespace
from xpcnn.errors import ConfigError
from xpcnn.settings import count

from .checks import check_gradient, check_images, check_shape, common
from .geometry import output_size, pads, pair
from .sums import sum_rows, to_rows
from .windows import crop, pad, windows, windows_adjoint

__all__ = ["conv2d", "conv2d_backward", "conv2d_shape"]

WHO = "Conv2d"
Size = int | Sequence[int]


def conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Array:
    """
    Two-dimensional convolution of a batch of images.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    w : array, shape (O, C / groups, KH, KW)
    b : array, shape (O,), optional
    stride, dilation : int or pair (height, width), pixels
        Step between windows (sh, sw), and between the taps of one window (dh, dw).
    padding : int, pair (height, width), four (left, right, top, bottom), "same" or "valid"
        Zeros around the image, pixels.
    groups : int
        Input and output channels are split into so many parts that do not see one another; ``groups=C`` is a
        depthwise convolution.

    Returns
    -------
    y : array, shape (N, O, OH, OW), channels-last in memory, same library, device and dtype as `x`
        ``OH = floor((H + top + bottom - dh * (KH - 1) - 1) / sh) + 1``, likewise OW.

    Raises
    ------
    ShapeError, ConfigError, DtypeError, NamespaceError, DeviceMismatchError
        Before anything is computed.

    Notes
    -----
    With x padded by zeros, for one group::

        y[n, o, oh, ow] = b[o] + sum_{c, i, j} w[o, c, i, j] x[n, c, oh sh + i dh, ow sw + j dw]    ->  y = V @ W + b

    V has a row for each place (n, oh, ow) and a column for each (i, j, c): tap by tap, and in a tap channel by
    channel. W has the weights in rows (i, j, c), a column for each filter o.

    Source: Dumoulin and Visin (2016), "A guide to convolution arithmetic for deep learning"; the matrix form is
    Chellapilla, Puri and Simard (2006), section 2.

    Examples
    --------
    >>> import numpy as np
    >>> conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))).tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]
    """
    common(WHO, x=x, weight=w, bias=b)
    n, o, oh, ow = conv2d_shape(
        x.shape, w.shape, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=b
    )
    xp = array_namespace(x)
    y = _matmul(_columns(x, w, stride, padding, dilation, groups), _weight_matrix(w, groups))
    # (G, N*OH*OW, O/G) -> (N, OH, OW, O)
    y = xp.reshape(xp.permute_dims(y, (1, 0, 2)), (n, oh, ow, o))
    if b is not None:
        y += b  # y is ours alone: no second array of its size
    return xp.permute_dims(y, (0, 3, 1, 2))


def conv2d_backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
    input_grad: bool = True,
) -> tuple[Array | None, Array, Array]:
    """
    Gradients of :func:`conv2d`, given ``dy = dL/dy``.

    Parameters
    ----------
    dy : array, shape (N, O, OH, OW)
    x, w, stride, padding, dilation, groups
        As in the forward pass.
    input_grad : bool
        False leaves dx out, which nobody needs at a network's first layer.

    Returns
    -------
    dx, dw, db : arrays with the shapes of x, w and (O,)
        dx is None without `input_grad`.

    Raises
    ------
    ShapeError, ConfigError, DtypeError, NamespaceError, DeviceMismatchError
        Before anything is computed.

    Notes
    -----
    An entry of w meets every window, an entry of b every place, and an entry of x each window that covers it; the
    chain rule adds up these meetings. On the right dy is a matrix with a row for each place, as y is::

        db[o]          = sum_{n, oh, ow} dy[n, o, oh, ow]                                        ->  db = 1 @ dy
        dw[o, c, i, j] = sum_{n, oh, ow} dy[n, o, oh, ow] x[n, c, oh sh + i dh, ow sw + j dw]    ->  dW = V.T @ dy
        dv[n, oh, ow, i, j, c] = sum_o dy[n, o, oh, ow] w[o, c, i, j]                            ->  dV = dy @ W.T
        dx[n, c, h, w] = sum of dv[n, oh, ow, i, j, c] over all oh sh + i dh == h, ow sw + j dw == w

    In the last line h, w are positions in the *padded* image; cropping its border then undoes the padding. The line is
    the adjoint of cutting windows out, the transpose of that linear map: what was read from a place is added there.
    dV would be as large as V, so it is made and added tap by tap: a tap's columns of dV are dy times its part of W.T.

    Examples
    --------
    >>> import numpy as np
    >>> dx, dw, db = conv2d_backward(np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))
    >>> dx[0, 0].tolist(), db.tolist()
    ([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]], [4.0])
    """
    common(WHO, x=x, weight=w, dy=dy)
    shape = conv2d_shape(x.shape, w.shape, stride=stride, padding=padding, dilation=dilation, groups=groups)
    check_gradient(WHO, dy, shape)
    xp = array_namespace(x)
    n, o, oh, ow = shape
    c_group, kh, kw = w.shape[1:]
    border, strides, dilations = _geometry(w.shape[2:], stride, padding, dilation)

    rows = to_rows(dy)
    db = sum_rows(rows)
    # (N*OH*OW, O) -> (G, N*OH*OW, O/G)
    dy_groups = xp.permute_dims(xp.reshape(rows, (n * oh * ow, groups, o // groups)), (1, 0, 2))

    dw = _matmul(xp.matrix_transpose(_columns(x, w, stride, padding, dilation, groups)), dy_groups)
    # (G, KH*KW*C/G, O/G) -> (G, KH, KW, C/G, O/G) -> (O, C/G, KH, KW)
    dw = xp.permute_dims(xp.reshape(dw, (groups, kh, kw, c_group, o // groups)), (0, 4, 3, 1, 2))
    dw = xp.reshape(dw, w.shape)
    if not input_grad:
        return None, dw, db

    # W.T cut by tap, (G, KH*KW*C/G, O/G) -> (G, KH*KW, O/G, C/G): dV = dy @ W.T, C/G columns at a time
    w_taps = xp.reshape(_weight_matrix(w, groups), (groups, kh * kw, c_group, o // groups))
    w_taps = xp.permute_dims(w_taps, (0, 1, 3, 2))

    def dv(tap: int) -> Array:
        """The columns of dV that belong to one tap: (G, N*OH*OW, C/G) -> (N, OH, OW, C)."""
        part = _matmul(dy_groups, w_taps[:, tap, :, :])
        return xp.reshape(xp.permute_dims(part, (1, 0, 2)), (n, oh, ow, groups * c_group))

    padded = (x.shape[2] + border[0] + border[1], x.shape[3] + border[2] + border[3])
    dx = windows_adjoint((dv(t) for t in range(kh * kw)), (kh, kw), padded, strides, dilations)
    return crop(xp.permute_dims(dx, (0, 3, 1, 2)), border), dw, db


def conv2d_shape(
    x: tuple[int, ...],
    w: tuple[int, ...],
    *,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
    bias: Array | None = None,
) -> tuple[int, int, int, int]:
    """
    Shape (N, O, OH, OW) of a convolution, from the shapes of images and weights.

    Raises
    ------
    ShapeError, ConfigError

    Examples
    --------
    >>> conv2d_shape((2, 3, 32, 32), (8, 3, 3, 3), stride=2, padding=1)
    (2, 8, 16, 16)
    """
    check_shape(WHO, "weight", w, ("O", "C", "KH", "KW"))
    groups = count(WHO, "groups", groups)
    check_images(WHO, x, w[1] * groups)
    if w[0] % groups:
        message = f"{WHO}: expected groups to divide the {w[0]} output channels, got groups={groups}"
        raise ConfigError(message)
    if bias is not None:
        check_shape(WHO, "bias", bias.shape, (w[0],))
    border, strides, dilations = _geometry(w[2:], stride, padding, dilation)
    return (x[0], w[0], *output_size(WHO, (x[2], x[3]), (w[2], w[3]), strides, dilations, border))


def _geometry(kernel: tuple[int, ...], stride: Size, padding: Size | str, dilation: Size) -> Any:
    """Normal form of the settings: pads (top, bottom, left, right), stride pair, dilation pair."""
    strides, dilations = pair(WHO, "stride", stride), pair(WHO, "dilation", dilation)
    return pads(WHO, padding, (kernel[0], kernel[1]), strides, dilations), strides, dilations


def _columns(x: Array, w: Array, stride: Size, padding: Size | str, dilation: Size, groups: int) -> Array:
    """The matrix V of each group: shape (G, N*OH*OW, KH*KW*C/G)."""
    xp = array_namespace(x)
    border, strides, dilations = _geometry(w.shape[2:], stride, padding, dilation)
    channels_last = xp.permute_dims(pad(x, border), (0, 2, 3, 1))
    v = windows(channels_last, w.shape[2:], strides, dilations)
    n, oh, ow, kh, kw, c = v.shape
    places, taps = n * oh * ow, kh * kw * (c // groups)
    v = xp.reshape(v, (n, oh, ow, kh, kw, groups, c // groups))
    # reshape makes the one copy: V row by row, reading runs of KW * C/G numbers (a row of a window), or V.T row by row,
    # reading runs of OW (one tap and channel along a row of places), and then V is its transposed view. Both give the
    # same V; longer runs are copied faster.
    if kw * (c // groups) >= ow:
        return xp.reshape(xp.permute_dims(v, (5, 0, 1, 2, 3, 4, 6)), (groups, places, taps))
    return xp.matrix_transpose(xp.reshape(xp.permute_dims(v, (5, 3, 4, 6, 0, 1, 2)), (groups, taps, places)))


def _weight_matrix(w: Array, groups: int) -> Array:
    """The matrix W of each group: shape (G, KH*KW*C/G, O/G)."""
    xp = array_namespace(w)
    o, c_group, kh, kw = w.shape
    w = xp.reshape(w, (groups, o // groups, c_group, kh, kw))
    return xp.reshape(xp.permute_dims(w, (0, 3, 4, 2, 1)), (groups, kh * kw * c_group, o // groups))


def _matmul(a: Array, b: Array) -> Array:
    """Product of each group's matrices, (G, M, K) and (G, K, N)."""
    xp = array_namespace(a)
    if a.shape[0] == 1:  # CuPy's product of stacks copies transposed operands first, that of two matrices does not
        return xp.expand_dims(xp.matmul(a[0, ...], b[0, ...]), axis=0)
    return xp.matmul(a, b)
