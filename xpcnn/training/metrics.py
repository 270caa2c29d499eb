"""Counts of right and wrong answers, computed where the arrays live."""

from xpcnn.backend import Array, Namespace, array_namespace
from xpcnn.errors import LabelError, ShapeError

__all__ = ["accuracy", "confusion_matrix", "count_correct"]


def count_correct(scores: Array, target: Array) -> Array:
    """
    Number of samples whose largest score is at the label.

    Parameters
    ----------
    scores : array, shape (N, K)
    target : array, shape (N,) of class numbers, or (N, K) of probabilities
        Of probabilities the largest counts as the label.

    Returns
    -------
    count : 0-d integer array, on the device

    Examples
    --------
    >>> import numpy as np
    >>> int(count_correct(np.asarray([[0.1, 0.9], [0.8, 0.2]]), np.asarray([1, 1])))
    1
    """
    xp = array_namespace(scores)
    label = xp.argmax(target, axis=1) if target.ndim == 2 else target
    return xp.sum(xp.astype(xp.argmax(scores, axis=1) == xp.astype(label, xp.int64), xp.int64))


def accuracy(labels: Array, predicted: Array) -> float:
    """
    Share of predictions that are right, 0 to 1.

    Parameters
    ----------
    labels, predicted : integer arrays, shape (N,)

    Raises
    ------
    ShapeError
        If the shapes differ or are empty.

    Examples
    --------
    >>> import numpy as np
    >>> accuracy(np.asarray([0, 1, 2, 2]), np.asarray([0, 1, 2, 0]))
    0.75
    """
    xp = _check(labels, predicted)
    return int(xp.sum(xp.astype(labels == predicted, xp.int64))) / labels.shape[0]


def confusion_matrix(labels: Array, predicted: Array, num_classes: int | None = None) -> Array:
    """
    How often each class was taken for each other.

    Parameters
    ----------
    labels, predicted : integer arrays, shape (N,)
        Class numbers from 0.
    num_classes : int, optional
        K; default: the largest number that occurs, plus one.

    Returns
    -------
    matrix : int64 array, shape (K, K)
        ``matrix[i, j]`` counts the samples of class i that were taken for j.

    Raises
    ------
    ShapeError, LabelError

    Examples
    --------
    >>> import numpy as np
    >>> confusion_matrix(np.asarray([0, 1, 1]), np.asarray([0, 1, 0])).tolist()
    [[1, 0], [1, 1]]
    """
    xp = _check(labels, predicted)
    low = min(int(xp.min(labels)), int(xp.min(predicted)))
    high = max(int(xp.max(labels)), int(xp.max(predicted)))
    count = high + 1 if num_classes is None else num_classes
    if low < 0 or high >= count:
        message = f"confusion_matrix: expected classes from 0 to {count - 1}, got classes from {low} to {high}"
        raise LabelError(message)
    classes = xp.reshape(xp.arange(count, dtype=xp.int64, device=labels.device), (1, count))

    def one_hot(a: Array) -> Array:
        return xp.astype(xp.reshape(xp.astype(a, xp.int64), (-1, 1)) == classes, xp.float64)

    return xp.astype(xp.matmul(one_hot(labels).T, one_hot(predicted)), xp.int64)


def _check(labels: Array, predicted: Array) -> Namespace:
    xp = array_namespace(labels, predicted)
    if labels.ndim != 1 or labels.shape != predicted.shape or labels.shape[0] == 0:
        message = f"expected labels and predictions of one shape (N,), got {labels.shape} and {predicted.shape}"
        raise ShapeError(message)
    return xp
