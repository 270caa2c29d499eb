"""
Convolution along one axis: a sequence is an image of height 1.

So there is no second convolution here. Shapes are checked and an axis is added; the rest, with its derivation, is in
:mod:`xpcnn.ops.conv`.
"""

from collections.abc import Sequence
from typing import Any

from xpcnn.backend import Array, array_namespace
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.settings import count

from .checks import check_gradient, check_shape, common
from .conv import conv2d, conv2d_backward, conv2d_shape
from .geometry import sides, single

__all__ = ["conv1d", "conv1d_backward", "conv1d_shape"]

WHO = "Conv1d"
Size = int | Sequence[int]


def conv1d(
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
    One-dimensional convolution of a batch of sequences.

    Parameters
    ----------
    x : array, shape (N, C, L)
    w : array, shape (O, C / groups, K)
    b : array, shape (O,), optional
    stride, dilation : int, entries
        Step s between windows, and d between the taps of one window.
    padding : int, pair (left, right), "same" or "valid"
        Zeros around the sequence. ``(dilation * (K - 1), 0)`` makes it causal: no output sees what comes later.
    groups : int
        Input and output channels are split into so many parts that do not see one another.

    Returns
    -------
    y : array, shape (N, O, OL), channels-last in memory, same library, device and dtype as `x`
        ``OL = floor((L + left + right - d * (K - 1) - 1) / s) + 1``

    Raises
    ------
    ShapeError, ConfigError, DtypeError, NamespaceError, DeviceMismatchError
        Before anything is computed.

    Notes
    -----
    With x padded by zeros, for one group::

        y[n, o, l] = b[o] + sum_{c, i} w[o, c, i] x[n, c, l s + i d]    ->  y = V @ W + b

    This is :func:`xpcnn.ops.conv2d` with H = KH = 1, and V and W are that function's. Source: Waibel, Hanazawa, Hinton,
    Shikano and Lang (1989), "Phoneme recognition using time-delay neural networks", section II.

    Examples
    --------
    >>> import numpy as np
    >>> conv1d(np.asarray([[[1.0, 2.0, 4.0]]]), np.asarray([[[-1.0, 1.0]]])).tolist()
    [[[1.0, 2.0]]]
    """
    common(WHO, x=x, weight=w, bias=b)
    conv1d_shape(x.shape, w.shape, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=b)
    settings = _flat(w.shape, stride, padding, dilation, groups)
    return conv2d(_image(x), _image(w), b, **settings)[:, :, 0, :]


def conv1d_backward(
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
    Gradients of :func:`conv1d`, given ``dy = dL/dy``.

    Parameters
    ----------
    dy : array, shape (N, O, OL)
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
    :func:`xpcnn.ops.conv2d_backward` with one row::

        db[o]       = sum_{n, l} dy[n, o, l]
        dw[o, c, i] = sum_{n, l} dy[n, o, l] x[n, c, l s + i d]
        dx[n, c, m] = sum of dy[n, o, l] w[o, c, i] over all o and all l s + i d == m, m in the padded sequence

    Examples
    --------
    >>> import numpy as np
    >>> dx, dw, db = conv1d_backward(np.ones((1, 1, 2)), np.asarray([[[1.0, 2.0, 4.0]]]), np.asarray([[[-1.0, 1.0]]]))
    >>> dx.tolist(), dw.tolist(), db.tolist()
    ([[[-1.0, 0.0, 1.0]]], [[[3.0, 6.0]]], [2.0])
    """
    common(WHO, x=x, weight=w, dy=dy)
    shape = conv1d_shape(x.shape, w.shape, stride=stride, padding=padding, dilation=dilation, groups=groups)
    check_gradient(WHO, dy, shape)
    settings = _flat(w.shape, stride, padding, dilation, groups)
    dx, dw, db = conv2d_backward(_image(dy), _image(x), _image(w), input_grad=input_grad, **settings)
    return None if dx is None else dx[:, :, 0, :], dw[:, :, 0, :], db


def conv1d_shape(
    x: tuple[int, ...],
    w: tuple[int, ...],
    *,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
    bias: Array | None = None,
) -> tuple[int, int, int]:
    """
    Shape (N, O, OL) of a convolution, from the shapes of sequences and weights.

    Raises
    ------
    ShapeError, ConfigError

    Examples
    --------
    >>> conv1d_shape((2, 3, 100), (8, 3, 5), stride=2, padding=2)
    (2, 8, 50)
    """
    check_shape(WHO, "weight", w, ("O", "C", "K"))
    groups = count(WHO, "groups", groups)
    channels = w[1] * groups
    check_shape(WHO, "x", x, ("N", channels, "L"), _hint(x, channels))
    if w[0] % groups:
        message = f"{WHO}: expected groups to divide the {w[0]} output channels, got groups={groups}"
        raise ConfigError(message)
    if bias is not None:
        check_shape(WHO, "bias", bias.shape, (w[0],))
    settings = _flat(w, stride, padding, dilation, groups)
    (left, right, *_), (_, step) = settings["padding"], settings["dilation"]
    reach, padded = step * (w[2] - 1) + 1, left + x[2] + right
    if padded < reach:
        message = (
            f"{WHO}: expected a padded sequence of at least the kernel's size {reach}, got {padded} "
            f"from a sequence of {x[2]}: use a smaller kernel, more padding or a longer sequence"
        )
        raise ShapeError(message)
    n, o, _, length = conv2d_shape((*x[:2], 1, x[2]), (*w[:2], 1, w[2]), **settings)
    return n, o, length


def _flat(w: tuple[int, ...], stride: Size, padding: Size | str, dilation: Size, groups: int) -> dict[str, Any]:
    """The settings of the convolution of images of height 1, checked."""
    s, d = single(WHO, "stride", stride), single(WHO, "dilation", dilation)
    left, right = sides(WHO, padding, w[2], s, d)
    return {"stride": (1, s), "padding": (left, right, 0, 0), "dilation": (1, d), "groups": groups}


def _image(x: Array) -> Array:
    """(N, C, L) as (N, C, 1, L)."""
    return array_namespace(x).expand_dims(x, axis=2)


def _hint(shape: tuple[int, ...], channels: int) -> str:
    """How to make sequences (N, channels, L) out of an array of that shape, where that can be guessed."""
    if len(shape) == 3 and shape[2] == channels != shape[1]:
        return f"channels come first; permute to {(shape[0], shape[2], shape[1])}"
    if len(shape) == 2 and shape[0] == channels:
        return f"add the batch axis, as in x[None] of shape {(1, *shape)}"
    if len(shape) == 2 and channels == 1:
        return f"add the channel axis, as in x[:, None] of shape {(shape[0], 1, shape[1])}"
    return ""
