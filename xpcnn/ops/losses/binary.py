"""Cross-entropy of yes or no, from scores: any number of independent questions a sample."""

from xpcnn.backend import Array, Namespace
from xpcnn.errors import ShapeError
from xpcnn.ops.checks import common

from .reduction import of_entries, share
from .regression import check_entries

__all__ = ["bce_with_logits", "sides"]


def bce_with_logits(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> tuple[Array, Array]:
    """
    Binary cross-entropy of sigmoid probabilities, in nats; its mean over all entries unless asked otherwise.

    Parameters
    ----------
    logits : array, any shape
        Scores before the sigmoid.
    target : array, shape of `logits`, 0 to 1
        Probabilities of yes, as floating numbers.
    weight : array that broadcasts against `logits`, optional
        Weight of each entry. The mean is divided by the number of entries all the same.
    reduction : {"mean", "sum", "none"}
    pos_weight : array that broadcasts against `logits`, optional
        Weight of yes beside no, such as (K,) for K questions.

    Returns
    -------
    value : 0-d array on the device, or an array of the shape of `logits` for "none"
    dlogits : array, shape of `logits`

    Raises
    ------
    ShapeError, DtypeError, NamespaceError, ConfigError
        Before anything is computed. Whether targets are within 0 to 1 is not looked at.

    Notes
    -----
    With ``s(z) = 1 / (1 + exp(-z))``, weights v and weights of yes u, for each entry::

        l     = -v (u t log s(z) + (1 - t) log s(-z)) = v (u t softplus(-z) + (1 - t) softplus(z))
        dl/dz = v ((1 - t) s(z) - u t s(-z))

    since ``d softplus(z) / dz = s(z)``. Both are sums of terms none of which cancels another for t = 0 or 1, so
    confident scores keep all their digits: the usual ``s(z) - t`` is 0 as soon as s(z) rounds to 1. PyTorch's
    ``BCEWithLogitsLoss``.

    Examples
    --------
    >>> import numpy as np
    >>> value, dlogits = bce_with_logits(np.asarray([[0.0, 1e4]]), np.asarray([[1.0, 1.0]]))
    >>> round(float(value), 4), dlogits.tolist()
    (0.3466, [[-0.25, 0.0]])
    """
    who = "BCEWithLogitsLoss"
    xp = check_entries(who, logits, target, reduction)
    common(who, logits=logits, weight=weight, pos_weight=pos_weight)
    for name, given in (("weight", weight), ("pos_weight", pos_weight)):
        if given is not None:
            check_broadcast(who, name, tuple(given.shape), tuple(logits.shape))
    yes = target if pos_weight is None else target * pos_weight
    no = 1.0 - target
    up, down, c_no, c_yes = sides(xp, logits)
    values, dlogits = yes * c_yes + no * c_no, no * up - yes * down
    if weight is not None:
        values, dlogits = values * weight, dlogits * weight
    return of_entries(values, reduction), dlogits * share(values, reduction)


def sides(xp: Namespace, x: Array) -> tuple[Array, Array, Array, Array]:
    """
    ``s(x), s(-x), softplus(x), softplus(-x)``, of one exponential that never overflows.

    ``softplus(x) = log(1 + exp(x)) = -log s(-x)``.
    """
    e = xp.exp(-xp.abs(x))
    up, down = (xp.maximum(e, xp.astype(mask, x.dtype)) / (1.0 + e) for mask in (x >= 0.0, x <= 0.0))
    small = xp.log1p(e)
    return up, down, small + xp.maximum(x, 0.0), small + xp.maximum(-x, 0.0)


def check_broadcast(who: str, name: str, shape: tuple[int, ...], against: tuple[int, ...]) -> None:
    """Raise `ShapeError` unless an array of that shape stretches to `against`."""
    tail = against[len(against) - len(shape) :]
    if len(shape) > len(against) or any(n not in (1, m) for n, m in zip(shape, tail, strict=True)):
        message = f"{who}: expected {name} of a shape that broadcasts to {against}, got {shape}"
        raise ShapeError(message)
