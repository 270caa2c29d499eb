"""Targets: class numbers or distributions over the classes, checked, and as weights of the logarithms."""

from xpcnn.backend import Array, array_namespace, is_array, is_host
from xpcnn.errors import LabelError, NamespaceError

__all__ = ["check_target", "one_hot", "weighted_targets"]


def one_hot(target: Array, like: Array, ignore_index: int) -> tuple[Array, Array]:
    """
    Class numbers as rows of zeros with a one, and which samples count.

    On an accelerator nobody looked at the labels, since that would wait: there a row of a label out of range is NaN.

    Parameters
    ----------
    target : integer array, shape (N,)
    like : array, shape (N, K)
    ignore_index : int
        Samples with this label get a row of zeros.

    Returns
    -------
    hit : array, shape and dtype of `like`
    counted : boolean array, shape (N, 1)
    """
    xp = array_namespace(like)
    target = xp.astype(target, xp.int64)
    classes = xp.arange(like.shape[1], dtype=xp.int64, device=like.device)
    counted = xp.expand_dims(target != ignore_index, axis=1)
    equal = xp.logical_and(xp.expand_dims(target, axis=1) == xp.expand_dims(classes, axis=0), counted)
    hit = xp.astype(equal, like.dtype)
    if not is_host(target):
        valid = xp.logical_or(xp.any(equal, axis=1, keepdims=True), xp.logical_not(counted))
        hit = xp.where(valid, hit, xp.nan)
    return hit, counted


def weighted_targets(
    logits: Array, target: Array, weight: Array | None, ignore_index: int, label_smoothing: float
) -> tuple[Array, Array]:
    """The products v[k] q[n, k] of weights and targets, and their total D; see `softmax_cross_entropy`."""
    xp = array_namespace(logits)
    n, k = logits.shape
    scale = 1.0 if weight is None else xp.expand_dims(weight, axis=0)
    if not xp.isdtype(target.dtype, "integral"):
        q = target * (1.0 - label_smoothing) + label_smoothing / k if label_smoothing else target
        return q * scale, xp.full((), float(n), dtype=logits.dtype, device=logits.device)
    hit, counted = one_hot(target, logits, ignore_index)
    q = hit * scale
    total = xp.asarray(xp.sum(q))
    if label_smoothing:
        even = xp.astype(counted, logits.dtype) * scale
        q = q * (1.0 - label_smoothing) + even * (label_smoothing / k)
    return q, total


def check_target(
    target: Array, n: int, k: int, ignore_index: int, who: str = "SoftmaxCrossEntropy", labels_only: bool = False
) -> None:
    """Raise unless the targets are N class numbers or, where these will do, N distributions over K classes."""
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
                message += ": take y.argmax(axis=1)" + ("" if labels_only else ", or one-hot rows as floating numbers")
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
    elif labels_only or not xp.isdtype(target.dtype, "real floating") or shape != (n, k):
        or_rows = "" if labels_only else f" or probabilities of shape {(n, k)}"
        message = f"{who}: expected target of {n} integer labels{or_rows}, got {target.dtype} of shape {shape}"
        if shape in ((n,), (n, 1)):
            message += ": convert the labels to integers" + (", and take y[:, 0]" if len(shape) == 2 else "")
        raise LabelError(message)
