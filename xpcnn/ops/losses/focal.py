"""
Focal loss: cross-entropy in which samples that are right already count little.

Lin, Goyal, Girshick, He and Dollar (2017), "Focal loss for dense object detection", equation 5::

    FL(p_t) = -alpha_t (1 - p_t)^gamma log(p_t)

where p_t is the probability given to what is true. The paper has it for sigmoids; the softmax form takes p_t from a
softmax over the classes.

With ``u = 1 - p_t`` and ``c = -log p_t`` every derivative needed is ``dFL/dc``::

    dFL/dc = alpha_t (u^gamma + gamma u^(gamma - 1) p_t c)        as du/dc = p_t

For confident scores u is tiny, and computed as 1 - p_t it would be 0. So u is taken from the other probabilities, and
``u^(gamma - 1) c`` as ``u^gamma (c / u)``, whose quotient goes to 1.
"""

from xpcnn.backend import Array
from xpcnn.ops.softmax import log_softmax

from .binary import sides
from .cross_entropy import check_classes
from .reduction import of_entries, of_samples, share
from .regression import check_entries
from .targets import one_hot

__all__ = ["focal", "sigmoid_focal"]

_FAR = 1e4  # at such a c, p_t = exp(-c) is 0 in any dtype: p_t c must not become 0 times infinity


def focal(
    logits: Array,
    target: Array,
    alpha: Array | None = None,
    gamma: float = 2.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> tuple[Array, Array]:
    """
    Focal loss over classes that exclude each other; see the module.

    Parameters
    ----------
    logits : array, shape (N, K)
        Scores before the softmax.
    target : integer array, shape (N,)
        Class numbers 0 to K - 1.
    alpha : array, shape (K,), optional
        Weight of each class.
    gamma : float, >= 0
        How little easy samples count; 0 is cross-entropy.
    ignore_index : int
        Samples with this label count for nothing.
    reduction : {"mean", "sum", "none"}
        The mean is divided by the number of samples that count, whatever their alpha.

    Returns
    -------
    value : 0-d array on the device, or an array of shape (N,) for "none"
    dlogits : array, shape (N, K)

    Raises
    ------
    ShapeError, LabelError, DtypeError, NamespaceError, ConfigError
        Before anything is computed; labels on a GPU as in :func:`softmax_cross_entropy`.

    Notes
    -----
    With p = softmax(z), label t and one-hot q, ``dc/dz[k] = p[k] - q[k]``. The row ``P - Q`` is written without
    cancelling: for ``k = t`` it is -u.

    Examples
    --------
    >>> import numpy as np
    >>> value, dlogits = focal(np.zeros((1, 2)), np.asarray([0]), gamma=2.0)
    >>> round(float(value), 4), dlogits.tolist()[0][0] == -dlogits.tolist()[0][1]
    (0.1733, True)
    """
    who = "FocalLoss"
    xp = check_classes(who, "logits", logits, target, alpha, ignore_index, reduction, labels_only=True)
    q, counted = one_hot(target, logits, ignore_index)
    total = xp.sum(xp.astype(counted, logits.dtype))
    logp = log_softmax(logits)
    others = xp.exp(logp) * (1.0 - q)
    u = xp.sum(others, axis=1, keepdims=True)
    low = xp.minimum(u, 0.5)
    c = -xp.sum(xp.where(q == 0.0, 0.0, q * logp), axis=1, keepdims=True)
    c = xp.where(u < 0.5, -xp.log1p(-low), c)  # the logarithm of nearly 1 has no digits left

    tiny = float(xp.finfo(logits.dtype).smallest_normal)
    quotient = xp.where(u < tiny, 1.0, c / xp.maximum(u, tiny))
    slope = 1.0 + gamma * xp.exp(-c) * xp.minimum(quotient, _FAR)
    scale = u**gamma * xp.sum(q if alpha is None else q * xp.expand_dims(alpha, axis=0), axis=1, keepdims=True)
    dlogits = (others - q * u) * (scale * slope)
    return of_samples(xp, (scale * c)[:, 0], dlogits, reduction, xp.asarray(total))


def sigmoid_focal(
    logits: Array, target: Array, alpha: float | None = 0.25, gamma: float = 2.0, reduction: str = "mean"
) -> tuple[Array, Array]:
    """
    Focal loss of yes or no, for any number of independent questions; see the module.

    Parameters
    ----------
    logits : array, any shape
        Scores before the sigmoid.
    target : array, shape of `logits`, 0 or 1
        As floating numbers. Between, the losses of yes and no are mixed.
    alpha : float, 0 to 1, optional
        Weight of yes; no has ``1 - alpha``. None: both count 1.
    gamma : float, >= 0
        How little easy entries count; 0 is binary cross-entropy.
    reduction : {"mean", "sum", "none"}
        The mean is over all entries.

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
    For yes ``c = softplus(-z)``, ``u = s(-z) = exp(-softplus(z))`` and ``dc/dz = -u``, so with the weight a of yes::

        FL     = a u^gamma c
        dFL/dz = -a u^gamma (u + gamma p_t c)

    and for no the same in -z. torchvision's ``sigmoid_focal_loss``, whose default reduction is "none", and whose alpha
    below 0 is None here.

    Examples
    --------
    >>> import numpy as np
    >>> value, dlogits = sigmoid_focal(np.asarray([[0.0]]), np.asarray([[1.0]]), alpha=None, gamma=0.0)
    >>> round(float(value), 4), dlogits.tolist()
    (0.6931, [[-0.5]])
    """
    xp = check_entries("SigmoidFocalLoss", logits, target, reduction)
    up, down, c_no, c_yes = sides(xp, logits)
    yes, no = (1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha)
    w_yes, w_no = target * yes, (1.0 - target) * no
    if gamma:  # u^gamma; the power of a u that has become 0 would be 0 for small gammas too
        w_yes, w_no = w_yes * xp.exp(-gamma * c_no), w_no * xp.exp(-gamma * c_yes)
    values = w_yes * c_yes + w_no * c_no
    for_no = w_no * (up + gamma * down * xp.minimum(c_no, _FAR))
    for_yes = w_yes * (down + gamma * up * xp.minimum(c_yes, _FAR))
    return of_entries(values, reduction), (for_no - for_yes) * share(values, reduction)
