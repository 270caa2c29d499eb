"""
Rows of a matrix brought to mean zero and variance one: what layer, group and instance normalization have in common.

They differ only in which numbers of x form a row.
"""

from typing import NamedTuple

from xpcnn.backend import Array, array_namespace

__all__ = ["Standardized", "standardize", "standardize_backward"]


class Standardized(NamedTuple):
    """
    Rows without their means and spreads, and these; what the backward pass needs.

    Parameters
    ----------
    xhat : array, shape (R, M)
    inv_std : array, shape (R, 1)
        One over the root of ``var + eps``.
    mean, var : arrays, shape (R, 1)
        Of each row; the biased variance.
    """

    xhat: Array
    inv_std: Array
    mean: Array
    var: Array


def standardize(rows: Array, eps: float) -> Standardized:
    """
    Subtract each row's mean and divide by its standard deviation.

    Parameters
    ----------
    rows : array, shape (R, M)
    eps : float, > 0
        Inside the root, as in PyTorch.

    Returns
    -------
    Standardized

    Notes
    -----
    ::

        mean[r]    = sum_m x[r, m] / M
        var[r]     = sum_m (x[r, m] - mean[r])^2 / M
        xhat[r, m] = (x[r, m] - mean[r]) / sqrt(var[r] + eps)

    A mean of 1e4 in float32 is off by up to 5e-4, as much as it takes to spoil deviations of 1. So the mean is
    subtracted in two steps: rounded, and then what that left over, the mean of the deviations. See also
    :func:`xpcnn.ops.batch_statistics`.

    Examples
    --------
    >>> import numpy as np
    >>> standardize(np.asarray([[1.0, 3.0]]), 1e-12).xhat.round(6).tolist()
    [[-1.0, 1.0]]
    """
    xp = array_namespace(rows)
    share = 1.0 / rows.shape[1]
    mean = xp.sum(rows, axis=1, keepdims=True) * share
    centred = rows - mean
    rest = xp.sum(centred, axis=1, keepdims=True) * share
    centred = centred - rest
    var = xp.sum(centred * centred, axis=1, keepdims=True) * share
    # one number a row: in float64 it costs nothing, and is rounded once instead of three times
    inv_std = xp.astype(1.0 / xp.sqrt(xp.astype(var, xp.float64) + eps), rows.dtype)
    return Standardized(centred * inv_std, inv_std, mean + rest, var)


def standardize_backward(g: Array, of: Standardized) -> Array:
    """
    Gradient at the rows, given ``g = dL/dxhat`` and what :func:`standardize` returned.

    Notes
    -----
    x acts on xhat directly, through the mean and through the variance, as in :func:`xpcnn.ops.batch_norm_backward`;
    with ``s = 1 / sqrt(var + eps)``, in each row r::

        dx[m] = s (g[m] - (1/M) sum_q g[q] - xhat[m] (1/M) sum_q g[q] xhat[q])

    As a matrix: ``dx = s (I - (1 1' + xhat xhat') / M) g``, which is symmetric.

    Examples
    --------
    >>> import numpy as np
    >>> standardize_backward(np.ones((1, 2)), standardize(np.asarray([[1.0, 3.0]]), 1e-12)).tolist()
    [[0.0, 0.0]]
    """
    xp = array_namespace(g)
    share = 1.0 / g.shape[1]
    mean = xp.sum(g, axis=1, keepdims=True) * share
    along = xp.sum(g * of.xhat, axis=1, keepdims=True) * share
    return (g - mean - of.xhat * along) * of.inv_std
