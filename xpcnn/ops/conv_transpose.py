"""
Transposed convolution: convolution read backwards.

A convolution with weights w is, for fixed w, a linear map A from images to images. The transposed convolution is A.T,
the map that the convolution's backward pass applies: it takes small images to large ones, and every entry stamps its
weighted kernel onto the output. Its own backward pass applies (A.T).T = A, a convolution. (A.T is no inverse: A.T A x
is not x.)

So both passes are made of the pieces in :mod:`xpcnn.ops.conv`, each in the other's place. Words and letters are as
there; what that convolution would call its output, the images with C channels, is x here.
"""

from collections.abc import Sequence

from xpcnn.backend import Array, array_namespace, is_narrow
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.settings import count

from .checks import check_gradient, check_images, check_shape, common, in_float32
from .conv import _matmul, add_columns, columns, cuts, join, split, weight_gradient, weight_matrix
from .geometry import Pair, pair
from .sums import from_rows, sum_rows, to_rows

__all__ = ["conv_transpose2d", "conv_transpose2d_backward", "conv_transpose2d_shape", "output_pads"]

WHO = "ConvTranspose2d"
Size = int | Sequence[int]


def conv_transpose2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: Size = 1,
    padding: Size | str = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Array:
    """
    Two-dimensional transposed convolution of a batch of images.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    w : array, shape (C, O / groups, KH, KW)
        The weights of a convolution from O channels to C.
    b : array, shape (O,), optional
    stride, dilation : int or pair (height, width), pixels
        Of that convolution: here the step between stamps (sh, sw), and between the entries of one stamp (dh, dw).
    padding : int, pair (height, width), four (left, right, top, bottom), "same" or "valid"
        Of that convolution: here what is cropped off the output, pixels. ``"same"`` keeps the size, with stride 1 only.
    output_padding : int or pair (height, width), pixels
        Rows and columns added at the bottom and right. Several sizes of images shrink to one under a convolution with a
        stride; this says which of them to return to. Less than the stride or the dilation.
    groups : int
        Input and output channels are split into so many parts that do not see one another.

    Returns
    -------
    y : array, shape (N, O, OH, OW), channels-last in memory, same library, device and dtype as `x`
        ``OH = (H - 1) sh - top - bottom + dh (KH - 1) + 1 + output_padding[0]``, likewise OW.

    Raises
    ------
    ShapeError, ConfigError, DtypeError, NamespaceError, DeviceMismatchError
        Before anything is computed.

    Notes
    -----
    For one group, with oh, ow counted before cropping::

        y[n, o, oh, ow] = b[o] + sum of x[n, c, h, w] w[c, o, i, j] over all c, h sh + i dh == oh, w sw + j dw == ow

    As matrices ``V = x @ W.T``; then the entries of V that belong to one place are added up. It is what
    :func:`xpcnn.ops.conv2d_backward` does with its dy, done by the same function.

    Source: Zeiler, Krishnan, Taylor and Fergus (2010), "Deconvolutional networks"; for the shapes Dumoulin and Visin
    (2016), "A guide to convolution arithmetic for deep learning", section 4.

    Examples
    --------
    >>> import numpy as np
    >>> conv_transpose2d(np.asarray([[[[1.0, 2.0]]]]), np.asarray([[[[1.0, 10.0]]]]), stride=2).tolist()
    [[[[1.0, 10.0, 2.0, 20.0]]]]
    >>> conv_transpose2d(np.asarray([[[[1.0, 2.0]]]]), np.asarray([[[[1.0, 10.0]]]])).tolist()
    [[[[1.0, 12.0, 20.0]]]]
    """
    common(WHO, x=x, weight=w, bias=b)
    shape = conv_transpose2d_shape(
        x.shape, w.shape, stride=stride, padding=padding, output_padding=output_padding, groups=groups,
        dilation=dilation, bias=b,
    )  # fmt: skip
    if is_narrow(x):
        settings = {"stride": stride, "padding": padding, "output_padding": output_padding}
        return in_float32(conv_transpose2d, x, w, b, **settings, groups=groups, dilation=dilation)
    xp = array_namespace(x)
    cut = cuts(WHO, w.shape, stride, padding, dilation, groups)
    y = add_columns(split(to_rows(x), cut), w, cut, x.shape[2:], shape)
    if b is not None:
        y += xp.reshape(b, (1, -1, 1, 1))  # y is ours alone: no second array of its size
    return y


