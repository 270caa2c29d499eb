"""A convolution, batch norm by given statistics, a sum and a rectifier: what inference asks for at once."""

from typing import Any

from xpcnn.backend import Array, accelerated, cast

from .activations import add_relu
from .checks import common_beside
from .conv import WHO, Size, conv2d, conv2d_shape, cuts
from .norm import batch_norm

__all__ = ["conv2d_norm"]


def conv2d_norm(
    x: Array,
    w: Array,
    b: Array | None,
    mean: Array,
    var: Array,
    scale: Array | None = None,
    shift: Array | None = None,
    residual: Array | None = None,
    *,
    eps: float = 1e-5,
    relu: bool = False,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Array:
    """
    Batch norm, by given statistics, of a convolution; then a sum and a rectifier, if asked for.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    w, b : arrays, shapes (O, C / groups, KH, KW) and (O,)
        Of the convolution; b may be None. Beside x of 16 bits these, and all that follow, may be float32.
    mean, var, scale, shift : arrays, shape (O,)
        Of the norm; the last two may be None.
    residual : array, shape (N, O, OH, OW), optional
        Added to what is normalized.
    eps : float, > 0
    relu : bool
    stride, padding, dilation, groups
        As in :func:`xpcnn.ops.conv2d`.

    Returns
    -------
    y : array, shape (N, O, OH, OW)
        The bits of the ops one by one, or where a kernel does all at once, one rounding in place of several.

    Raises
    ------
    ShapeError, ConfigError, DtypeError, NamespaceError, DeviceMismatchError

    Notes
    -----
    Both are affine in each channel, so the norm is a part of other weights and another bias::

        y = scale (conv(x, w) + b - mean) / sqrt(var + eps) + shift = conv(x, w g) + (b - mean) g + shift
        g[o] = scale[o] / sqrt(var[o] + eps)

    Weights are rounded once more by that, by half a unit in the last place each, and a bias may be large where the mean
    is: the error beside the ops one by one is a few roundings of ``|x| * |w g| + |mean g|``.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones(1)
    >>> conv2d_norm(np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), 3.0), None, one, one, eps=1e-12).round(6).tolist()
    [[[[2.0]]]]
    """
    common_beside(WHO, x, weight=w, bias=b)
    settings: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    conv2d_shape(x.shape, w.shape, **settings, bias=b)
    cut = cuts(WHO, w.shape, stride, padding, dilation, groups)
    norm = mean, var, scale, shift
    if (fast := accelerated("conv2d_norm", x, w, b, norm, eps, residual, relu, cut)) is not None:
        return fast
    if residual is None:
        y = conv2d(x, cast(w, x.dtype), None if b is None else cast(b, x.dtype), **settings)
        return batch_norm(y, *norm, eps=eps, relu=relu)
    y = conv2d_norm(x, w, b, *norm, eps=eps, **settings)
    if relu:
        return add_relu(y, residual)
    total = accelerated("add", y, residual)
    return y + residual if total is None else total
