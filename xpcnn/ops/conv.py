"""
Convolution: forward, and its backward pass derived below it.

The layer slides O small filters over the images and takes a dot product at each place (strictly a cross-correlation,
as in every framework: the kernel is not flipped). Cut all windows out, lay each one into a row, and the whole layer
becomes one matrix product; that view also gives the gradients. Below the two passes stand their pieces, which other
convolutions are made of as well.

Words and letters: a *tap* is one position (i, j) in the kernel; sh, sw are the stride and dh, dw the dilation, along
height and width. G is the number of groups; with one group read G as 1, and the matrices below as plain matrices.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from xpcnn.backend import Array, accelerated, array_namespace, is_narrow, kernel, library
from xpcnn.errors import ConfigError
from xpcnn.settings import count

from .activations import relu as rectified
from .checks import check_gradient, check_images, check_shape, common, in_float32
from .geometry import Pads, Pair, output_size, pads, pair
from .sums import from_rows, sum_rows, to_rows
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
    relu: bool = False,
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
    relu : bool
        Give ``max(y, 0)``, with the same bits as :func:`xpcnn.ops.relu` of y: in the same kernel, where there is one.

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
    shape = conv2d_shape(
        x.shape, w.shape, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=b
    )
    xp = array_namespace(x)
    cut = cuts(WHO, w.shape, stride, padding, dilation, groups)
    settings: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if relu:
        fast = accelerated("conv2d_relu", x, w, b, cut)
        return rectified(conv2d(x, w, b, **settings)) if fast is None else fast
    if (fast := accelerated("conv2d", x, w, b, cut)) is not None:
        return fast
    if is_narrow(x):
        return in_float32(conv2d, x, w, b, **settings)
    y = _matmul(columns(x, cut, shape[2:]), weight_matrix(w, cut))
    if b is not None:
        y += xp.reshape(b, (cut.groups, 1, -1))  # y is ours alone: no second array of its size
    return from_rows(join(y), shape)


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
    cut = cuts(WHO, w.shape, stride, padding, dilation, groups)
    if (fast := accelerated("conv2d_backward", dy, x, w, cut, input_grad)) is not None:
        dx, dw, db = fast
        return dx, dw, sum_rows(to_rows(dy)) if db is None else db
    if is_narrow(x):
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return in_float32(conv2d_backward, dy, x, w, **settings, input_grad=input_grad)
    rows = to_rows(dy)
    db, dy = sum_rows(rows), split(rows, cut)
    dw = weight_gradient(columns(x, cut, shape[2:]), dy, w.shape)
    dx = add_columns(dy, w, cut, shape[2:], x.shape) if input_grad else None
    return dx, dw, db


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
    cut = cuts(WHO, w, stride, padding, dilation, groups)
    return (x[0], w[0], *output_size(WHO, (x[2], x[3]), cut.kernel, cut.stride, cut.dilation, cut.border))


class Cuts(NamedTuple):
    """How windows are cut out of images: the settings in their normal form."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    border: Pads
    groups: int


def cuts(
    who: str, w: tuple[int, ...], stride: Size, padding: Size | str, dilation: Size, groups: int
) -> Cuts:
    """The settings of a layer with weights of shape `w`, checked."""
    kernel, strides, dilations = (w[2], w[3]), pair(who, "stride", stride), pair(who, "dilation", dilation)
    return Cuts(kernel, strides, dilations, pads(who, padding, kernel, strides, dilations), groups)


def columns(x: Array, cut: Cuts, size: Sequence[int]) -> Array:
    """The matrix V of each group, of the first `size` = (OH, OW) windows: shape (G, N*OH*OW, KH*KW*C/G)."""
    xp = array_namespace(x)
    channels_last = xp.permute_dims(pad(x, cut.border), (0, 2, 3, 1))
    v = windows(channels_last, cut.kernel, cut.stride, cut.dilation)[:, : size[0], : size[1], ...]
    n, oh, ow, kh, kw, c = v.shape
    c_group = c // cut.groups
    places, taps = n * oh * ow, kh * kw * c_group
    v = xp.reshape(v, (n, oh, ow, kh, kw, cut.groups, c_group))
    # reshape makes the one copy: V row by row, reading runs of KW * C/G numbers (a row of a window), or V.T row by row,
    # reading runs of OW (one tap and channel along a row of places), and then V is its transposed view. Both give the
    # same V; longer runs are copied faster.
    if kw * c_group >= ow:
        return xp.reshape(xp.permute_dims(v, (5, 0, 1, 2, 3, 4, 6)), (cut.groups, places, taps))
    return xp.matrix_transpose(xp.reshape(xp.permute_dims(v, (5, 3, 4, 6, 0, 1, 2)), (cut.groups, taps, places)))


