"""Layer normalization: each sample, over its last axes."""

import math

from xpcnn.backend import Array

from .checks import check_gradient, check_shape, common
from .standardize import Standardized, standardize, standardize_backward
from .sums import sum_rows

__all__ = ["check_last_axes", "layer_norm", "layer_norm_backward"]

WHO = "LayerNorm"


def layer_norm(
    x: Array, normalized_shape: tuple[int, ...], w: Array | None = None, b: Array | None = None, *, eps: float = 1e-5
) -> tuple[Array, Standardized]:
    """
    Normalize over the last axes, then scale and shift each of their places.

    Parameters
    ----------
    x : array, shape (N, ..., *normalized_shape)
    normalized_shape : tuple of int
        Sizes of the axes that are normalized together, M numbers in all.
    w, b : arrays of shape `normalized_shape`, optional
        Scale and shift; without them one and zero.
    eps : float, > 0
        Inside the root.

    Returns
    -------
    y : array, shape of `x`
    state : Standardized
        What the backward pass needs.

    Raises
    ------
    ShapeError, DtypeError, NamespaceError, DeviceMismatchError
        Before anything is computed.

    Notes
    -----
    With r for all axes in front, as one, and m for the last ones, as one::

        xhat[r, m] = (x[r, m] - mean[r]) / sqrt(var[r] + eps)
        y[r, m]    = w[m] xhat[r, m] + b[m]

    Source: Ba, Kiros and Hinton (2016), "Layer normalization", equation 3, with the epsilon that it leaves out; biased
    variance.

    Examples
    --------
    >>> import numpy as np
    >>> layer_norm(np.asarray([[1.0, 3.0], [40.0, 60.0]]), (2,))[0].round(3).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    xp = common(WHO, x=x, weight=w, bias=b)
    check_last_axes(x.shape, normalized_shape)
    for name, a in (("weight", w), ("bias", b)):
        if a is not None:
            check_shape(WHO, name, a.shape, normalized_shape)
    m = math.prod(normalized_shape)
    state = standardize(xp.reshape(x, (-1, m)), eps)
    y = state.xhat
    if w is not None:
        y = y * xp.reshape(w, (1, m))
    if b is not None:
        y = y + xp.reshape(b, (1, m))
    return xp.reshape(y, x.shape), state


def layer_norm_backward(
    dy: Array, state: Standardized, normalized_shape: tuple[int, ...], w: Array | None = None
) -> tuple[Array, Array, Array]:
    """
    Gradients of :func:`layer_norm`, given ``dy = dL/dy``.

    Parameters
    ----------
    dy : array, shape of y
    state : Standardized
        Of the forward pass.
    normalized_shape : tuple of int
    w : array, shape `normalized_shape`, optional

    Returns
    -------
    dx, dw, db : arrays with the shapes of dy, `normalized_shape` and `normalized_shape`

    Notes
    -----
    ::

        db[m] = sum_r dy[r, m]                 ->  db = 1 @ dY
        dw[m] = sum_r dy[r, m] xhat[r, m]      ->  dw = 1 @ (dY * Xhat)

    and dx follows from ``g[r, m] = w[m] dy[r, m]``, the gradient at xhat; see
    :func:`xpcnn.ops.standardize.standardize_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> _, state = layer_norm(np.asarray([[1.0, 3.0], [0.0, 2.0]]), (2,))
    >>> dx, dw, db = layer_norm_backward(np.ones((2, 2)), state, (2,))
    >>> dx.tolist(), db.tolist()
    ([[0.0, 0.0], [0.0, 0.0]], [2.0, 2.0])
    """
    xp = common(WHO, xhat=state.xhat, weight=w, dy=dy)
    check_last_axes(dy.shape, normalized_shape)
    rows = state.xhat.shape
    flat = xp.reshape(dy, (-1, rows[1]))
    check_gradient(WHO, flat, rows)
    g = flat if w is None else flat * xp.reshape(w, (1, -1))
    dx = standardize_backward(g, state)
    dw, db = (xp.reshape(sum_rows(a), normalized_shape) for a in (flat * state.xhat, flat))
    return xp.reshape(dx, dy.shape), dw, db


def check_last_axes(shape: tuple[int, ...], normalized_shape: tuple[int, ...]) -> None:
    """Raise `ShapeError` unless `shape` is a batch of anything that ends with `normalized_shape`."""
    leading = max(len(shape) - len(normalized_shape), 1)
    letters = (f"A{i}" if leading > 2 else "L" for i in range(1, leading))
    check_shape(WHO, "x", shape, ("N", *letters, *normalized_shape))
