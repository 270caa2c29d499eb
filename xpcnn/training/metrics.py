"""Counts of right and wrong answers, computed where the arrays live."""

import math
from typing import Any

from xpcnn.backend import Array, Namespace, array_namespace, to_numpy
from xpcnn.errors import LabelError, ShapeError
from xpcnn.layers import Loss

__all__ = ["Tally", "accuracy", "confusion_matrix"]


class Tally:
    """
    Loss and right answers of many batches, added up on the device and read once.

    Every batch counts by what its loss was divided by, so the result does not depend on where batches end.

    Parameters
    ----------
    loss : Loss
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self._sums: dict[str, Any] = {}

    def add(self, value: Array, scores: Array, target: Array) -> None:
        """
        Count a batch.

        Parameters
        ----------
        value : 0-d array
            Its mean loss.
        scores : array, shape (N, K)
        target : array, shape (N,) of class numbers, or (N, K) of probabilities
            Of probabilities the largest counts as the label.
        """
        xp = array_namespace(scores)
        total = self.loss.total(scores, target)
        part = value * total
        # a batch in which nothing counts has no mean
        self._sum("loss", part if isinstance(total, float) else xp.where(total == 0.0, 0.0, part))
        self._sum("total", total)
        if self.loss.classifies:
            label = xp.argmax(target, axis=1) if target.ndim == 2 else target
            right = xp.argmax(scores, axis=1) == xp.astype(label, xp.int64)
            counted = self.loss.counted(target)
            self._sum("counted", scores.shape[0] if counted is None else _count(xp, counted))
            self._sum("right", _count(xp, right if counted is None else xp.logical_and(right, counted)))

    def logs(self) -> dict[str, float]:
        """Mean loss, and for classes the share of right answers; waits for the device."""
        sums = {name: float(to_numpy(a)) for name, a in self._sums.items()}
        logs = {"loss": _ratio(sums["loss"], sums["total"])}
        if "counted" in sums:
            logs["accuracy"] = _ratio(sums["right"], sums["counted"])
        return logs

    def _sum(self, name: str, value: Any) -> None:
        self._sums[name] = self._sums[name] + value if name in self._sums else value


def _count(xp: Namespace, mask: Array) -> Array:
    return xp.sum(xp.astype(mask, xp.int64))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


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