def add_columns(dy: Array, w: Array, cut: Cuts, size: Sequence[int], shape: tuple[int, ...]) -> Array:
    """
    The images of that shape to which dV = dy @ W.T belongs, its entries added up where the windows overlap.

    Adjoint of ``columns(x) @ W``: `dy` of shape (G, N*OH*OW, O/G) is one of its results, `size` is (OH, OW).
    """
    xp = array_namespace(dy)
    n, c, h, width = shape
    kh, kw = cut.kernel
    # W.T cut by tap, (G, KH*KW*C/G, O/G) -> (G, KH*KW, O/G, C/G): dV = dy @ W.T, C/G columns at a time
    w_taps = xp.reshape(weight_matrix(w, cut), (cut.groups, kh * kw, c // cut.groups, -1))
    w_taps = xp.permute_dims(w_taps, (0, 1, 3, 2))

    def dv(tap: int) -> Array:
        """The columns of dV that belong to one tap: (G, N*OH*OW, C/G) -> (N, OH, OW, C)."""
        return xp.reshape(join(_matmul(dy, w_taps[:, tap, :, :])), (n, *size, c))

    top, bottom, left, right = cut.border
    padded = (top + h + bottom, left + width + right)
    x = windows_adjoint((dv(t) for t in range(kh * kw)), cut.kernel, padded, cut.stride, cut.dilation)
    return crop(xp.permute_dims(x, (0, 3, 1, 2)), cut.border)


def weight_matrix(w: Array, cut: Cuts) -> Array:
    """The matrix W of each group: (O, C/G, KH, KW) -> (G, KH*KW*C/G, O/G)."""
    xp = array_namespace(w)
    o, c_group, kh, kw = w.shape
    w = xp.reshape(w, (cut.groups, o // cut.groups, c_group, kh, kw))
    return xp.reshape(xp.permute_dims(w, (0, 3, 4, 2, 1)), (cut.groups, kh * kw * c_group, o // cut.groups))


def weight_gradient(v: Array, dy: Array, shape: tuple[int, ...]) -> Array:
    """
    The weights of that shape to which dW = V.T @ dy of each group belongs.

    The sum over all places is long, so it is made of up to eight: float32 loses less in short ones.
    """
    xp = array_namespace(v)
    places = v.shape[1]
    piece = max(512, -(-places // 8))
    dw: Array = 0.0
    for start in range(0, places, piece):
        stop = min(start + piece, places)
        dw = dw + _matmul(xp.matrix_transpose(v[:, start:stop, :]), dy[:, start:stop, :])
    # (G, KH*KW*C/G, O/G) -> (G, KH, KW, C/G, O/G) -> (O, C/G, KH, KW)
    dw = xp.reshape(dw, (dw.shape[0], *shape[2:], shape[1], dw.shape[2]))
    return xp.reshape(xp.permute_dims(dw, (0, 4, 3, 1, 2)), shape)


def split(rows: Array, cut: Cuts) -> Array:
    """Rows of channels, a matrix for each group: (N*OH*OW, O) -> (G, N*OH*OW, O/G)."""
    xp = array_namespace(rows)
    return xp.permute_dims(xp.reshape(rows, (rows.shape[0], cut.groups, -1)), (1, 0, 2))


def join(parts: Array) -> Array:
    """Undo :func:`split`."""
    xp = array_namespace(parts)
    return xp.reshape(xp.permute_dims(parts, (1, 0, 2)), (parts.shape[1], -1))


def _matmul(a: Array, b: Array) -> Array:
    """Product of each group's matrices, (G, M, K) and (G, K, N)."""
    xp = array_namespace(a)
    if a.shape[0] == 1:  # CuPy's product of stacks copies transposed operands first, that of two matrices does not
        matmul = kernel("matmul", library(a)) or xp.matmul
        return xp.expand_dims(matmul(a[0, ...], b[0, ...]), axis=0)
    return xp.matmul(a, b)
