"""PReLU: a rectifier whose slope to the left is learned."""

from xpcnn.backend import Array, Namespace

from .checks import check_gradient, check_shape, common
from .sums import sum_rows, to_rows

__all__ = ["check_channels", "prelu", "prelu_backward"]

WHO = "PReLU"


def prelu(x: Array, w: Array) -> Array:
    """
    ``y = x`` where ``x > 0``, else ``w x``.

    Parameters
    ----------
    x : array, shape (N, C, ...)
    w : array, shape (C,) or (1,)
        A slope for each channel, or one for all.

    Returns
    -------
    y : array, shape of `x`

    Raises
    ------
    ShapeError, DtypeError, NamespaceError, DeviceMismatchError

    Notes
    -----
    ``y[n, c, p] = max(x[n, c, p], 0) + w[c] min(x[n, c, p], 0)``

    Source: He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers", equation 1.

    Examples
    --------
    >>> import numpy as np
    >>> prelu(np.asarray([[-1.0, 2.0]]), np.asarray([0.5])).tolist()
    [[-0.5, 2.0]]
    """
    xp = common(WHO, x=x, weight=w)
    slopes = _slopes(xp, x, w)
    return xp.maximum(x, 0.0) + slopes * xp.minimum(x, 0.0)


def prelu_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array]:
    """
    Gradients of :func:`prelu`, given ``dy = dL/dy``.

    Returns
    -------
    dx, dw : arrays with the shapes of x and w

    Notes
    -----
    At the kink the slope is w, as in PyTorch::

        dx[n, c, p] = dy[n, c, p] (1 if x[n, c, p] > 0 else w[c])
        dw[c]       = sum_{n, p} dy[n, c, p] min(x[n, c, p], 0)      (and over c, where one w serves all)

    Examples
    --------
    >>> import numpy as np
    >>> dx, dw = prelu_backward(np.ones((1, 2)), np.asarray([[-1.0, 2.0]]), np.asarray([0.5]))
    >>> dx.tolist(), dw.tolist()
    ([[0.5, 1.0]], [-1.0])
    """
    xp = common(WHO, x=x, weight=w, dy=dy)
    check_gradient(WHO, dy, x.shape)
    slopes = _slopes(xp, x, w)
    right = xp.astype(x > 0.0, x.dtype)
    dw = sum_rows(to_rows(dy * xp.minimum(x, 0.0)))
    if w.shape[0] == 1:
        dw = xp.reshape(xp.sum(dw), (1,))
    return dy * (right + (1.0 - right) * slopes), dw


def check_channels(shape: tuple[int, ...], num_parameters: int) -> None:
    """Raise `ShapeError` unless `shape` is (N, C, ...) with a slope for each channel, or one for all."""
    channels = "C" if num_parameters == 1 else num_parameters
    check_shape(WHO, "x", shape, ("N", channels, *"HWDEF"[: max(len(shape) - 2, 0)]))


def _slopes(xp: Namespace, x: Array, w: Array) -> Array:
    check_shape(WHO, "weight", w.shape, ("C",))
    check_channels(x.shape, w.shape[0])
    return xp.reshape(w, (1, -1, *([1] * (x.ndim - 2))))
