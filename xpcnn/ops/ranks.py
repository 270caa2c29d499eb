"""How scores stand beside that of the label."""

from xpcnn.backend import Array, accelerated, array_namespace

__all__ = ["label_ranks"]


def label_ranks(scores: Array, label: Array) -> Array:
    """
    How many scores of each sample are higher than that of its label.

    Parameters
    ----------
    scores : array, shape (N, K)
    label : int64 array, shape (N,)
        Class numbers. One that is out of range is taken to have the score 0.

    Returns
    -------
    ranks : int64 array, shape (N,)
        0 to K - 1; K where the label's score is NaN.

    Notes
    -----
    ``ranks[n] = sum_k [scores[n, k] > scores[n, label[n]]]``

    Examples
    --------
    >>> import numpy as np
    >>> label_ranks(np.asarray([[0.2, 0.5, 0.3], [0.1, 0.2, 0.7]]), np.asarray([0, 2])).tolist()
    [2, 0]
    """
    if (fast := accelerated("label_ranks", scores, label)) is not None:
        return fast
    xp = array_namespace(scores)
    classes = xp.reshape(xp.arange(scores.shape[1], dtype=xp.int64, device=scores.device), (1, -1))
    own = xp.sum(xp.where(xp.reshape(label, (-1, 1)) == classes, scores, 0.0), axis=1, keepdims=True)
    higher = xp.sum(xp.astype(scores > own, xp.int64), axis=1)
    return xp.where(own[:, 0] == own[:, 0], higher, scores.shape[1])
