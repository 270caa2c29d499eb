"""Losses: the value and the gradient at the network's output, in one go."""

import math

from xpcnn.backend import Array, array_namespace, is_array, is_host
from xpcnn.errors import LabelError, NamespaceError, ShapeError

from .checks import check_shape, common, common_place
from .softmax import log_softmax

__all__ = ["check_target", "cross_entropy_total", "mse", "softmax_cross_entropy"]


def softmax_cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[Array, Array]:
    """
    Mean cross-entropy of softmax probabilities, in nats.

    Parameters
    ----------
    logits : array, shape (N, K)
        Scores before the softmax.
    target : integer array, shape (N,), or array of probabilities, shape (N, K)
        Class numbers 0 to K - 1, or a distribution for each sample.
    weight : array, shape (K,), optional
        Weight of each class.
    ignore_index : int
        Samples with this label count for nothing (class numbers only).
    label_smoothing : float, 0 to 1
        How much of each target is spread evenly over all classes.

    Returns
    -------
    value : 0-d array on the device
    dlogits : array, shape (N, K)

    Raises
    ------
    ShapeError, LabelError, DtypeError, NamespaceError
        Before anything is computed. On a GPU the range of labels is not read (that would wait for the device): there a
        label out of range makes the value NaN. ``fit`` and ``evaluate`` check all labels beforehand.

    Notes
    -----
    With p = softmax(z), targets q (one-hot or given, smoothed by e: ``q <- (1 - e) q + e / K``) and weights v::

        L         = -(1/D) sum_{n, k} v[k] q[n, k] log p[n, k]
        dL/dz[n, k] = (1/D) (p[n, k] sum_j v[j] q[n, j] - v[k] q[n, k])    ->  dZ = (P - Q) / N

    since ``d log p[j] / d z[k] = delta_jk - p[k]``; the arrow is for no weights. D = N for probabilities, and the sum
    of the weights of the labels for class numbers: PyTorch's ``reduction="mean"``. Where no sample counts, the value is
    NaN and the gradient zero.

    The logarithm is taken of the softmax as a whole, so scores of 1e4 give finite values (deepnet's ``-log(p)`` is
    infinite as soon as p underflows). Label smoothing: Szegedy et al. (2016), section 7.

    Examples
    --------
    >>> import numpy as np
    >>> value, dlogits = softmax_cross_entropy(np.zeros((1, 2)), np.asarray([0]))
    >>> round(float(value), 4), dlogits.tolist()
    (0.6931, [[-0.5, 0.5]])
    """
    who = "SoftmaxCrossEntropy"
    xp = common(who, logits=logits, weight=weight)
    check_shape(who, "logits", logits.shape, ("N", "K"))
    n, k = logits.shape
    if weight is not None:
        check_shape(who, "weight", weight.shape, (k,))
    check_target(target, n, k, ignore_index)
    common_place(who, logits=logits, target=target)
    if not array_namespace(target).isdtype(target.dtype, "integral"):
        common(who, logits=logits, target=target)
    q, total = _weighted_targets(logits, target, weight, ignore_index, label_smoothing)
    some = xp.where(total == 0.0, 1.0, total)  # with nothing counted the value is NaN, and the gradient 0
    logp = log_softmax(logits)
    # a class of no weight does not count, even at a score of minus infinity
    value = -xp.sum(q * xp.where(q == 0.0, 0.0, logp)) / xp.where(total == 0.0, xp.nan, total)
    dlogits = (xp.exp(logp) * xp.sum(q, axis=1, keepdims=True) - q) / some
    return xp.asarray(value), dlogits


def cross_entropy_total(logits: Array, target: Array, weight: Array | None = None, ignore_index: int = -100) -> Array:
    """
    What :func:`softmax_cross_entropy` divides by: the samples that count, each with the weight of its label.

    Parameters
    ----------
    logits, target, weight, ignore_index
        As there.

    Returns
    -------
    total : 0-d array on the device

    Examples
    --------
    >>> import numpy as np
    >>> float(cross_entropy_total(np.zeros((3, 2)), np.asarray([0, 1, -100]), np.asarray([1.0, 0.5])))
    1.5
    """
    return _weighted_targets(logits, target, weight, ignore_index, 0.0)[1]