def conv_transpose2d_backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    stride: Size = 1,
    padding: Size | str = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    input_grad: bool = True,
) -> tuple[Array | None, Array, Array]:
    """
    Gradients of :func:`conv_transpose2d`, given ``dy = dL/dy``.

    Parameters
    ----------
    dy : array, shape (N, O, OH, OW)
    x, w, stride, padding, output_padding, groups, dilation
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
    An entry of x meets all outputs under its stamp, so dx is a convolution of dy. With dy padded where the output was
    cropped, and for one group::

        db[o]          = sum_{n, oh, ow} dy[n, o, oh, ow]                                       ->  db = 1 @ dy
        dx[n, c, h, w] = sum_{o, i, j} dy[n, o, h sh + i dh, w sw + j dw] w[c, o, i, j]         ->  dx = V @ W
        dw[c, o, i, j] = sum_{n, h, w} dy[n, o, h sh + i dh, w sw + j dw] x[n, c, h, w]         ->  dW = V.T @ x

    V holds the windows of dy, and both products share it. These are a convolution's ``y = V @ W`` and
    ``dW = V.T @ dy``; images and gradients have changed places, nothing else.

    Examples
    --------
    >>> import numpy as np
    >>> x, w = np.asarray([[[[1.0, 2.0]]]]), np.asarray([[[[1.0, 10.0]]]])
    >>> dx, dw, db = conv_transpose2d_backward(np.asarray([[[[1.0, 0.0, 3.0]]]]), x, w)
    >>> dx.tolist(), dw.tolist(), db.tolist()
    ([[[[1.0, 30.0]]]], [[[[1.0, 6.0]]]], [4.0])
    """
    common(WHO, x=x, weight=w, dy=dy)
    shape = conv_transpose2d_shape(
        x.shape, w.shape, stride=stride, padding=padding, output_padding=output_padding, groups=groups,
        dilation=dilation,
    )  # fmt: skip
    check_gradient(WHO, dy, shape)
    if is_narrow(x):
        settings = {"stride": stride, "padding": padding, "output_padding": output_padding, "groups": groups}
        return in_float32(conv_transpose2d_backward, dy, x, w, **settings, dilation=dilation, input_grad=input_grad)
    cut = cuts(WHO, w.shape, stride, padding, dilation, groups)
    v = columns(dy, cut, x.shape[2:])
    db = sum_rows(to_rows(dy))
    dw = weight_gradient(v, split(to_rows(x), cut), w.shape)
    dx = from_rows(join(_matmul(v, weight_matrix(w, cut))), x.shape) if input_grad else None
    return dx, dw, db


def conv_transpose2d_shape(
    x: tuple[int, ...],
    w: tuple[int, ...],
    *,
    stride: Size = 1,
    padding: Size | str = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    bias: Array | None = None,
) -> tuple[int, int, int, int]:
    """
    Shape (N, O, OH, OW) of a transposed convolution, from the shapes of images and weights.

    Raises
    ------
    ShapeError, ConfigError

    Examples
    --------
    >>> conv_transpose2d_shape((2, 8, 16, 16), (8, 3, 3, 3), stride=2, padding=1, output_padding=1)
    (2, 3, 32, 32)
    """
    check_shape(WHO, "weight", w, ("C", "O", "KH", "KW"))
    groups = count(WHO, "groups", groups)
    if w[0] % groups:
        message = f"{WHO}: expected groups to divide the {w[0]} input channels, got groups={groups}"
        raise ConfigError(message)
    check_images(WHO, x, w[0])
    o = w[1] * groups
    if bias is not None:
        check_shape(WHO, "bias", bias.shape, (o,))
    cut = cuts(WHO, w, stride, padding, dilation, groups)
    extra = output_pads(output_padding, cut.stride, cut.dilation)
    size = []
    for axis in range(2):
        reach = (x[2 + axis] - 1) * cut.stride[axis] + cut.dilation[axis] * (cut.kernel[axis] - 1) + 1
        size.append(reach - sum(cut.border[2 * axis : 2 * axis + 2]) + extra[axis])
    if min(size) < 1:
        message = (
            f"{WHO}: expected an output of at least one pixel, got {tuple(size)} from an image of {tuple(x[2:])}: "
            "use less padding, a larger kernel or a larger image"
        )
        raise ShapeError(message)
    return x[0], o, size[0], size[1]


def output_pads(output_padding: Size, stride: Pair, dilation: Pair) -> Pair:
    """Rows and columns of the output that lie beyond the last stamp, checked: less than the stride or the dilation."""
    extra = pair(WHO, "output_padding", output_padding, minimum=0)
    if any(p >= max(s, d) for p, s, d in zip(extra, stride, dilation, strict=True)):
        message = (
            f"{WHO}: expected output_padding smaller than the stride {stride} or the dilation {dilation}, "
            f"got {output_padding!r}"
        )
        raise ConfigError(message)
    return extra
