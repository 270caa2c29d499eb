"""Dropout of entries and of whole channels, each with its backward pass below it."""

from xpcnn.backend import Array, Key, accelerated, is_narrow, keep_mask

from .checks import check_gradient, check_images, check_shape, common, in_float32

__all__ = ["dropout", "dropout2d", "dropout2d_backward", "dropout_backward"]

WHO, WHO_2D = "Dropout", "Dropout2d"


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
    if (fast := accelerated("dropout", x, p, key)) is not None:
        return fast
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


def dropout2d(x: Array, p: float, key: Key) -> tuple[Array, Array]:
    """
    Zero whole channels at random and scale the others up.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
    p : float, 0 to 1
        Chance of a channel of a sample to be dropped.
    key : Key
        Address of the draw.

    Returns
    -------
    y : array, shape of `x`
    mask : boolean array, shape (N, C, 1, 1)
        True where a channel was kept.

    Notes
    -----
    ``y[n, c, h, w] = m[n, c] x[n, c, h, w] / (1 - p)``. Neighbouring pixels are so much alike that to drop one of them
    takes nothing away.

    Source: Tompson, Goroshin, Jain, LeCun and Bregler (2015), "Efficient object localization using convolutional
    networks", section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> y, mask = dropout2d(np.ones((1, 4, 2, 2)), 0.5, Key(1))
    >>> mask.ravel().tolist(), y.sum(axis=(2, 3)).tolist()
    ([False, True, False, False], [[0.0, 8.0, 0.0, 0.0]])
    """
    xp = common(WHO_2D, x=x)
    check_images(WHO_2D, x.shape)
    mask = xp.reshape(keep_mask(x[:, :, 0, 0], p, key), (*x.shape[:2], 1, 1))
    return _masked(x, mask, p), mask


def dropout2d_backward(dy: Array, mask: Array, p: float) -> Array:
    """
    Gradient of :func:`dropout2d`, given ``dy = dL/dy``: ``dx[n, c, h, w] = m[n, c] dy[n, c, h, w] / (1 - p)``.

    Examples
    --------
    >>> import numpy as np
    >>> dropout2d_backward(np.ones((1, 2, 1, 1)), np.asarray([[[[True]], [[False]]]]), 0.5).tolist()
    [[[[2.0]], [[0.0]]]]
    """
    common(WHO_2D, dy=dy)
    check_shape(WHO_2D, "dy", dy.shape, (*mask.shape[:2], "H", "W"))
    return _masked(dy, mask, p)


def _masked(x: Array, mask: Array, p: float) -> Array:
    xp = common(WHO, x=x)
    if is_narrow(x):  # else the factor is rounded, and the product again
        return in_float32(_masked, x, mask, p)
    return x * (xp.astype(mask, x.dtype) * (1.0 / (1.0 - p) if p < 1.0 else 0.0))
