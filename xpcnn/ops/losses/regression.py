"""
Losses on the difference of prediction and target, entry by entry.

All are functions f of the error ``e = x - t``: with M entries in all the mean is ``L = (1/M) sum_i f(e[i])``, hence
``dL/dx[i] = f'(e[i]) / M``; for "sum" and "none" without the 1/M. Where f has cases, they are told apart by
``min(|e|, ...)`` and a clipped e: no mask, and nothing overflows that the result would not.
"""

from xpcnn.backend import Array, Namespace
from xpcnn.errors import ShapeError
from xpcnn.ops.checks import common

from .reduction import check_reduction, of_entries, share

__all__ = ["check_entries", "huber", "l1", "mse", "smooth_l1"]


def check_entries(who: str, prediction: Array, target: Array, reduction: str) -> Namespace:
    """Raise unless prediction and target are of one shape, dtype and place; the namespace of both."""
    check_reduction(who, reduction)
    common(who, target=target)  # may not be None
    xp = common(who, prediction=prediction, target=target)
    shape, expected = tuple(target.shape), tuple(prediction.shape)
    if shape != expected or 0 in shape:
        message = f"{who}: expected target of the prediction's shape {expected}, not empty, got {shape}"
        raise ShapeError(message)
    return xp


def mse(prediction: Array, target: Array, reduction: str = "mean") -> tuple[Array, Array]:
    """
    Squared error; its mean over all entries unless asked otherwise.

    Parameters
    ----------
    prediction, target : arrays of one shape
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    value : 0-d array on the device, or an array of the shape of `prediction` for "none"
    dprediction : array, shape of `prediction`
        Of the mean, or of the sum; for "none" each entry is that of its own value.

    Raises
    ------
    ShapeError, DtypeError, NamespaceError, ConfigError
        Before anything is computed.

    Notes
    -----
    With M entries in all::

        L        = (1/M) sum_i (x[i] - t[i])^2
        dL/dx[i] = (2/M) (x[i] - t[i])

    Examples
    --------
    >>> import numpy as np
    >>> value, dx = mse(np.asarray([[1.0, 2.0]]), np.asarray([[1.0, 0.0]]))
    >>> float(value), dx.tolist()
    (2.0, [[0.0, 2.0]])
    """
    check_entries("MSE", prediction, target, reduction)
    error = prediction - target
    return of_entries(error * error, reduction), error * (2.0 * share(error, reduction))


def l1(prediction: Array, target: Array, reduction: str = "mean") -> tuple[Array, Array]:
    """
    Absolute error; its mean over all entries unless asked otherwise.

    Parameters
    ----------
    prediction, target, reduction
        As in :func:`mse`.

    Returns
    -------
    value, dprediction
        As in :func:`mse`.

    Raises
    ------
    ShapeError, DtypeError, NamespaceError, ConfigError
        Before anything is computed.

    Notes
    -----
    ``f(e) = |e|``, ``f'(e) = sign(e)``, which is 0 at 0, as in PyTorch's ``L1Loss``.

    Examples
    --------
    >>> import numpy as np
    >>> value, dx = l1(np.asarray([[1.0, 2.0]]), np.asarray([[1.0, 0.0]]))
    >>> float(value), dx.tolist()
    (1.0, [[0.0, 0.5]])
    """
    xp = check_entries("L1Loss", prediction, target, reduction)
    error = prediction - target
    return of_entries(xp.abs(error), reduction), xp.sign(error) * share(error, reduction)


def huber(prediction: Array, target: Array, reduction: str = "mean", delta: float = 1.0) -> tuple[Array, Array]:
    """
    Squared error for small errors, absolute error for large ones, joined smoothly.

    Parameters
    ----------
    prediction, target, reduction
        As in :func:`mse`.
    delta : float, > 0
        Where the one becomes the other.

    Returns
    -------
    value, dprediction
        As in :func:`mse`.

    Raises
    ------
    ShapeError, DtypeError, NamespaceError, ConfigError
        Before anything is computed.

    Notes
    -----
    With ``m = min(|e|, delta)``::

        f(e)  = e^2 / 2 if |e| <= delta else delta (|e| - delta / 2)   =  m (|e| - m / 2)
        f'(e) = e clipped to [-delta, delta]

    Huber (1964), "Robust estimation of a location parameter", section 4; PyTorch's ``HuberLoss``.

    Examples
    --------
    >>> import numpy as np
    >>> value, dx = huber(np.asarray([0.5, 3.0]), np.zeros(2), reduction="none")
    >>> value.tolist(), dx.tolist()
    ([0.125, 2.5], [0.5, 1.0])
    """
    xp = check_entries("HuberLoss", prediction, target, reduction)
    error = prediction - target
    size = xp.abs(error)
    least = xp.minimum(size, delta)
    clipped = xp.maximum(xp.minimum(error, delta), -delta)
    return of_entries(least * (size - least * 0.5), reduction), clipped * share(error, reduction)


def smooth_l1(prediction: Array, target: Array, reduction: str = "mean", beta: float = 1.0) -> tuple[Array, Array]:
    """
    Absolute error, rounded off within `beta` around zero: :func:`huber` divided by its delta.

    Parameters
    ----------
    prediction, target, reduction
        As in :func:`mse`.
    beta : float, >= 0
        0 is :func:`l1`.

    Returns
    -------
    value, dprediction
        As in :func:`mse`.

    Raises
    ------
    ShapeError, DtypeError, NamespaceError, ConfigError
        Before anything is computed.

    Notes
    -----
    With ``m = min(|e| / beta, 1)``::

        f(e)  = e^2 / (2 beta) if |e| < beta else |e| - beta / 2   =  m (|e| - beta m / 2)
        f'(e) = e / beta clipped to [-1, 1]

    Girshick (2015), "Fast R-CNN", equation 3; PyTorch's ``SmoothL1Loss``.

    Examples
    --------
    >>> import numpy as np
    >>> value, dx = smooth_l1(np.asarray([0.5, 3.0]), np.zeros(2), reduction="none", beta=2.0)
    >>> value.tolist(), dx.tolist()
    ([0.0625, 2.0], [0.25, 1.0])
    """
    xp = check_entries("SmoothL1Loss", prediction, target, reduction)
    error = prediction - target
    size = xp.abs(error)
    if beta == 0.0:
        return of_entries(size, reduction), xp.sign(error) * share(error, reduction)
    part = xp.minimum(size / beta, 1.0)
    clipped = xp.maximum(xp.minimum(error / beta, 1.0), -1.0)
    return of_entries(part * (size - part * (0.5 * beta)), reduction), clipped * share(error, reduction)
