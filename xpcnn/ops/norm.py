"""
Batch normalization: forward with given statistics, the statistics themselves, and the backward pass through both.
"""

import math
from typing import Any

from xpcnn.backend import Array, Namespace, accelerated, array_namespace, cast, is_narrow
from xpcnn.errors import ShapeError

from .activations import relu as rectified
from .activations import relu_backward
from .checks import check_gradient, check_shape, common, common_beside, common_place, in_float32
from .elementwise import elementwise
from .sums import from_rows, sum_rows, sum_rows_in_float64, to_rows

__all__ = ["batch_norm", "batch_norm_backward", "batch_statistics", "moved"]


def batch_statistics(x: Array, who: str = "BatchNorm", *, exact: bool = False) -> tuple[Array, Array]:
    """
    Mean and biased variance of each channel over the batch and all places.

    Parameters
    ----------
    x : array, shape (N, C) or (N, C, ...)
        At least two values per channel.
    exact : bool
        In float64, in which they are computed, for what goes on with them; otherwise in the dtype of x.

    Returns
    -------
    mean, var : arrays, shape (C,)

    Raises
    ------
    ShapeError
        If there is only one value per channel: its variance says nothing.

    Notes
    -----
    With P = N * (places) values per channel::

        mean[c] = sum_p x[p, c] / P            ->  m = 1 @ X / P
        var[c]  = sum_p (x[p, c] - mean[c])^2 / P

    Two passes with the correction term of Chan, Golub and LeVeque (1983), equation 1.7: where the values are large
    beside their spread, ``E[x^2] - E[x]^2`` would leave nothing but rounding errors. Their term is the square of what
    the mean, rounded to the dtype of x, leaves over. The sum for the mean is one in float64: where the values lie
    around zero, float32 would lose in every addition as much as rounding the mean in the end, however it is arranged.

    Examples
    --------
    >>> import numpy as np
    >>> mean, var = batch_statistics(np.asarray([[1.0], [3.0]]))
    >>> mean.tolist(), var.tolist()
    ([2.0], [1.0])
    """
    xp = common(who, x=x)
    count = math.prod(x.shape) // x.shape[1]
    if count < 2:
        message = (
            f"{who}: expected more than one value per channel in training, got x of shape {tuple(x.shape)}: "
            "use a larger batch, or train=False"
        )
        raise ShapeError(message)
    fast = accelerated("batch_statistics", x)
    rows = cast(x, xp.float32) if is_narrow(x) else x
    mean, var = _statistics(to_rows(rows)) if fast is None else fast
    return (mean, var) if exact else (xp.astype(mean, x.dtype), xp.astype(var, x.dtype))


def _statistics(rows: Array) -> tuple[Array, Array]:
    """Mean and variance of each column, in float64."""
    count = rows.shape[0]
    mean = sum_rows_in_float64(rows) / count  # of equal values exactly their value: rest and variance are zero
    rounded, rest = _split(mean, rows.dtype)
    square = rows - rounded
    square *= square
    var = sum_rows(square, 1.0 / count, array_namespace(rows).float64)
    return mean, var if rest is None else var - rest * rest


