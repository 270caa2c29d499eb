"""Dropout: forward, and its backward pass below it."""

from xpcnn.backend import Array, Key, keep_mask

from .checks import check_gradient, common

__all__ = ["dropout", "dropout_backward"]

WHO = "Dropout"


def dropout(x: Array, p: float, key: Key) -> tuple[Array, Array]:
    """
    Zero entries at random and scale the others up, so that the mean stays.

    Parameters
    ----------
    x : array, shape (N, ...)
    p : float, 0 to 1
        Chance of an entry to be dropped (deepnet's ``prob`` is the chance to be kept).
    key : Key
        Address of the draw: the same key drops the same entries, on every library and device.

    Returns
    -------
    y : array, shape of `x`
    mask : boolean array, shape of `x`
        True where an entry was kept.

    Notes
    -----
    ``y[i] = m[i] x[i] / (1 - p)`` with ``m[i] = 0`` with probability p, else 1; so ``E[y] = x``, and inference needs
    no scaling ("inverted" dropout).

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), section 10 for the scaling in training.

    Examples
    --------
    >>> import numpy as np
    >>> y, mask = dropout(np.ones((2, 50)), 0.5, Key(0))
    >>> sorted(set(y.ravel().tolist()))
    [0.0, 2.0]
    """
    common(WHO, x=x)
    mask = keep_mask(x, p, key)
    return _masked(x, mask, p), mask


def dropout_backward(dy: Array, mask: Array, p: float) -> Array:
    """
    Gradient of :func:`dropout`, given ``dy = dL/dy`` and the mask of the forward pass.

    Notes
    -----
    The layer is linear and diagonal, hence its own adjoint: ``dx[i] = m[i] dy[i] / (1 - p)``.

    Examples
    --------
    >>> import numpy as np
    >>> dropout_backward(np.ones(2), np.asarray([True, False]), 0.5).tolist()
    [2.0, 0.0]
    """
    common(WHO, dy=dy)
    check_gradient(WHO, dy, mask.shape)
    return _masked(dy, mask, p)


def _masked(x: Array, mask: Array, p: float) -> Array:
    xp = common(WHO, x=x)
    return x * (xp.astype(mask, x.dtype) * (1.0 / (1.0 - p) if p < 1.0 else 0.0))