def _weighted_targets(
    logits: Array, target: Array, weight: Array | None, ignore_index: int, label_smoothing: float
) -> tuple[Array, Array]:
    """The products v[k] q[n, k] of weights and targets, and their total D; see :func:`softmax_cross_entropy`."""
    xp = array_namespace(logits)
    n, k = logits.shape
    scale = 1.0 if weight is None else xp.expand_dims(weight, axis=0)
    if not xp.isdtype(target.dtype, "integral"):
        q = target * (1.0 - label_smoothing) + label_smoothing / k if label_smoothing else target
        return q * scale, xp.full((), float(n), dtype=logits.dtype, device=logits.device)
    target = xp.astype(target, xp.int64)
    classes = xp.arange(k, dtype=xp.int64, device=logits.device)
    counted = xp.expand_dims(target != ignore_index, axis=1)
    hit = xp.logical_and(xp.expand_dims(target, axis=1) == xp.expand_dims(classes, axis=0), counted)
    q = xp.astype(hit, logits.dtype) * scale
    total = xp.asarray(xp.sum(q))
    if not is_host(target):  # nobody looked at the labels: one out of range makes everything NaN
        valid = xp.all(xp.logical_or(xp.any(hit, axis=1), target == ignore_index))
        total = xp.where(valid, total, xp.nan)
    if label_smoothing:
        even = xp.astype(counted, logits.dtype) * scale
        q = q * (1.0 - label_smoothing) + even * (label_smoothing / k)
    return q, total


def check_target(target: Array, n: int, k: int, ignore_index: int) -> None:
    """Raise unless the targets are N class numbers or N distributions over K classes."""
    who = "SoftmaxCrossEntropy"
    if not is_array(target):
        message = f"{who}: expected target to be an array, got {type(target).__qualname__}"
        raise NamespaceError(message)
    xp = array_namespace(target)
    shape = tuple(target.shape)
    if xp.isdtype(target.dtype, "integral"):
        if shape != (n,):
            message = f"{who}: expected {n} labels for {n} samples, got target of shape {shape}"
            if shape == (n, 1):
                message += ": take y[:, 0]"
            elif shape == (n, k):
                message += ": take y.argmax(axis=1), or one-hot rows as floating numbers"
            raise LabelError(message)
        if not is_host(target):
            return
        target = xp.astype(target, xp.int64)  # in bytes, -100 would be 156
        wrong = xp.logical_and(xp.logical_or(target < 0, target >= k), target != ignore_index)
        if bool(xp.any(wrong)):
            low, high = int(xp.min(target)), int(xp.max(target))
            message = f"{who}: expected labels from 0 to {k - 1}, got labels from {low} to {high}"
            if (low, high) == (1, k):
                message += ": subtract 1"
            elif low >= 0:
                message += f": for {high + 1} classes the last layer needs {high + 1} outputs"
            raise LabelError(message)
    elif not xp.isdtype(target.dtype, "real floating") or shape != (n, k):
        message = (
            f"{who}: expected target of {n} integer labels or probabilities of shape {(n, k)}, "
            f"got {target.dtype} of shape {shape}"
        )
        if shape in ((n,), (n, 1)):
            message += ": convert the labels to integers" + (", and take y[:, 0]" if len(shape) == 2 else "")
        raise LabelError(message)


def mse(prediction: Array, target: Array) -> tuple[Array, Array]:
    """
    Mean squared error over all entries.

    Parameters
    ----------
    prediction, target : arrays of one shape

    Returns
    -------
    value : 0-d array on the device
    dprediction : array, shape of `prediction`

    Raises
    ------
    ShapeError, DtypeError, NamespaceError
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
    common("MSE", target=target)  # may not be None
    xp = common("MSE", prediction=prediction, target=target)
    shape, expected = tuple(target.shape), tuple(prediction.shape)
    if shape != expected or 0 in shape:
        message = f"MSE: expected target of the prediction's shape {expected}, not empty, got {shape}"
        raise ShapeError(message)
    error = prediction - target
    return xp.asarray(xp.mean(error * error)), error * (2.0 / math.prod(expected))