def batch_norm(
    x: Array,
    mean: Array,
    var: Array,
    w: Array | None = None,
    b: Array | None = None,
    *,
    eps: float = 1e-5,
    relu: bool = False,
    who: str = "BatchNorm",
) -> Array:
    """
    Normalize each channel with given statistics, then scale and shift it.

    Parameters
    ----------
    x : array, shape (N, C) or (N, C, ...)
    mean, var : arrays, shape (C,)
        Of this batch in training (:func:`batch_statistics`), running averages at inference. In the dtype of x or, where
        they are known so well, both in float64. Beside x of 16 bits all may be float32.
    w, b : arrays, shape (C,), optional
        Scale and shift; without them one and zero.
    eps : float, > 0
        Inside the root, as in PyTorch.
    relu : bool
        Give ``max(y, 0)``, with the same bits as :func:`xpcnn.ops.relu` of y: in the same kernel, where there is one.

    Returns
    -------
    y : array, shape of `x`

    Notes
    -----
    ::

        xhat[p, c] = (x[p, c] - mean[c]) / sqrt(var[c] + eps)
        y[p, c]    = w[c] xhat[p, c] + b[c]

    A mean of 1e4 in float32 is off by up to 5e-4. One in float64 is rounded first, and what that leaves over, times the
    scale, belongs to the shift: ``(x - mean) s w + b = (x - rounded) s w + (b - (mean - rounded) s w)``.

    Source: Ioffe and Szegedy (2015), algorithm 1; biased variance in the normalizer.

    Examples
    --------
    >>> import numpy as np
    >>> batch_norm(np.asarray([[1.0], [3.0]]), np.asarray([2.0]), np.asarray([1.0]), eps=1e-12).round(6).tolist()
    [[-1.0], [1.0]]
    """
    xp = _check(who, x, mean, var, weight=w, bias=b)
    channels = (mean.shape[0],)
    for name, a in (("mean", mean), ("var", var), ("weight", w), ("bias", b)):
        if a is not None:
            check_shape(who, name, a.shape, channels)
    check_shape(who, "x", x.shape, ("N", mean.shape[0], *"HWD"[: x.ndim - 2]))
    if relu:
        fast = accelerated("batch_norm_relu", x, mean, var, w, b, eps)
        return rectified(batch_norm(x, mean, var, w, b, eps=eps, who=who)) if fast is None else fast
    if (fast := accelerated("batch_norm", x, mean, var, w, b, eps)) is not None:
        return fast
    if is_narrow(x):
        return in_float32(batch_norm, x, mean, var, w, b, eps=eps, who=who)
    rounded, rest = _split(mean, x.dtype)
    scale = _scale(var, w, eps)
    y = to_rows(x) - rounded
    y *= xp.astype(scale, x.dtype)
    if rest is not None:
        shift = -rest * scale
        b = xp.astype(shift if b is None else shift + xp.astype(b, xp.float64), x.dtype)
    if b is not None:
        y += b
    return from_rows(y, x.shape)


