"""Cross-entropy, from scores or from logarithms of probabilities."""


from xpcnn.backend import Array, Namespace, accelerated, array_namespace
from xpcnn.ops.checks import check_shape, common, common_place
from xpcnn.ops.softmax import log_softmax

from .reduction import check_reduction, of_samples
from .targets import check_target, weighted_targets

__all__ = ["check_classes", "cross_entropy_total", "nll", "softmax_cross_entropy"]


def softmax_cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Array, Array]:
    """
    Cross-entropy of softmax probabilities, in nats; its mean unless asked otherwise.

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
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    value : 0-d array on the device, or an array of shape (N,) for "none"
    dlogits : array, shape (N, K)
        Of the mean, or of the sum; for "none" each row is that of its own sample's value.

    Raises
    ------
    ShapeError, LabelError, DtypeError, NamespaceError, ConfigError
        Before anything is computed. On a GPU the range of labels is not read (that would wait for the device): there a
        label out of range makes the value NaN. ``fit`` and ``evaluate`` check all labels beforehand.

    Notes
    -----
    With p = softmax(z), targets q (one-hot or given, smoothed by e: ``q <- (1 - e) q + e / K``) and weights v::

        L         = -(1/D) sum_{n, k} v[k] q[n, k] log p[n, k]
        dL/dz[n, k] = (1/D) (p[n, k] sum_j v[j] q[n, j] - v[k] q[n, k])    ->  dZ = (P - Q) / N

    since ``d log p[j] / d z[k] = delta_jk - p[k]``; the arrow is for no weights. D = N for probabilities, and the sum
    of the weights of the labels for class numbers: PyTorch's ``reduction="mean"``. Where no sample counts, the value is
    NaN and the gradient zero. For "sum" and "none" D = 1.

    The logarithm is taken of the softmax as a whole, so scores of 1e4 give finite values (deepnet's ``-log(p)`` is
    infinite as soon as p underflows). Label smoothing: Szegedy et al. (2016), section 7.

    Examples
    --------
    >>> import numpy as np
    >>> value, dlogits = softmax_cross_entropy(np.zeros((1, 2)), np.asarray([0]))
    >>> round(float(value), 4), dlogits.tolist()
    (0.6931, [[-0.5, 0.5]])
    """
    xp = check_classes("SoftmaxCrossEntropy", "logits", logits, target, weight, ignore_index, reduction)
    if weight is None and not label_smoothing and xp.isdtype(target.dtype, "integral"):
        fast = accelerated("softmax_cross_entropy", logits, target, ignore_index, reduction)
        if fast is not None:
            return fast
    q, total = weighted_targets(logits, target, weight, ignore_index, label_smoothing)
    logp = log_softmax(logits)
    # a class of no weight does not count, even at a score of minus infinity
    values = -xp.sum(q * xp.where(q == 0.0, 0.0, logp), axis=1)
    dlogits = xp.exp(logp) * xp.sum(q, axis=1, keepdims=True) - q
    return of_samples(xp, values, dlogits, reduction, total)


def nll(
    logp: Array, target: Array, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> tuple[Array, Array]:
    """
    Negative logarithm of the label's probability: cross-entropy behind a `LogSoftmax`.

    Parameters
    ----------
    logp : array, shape (N, K)
        Logarithms of probabilities, in nats.
    target : integer array, shape (N,)
        Class numbers 0 to K - 1.
    weight : array, shape (K,), optional
        Weight of each class.
    ignore_index : int
        Samples with this label count for nothing.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    value : 0-d array on the device, or an array of shape (N,) for "none"
    dlogp : array, shape (N, K)

    Raises
    ------
    ShapeError, LabelError, DtypeError, NamespaceError, ConfigError
        Before anything is computed; labels on a GPU as in :func:`softmax_cross_entropy`.

    Notes
    -----
    With labels t, one-hot rows q and weights v::

        L             = -(1/D) sum_n v[t[n]] logp[n, t[n]],    D = sum_n v[t[n]]
        dL/dlogp[n, k] = -(1/D) v[k] q[n, k]                    ->  dlogP = -Q / N

    PyTorch's ``NLLLoss``, for one label a sample. Where no sample counts, the mean is NaN and its gradient zero.

    Examples
    --------
    >>> import numpy as np
    >>> value, dlogp = nll(np.asarray([[-0.5, -2.0]]), np.asarray([1]))
    >>> float(value), dlogp.tolist()
    (2.0, [[-0.0, -1.0]])
    """
    xp = check_classes("NLLLoss", "logp", logp, target, weight, ignore_index, reduction, labels_only=True)
    q, total = weighted_targets(logp, target, weight, ignore_index, 0.0)
    return of_samples(xp, -xp.sum(q * xp.where(q == 0.0, 0.0, logp), axis=1), -q, reduction, total)


def check_classes(
    who: str,
    name: str,
    scores: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    reduction: str,
    labels_only: bool = False,
) -> Namespace:
    """Raise unless scores (N, K), targets and class weights fit each other; the namespace of all."""
    check_reduction(who, reduction)
    xp = common(who, **{name: scores, "weight": weight})
    check_shape(who, name, scores.shape, ("N", "K"))
    n, k = scores.shape
    if weight is not None:
        check_shape(who, "weight", weight.shape, (k,))
    check_target(target, n, k, ignore_index, who, labels_only)
    common_place(who, **{name: scores, "target": target})
    if not array_namespace(target).isdtype(target.dtype, "integral"):
        common(who, **{name: scores, "target": target})
    return xp


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
    return weighted_targets(logits, target, weight, ignore_index, 0.0)[1]
