"""
Group normalization: each sample, over groups of its channels and all places.

As many groups as channels is instance normalization (Ulyanov, Vedaldi and Lempitsky, 2016, "Instance normalization",
equation 5); one group is layer normalization over all channels and places, with a scale for each channel.
"""

from xpcnn.backend import Array
from xpcnn.errors import ShapeError

from .checks import check_gradient, check_shape, common
from .standardize import Standardized, standardize, standardize_backward
from .sums import sum_rows

__all__ = ["group_norm", "group_norm_backward"]


def group_norm(
    x: Array,
    num_groups: int,
    w: Array | None = None,
    b: Array | None = None,
    *,
    eps: float = 1e-5,
    who: str = "GroupNorm",
) -> tuple[Array, Standardized]:
    """
    Normalize each group of channels of each sample, then scale and shift each channel.

    Parameters
    ----------
    x : array, shape (N, C) or (N, C, ...)
    num_groups : int
        How many groups the channels form, neighbours together; divides C.
    w, b : arrays, shape (C,), optional
        Scale and shift; without them one and zero.
    eps : float, > 0
        Inside the root.

    Returns
    -------
    y : array, shape of `x`
    state : Standardized
        What the backward pass needs: a row for each sample and group.

    Raises
    ------
    ShapeError, DtypeError, NamespaceError, DeviceMismatchError
        Before anything is computed.

    Notes
    -----
    With p for a place and ``g(c) = c // (C / G)`` for the group of a channel::

        xhat[n, c, p] = (x[n, c, p] - mean[n, g(c)]) / sqrt(var[n, g(c)] + eps)
        y[n, c, p]    = w[c] xhat[n, c, p] + b[c]

    Source: Wu and He (2018), "Group normalization", equations 1, 2 and 7; biased variance.

    Examples
    --------
    >>> import numpy as np
    >>> group_norm(np.asarray([[1.0, 3.0, 40.0, 60.0]]), 2)[0].round(3).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    xp = common(who, x=x, weight=w, bias=b)
    check_shape(who, "x", x.shape, ("N", "C", *"HWDEF"[: max(x.ndim - 2, 0)]))
    n, c = x.shape[:2]
    if c % num_groups:
        message = f"{who}: expected x with channels that form {num_groups} equal groups, got shape {tuple(x.shape)}"
        raise ShapeError(message)
    for name, a in (("weight", w), ("bias", b)):
        if a is not None:
            check_shape(who, name, a.shape, (c,))
    state = standardize(xp.reshape(x, (n * num_groups, -1)), eps)
    y = xp.reshape(state.xhat, (n, c, -1))
    if w is not None:
        y = y * xp.reshape(w, (1, c, 1))
    if b is not None:
        y = y + xp.reshape(b, (1, c, 1))
    return xp.reshape(y, x.shape), state


def group_norm_backward(
    dy: Array, state: Standardized, w: Array | None = None, *, who: str = "GroupNorm"
) -> tuple[Array, Array, Array]:
    """
    Gradients of :func:`group_norm`, given ``dy = dL/dy``.

    Parameters
    ----------
    dy : array, shape (N, C) or (N, C, ...)
    state : Standardized
        Of the forward pass.
    w : array, shape (C,), optional

    Returns
    -------
    dx, dw, db : arrays with the shapes of dy, (C,) and (C,)

    Notes
    -----
    ::

        db[c] = sum_{n, p} dy[n, c, p]
        dw[c] = sum_{n, p} dy[n, c, p] xhat[n, c, p]

    and dx follows from ``w[c] dy[n, c, p]``, the gradient at xhat; see
    :func:`xpcnn.ops.standardize.standardize_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> dx, dw, db = group_norm_backward(np.ones((1, 2)), group_norm(np.asarray([[1.0, 3.0]]), 1)[1])
    >>> dx.tolist(), dw.round(3).tolist(), db.tolist()
    ([[0.0, 0.0]], [-1.0, 1.0], [1.0, 1.0])
    """
    xp = common(who, xhat=state.xhat, weight=w, dy=dy)
    rows = state.xhat.shape
    check_gradient(who, xp.reshape(dy, (rows[0], -1)), rows)
    n, c = dy.shape[:2]
    planes = xp.reshape(dy, (n, c, -1))
    along = planes * xp.reshape(state.xhat, planes.shape)
    g = planes if w is None else planes * xp.reshape(w, (1, c, 1))
    dx = standardize_backward(xp.reshape(g, rows), state)
    # first the places, next to each other in memory, then the samples
    dw, db = (sum_rows(xp.sum(a, axis=2)) for a in (along, planes))
    return xp.reshape(dx, dy.shape), dw, db