def batch_norm_backward(
    dy: Array,
    x: Array,
    mean: Array,
    var: Array,
    w: Array | None = None,
    b: Array | None = None,
    *,
    eps: float = 1e-5,
    fixed: bool = False,
    relu: bool = False,
    who: str = "BatchNorm",
) -> tuple[Array, Array, Array]:
    """
    Gradients of :func:`batch_norm` with the statistics of the batch itself, given ``dy = dL/dy``.

    Parameters
    ----------
    dy, x : arrays, shape (N, C) or (N, C, ...)
    mean, var : arrays, shape (C,)
        Those that :func:`batch_norm` was given.
    w, b : arrays, shape (C,), optional
        b tells only where the rectifier lets something through.
    eps : float, > 0
    fixed : bool
        Mean and variance are given numbers, such as frozen running averages, and no functions of x.
    relu : bool
        `dy` is the gradient behind the rectifier. What y was is computed again, which costs less than to read it.

    Returns
    -------
    dx, dw, db : arrays with the shapes of x, (C,) and (C,)

    Notes
    -----
    Let g = dy w be the gradient at xhat, s = 1 / sqrt(var + eps), all for one channel with P values::

        db = sum_p dy[p]                               ->  db = 1 @ dY
        dw = sum_p dy[p] xhat[p]                       ->  dw = 1 @ (dY * Xhat)

    x acts on xhat directly, through the mean and through the variance. The last two are::

        d(var)/d(x[p])  = 2 (x[p] - mean) / P          (d(var)/d(mean) = 0, deviations sum to zero)
        dL/dvar         = -1/2 s^2 sum_q g[q] xhat[q]
        dL/dmean        = -s sum_q g[q]

    so with g = w dy the three paths add up to::

        dx[p] = s (g[p] - (1/P) sum_q g[q] - xhat[p] (1/P) sum_q g[q] xhat[q])
              = w s (dy[p] - db / P - xhat[p] dw / P)

    With fixed statistics only the direct path is left: ``dx[p] = w s dy[p]``.

    What rounding the mean leaves over makes ``xhat = near - off``, with near from the rounded mean and one number off a
    channel, so that ``dw = sum_p dy[p] near[p] - off db``, and likewise in dx.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([[1.0], [3.0]])
    >>> dx, dw, db = batch_norm_backward(np.ones((2, 1)), x, *batch_statistics(x))
    >>> dx.tolist(), db.tolist()
    ([[0.0], [0.0]], [2.0])
    """
    xp = _check(who, x, mean, var, weight=w, bias=b, dy=dy)
    check_gradient(who, dy, x.shape)
    if relu:
        fast = accelerated("batch_norm_relu_backward", dy, x, mean, var, w, b, eps, fixed)
        if fast is not None:
            return fast
        dy = relu_backward(dy, batch_norm(x, mean, var, w, b, eps=eps, relu=True, who=who))
    if (fast := accelerated("batch_norm_backward", dy, x, mean, var, w, eps, fixed)) is not None:
        return fast
    if is_narrow(x):
        wide = (a if a is None or a.dtype != x.dtype else cast(a, xp.float32) for a in (dy, x, mean, var, w))
        dx, *others = batch_norm_backward(*wide, eps=eps, fixed=fixed, who=who)
        return cast(dx, x.dtype), *cast(tuple(others), xp.float32 if w is None else w.dtype)
    rounded, rest = _split(mean, x.dtype)
    s = _scale(var, None, eps)
    near = to_rows(x) - rounded
    near *= xp.astype(s, x.dtype)
    g = to_rows(dy)
    db = sum_rows(g, dtype=xp.float64)
    dw = sum_rows(g * near, dtype=xp.float64)
    off = 0.0 if rest is None else rest * s
    dw = dw - off * db
    through = g
    if not fixed:
        share = 1.0 / g.shape[0]
        near *= xp.astype(dw * share, x.dtype)  # from here on the part through the variance
        through = g - xp.astype((db - off * dw) * share, x.dtype)
        through -= near
    dx = through * xp.astype(_scale(var, w, eps), x.dtype)
    return from_rows(dx, x.shape), xp.astype(dw, x.dtype), xp.astype(db, x.dtype)


@elementwise
def moved(old: Array, new: Array, share: float | Array, factor: float = 1.0) -> Array:
    """
    A running average, moved towards a new value: ``(1 - share) old + share factor new``.

    Parameters
    ----------
    old, new : arrays of one shape
        One number a channel: computed in float64, which costs nothing, and rounded once.
    share : float, or array of no axes
    factor : float

    Returns
    -------
    average : array, of the shape and dtype of `old`

    Examples
    --------
    >>> import numpy as np
    >>> moved(np.asarray([1.0]), np.asarray([2.0]), 0.25).tolist()
    [1.25]
    """
    xp = array_namespace(old)
    before, after = xp.astype(old, xp.float64), xp.astype(new, xp.float64)
    return xp.astype(before + (after * factor - before) * share, old.dtype)


def _check(who: str, x: Array, mean: Array, var: Array, **others: Array | None) -> Namespace:
    """All of one library, device and dtype, but that the statistics may be float64, and float32 beside 16 bits."""
    common_place(who, x=x, mean=mean, var=var)
    float64 = array_namespace(x).float64
    exact = mean.dtype == float64 and var.dtype == float64
    return common_beside(who, x, **({} if exact else {"mean": mean, "var": var}), **others)


def _split(mean: Array, dtype: Any) -> tuple[Array, Array | None]:
    """A mean in the dtype of x, and what that leaves over, in float64: None where it is given in that dtype."""
    if mean.dtype == dtype:
        return mean, None
    xp = array_namespace(mean)
    rounded = xp.astype(mean, dtype)
    return rounded, mean - xp.astype(rounded, xp.float64)


def _scale(var: Array, w: Array | None, eps: float) -> Array:
    """``w / sqrt(var + eps)`` in float64, to be rounded once: an error in it is one in all values of its channel."""
    xp = array_namespace(var)
    scale = 1.0 / xp.sqrt(xp.astype(var, xp.float64) + eps)
    return scale if w is None else scale * xp.astype(w, xp.float64)
