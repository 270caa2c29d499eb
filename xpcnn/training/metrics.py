"""Counts of right and wrong answers, computed where the arrays live."""

import math
from collections.abc import Sequence
from typing import Any

from xpcnn.backend import Array, Namespace, array_namespace, kernel, library, to_numpy, undone_unless
from xpcnn.errors import ConfigError, LabelError, ShapeError
from xpcnn.layers import Loss
from xpcnn.models import Model
from xpcnn.ops.ranks import label_ranks
from xpcnn.settings import count, like

from .scores import SCORES, by_class, macro

__all__ = ["Tally", "accuracy", "check_metrics", "confusion_matrix", "top_k_accuracy"]


class Tally:
    """
    Loss and right answers of many batches, added up on the device and read once.

    Every batch counts by what its loss was divided by, so the result does not depend on where batches end.

    Parameters
    ----------
    loss : Loss
    metrics : sequence of str
        What `check_metrics` let through.
    """

    def __init__(self, loss: Loss, metrics: Sequence[str] = ()) -> None:
        self.loss, self.metrics = loss, tuple(metrics)
        self.sums: dict[str, Array] = {}  # on the device, each in its place from the first batch on
        self.numbers: dict[str, float] = {}  # what shapes alone tell

    def add(self, value: Array, scores: Array, target: Array, go: Array | None = None) -> None:
        """
        Count a batch.

        Parameters
        ----------
        value : 0-d array
            Its loss: the mean, or the sum where the loss is one.
        scores : array, shape (N, K)
        target : array, shape (N,) of class numbers, or (N, K) of probabilities
            Of probabilities the largest counts as the label.
        go : array of one bool, optional
            The batch counts only where it is true; nobody waits for the device.
        """
        xp = array_namespace(scores)
        if go is not None:
            known, self.numbers = self.numbers, {}
            with undone_unless(go, lambda: self.sums):
                self.add(value, scores, target)
            new, self.numbers = self.numbers, known
            for name, number in new.items():  # what the shapes tell depends on the device now
                self._sum(xp, name, xp.astype(go, xp.float32) * number)
            return
        if self._added(xp, value, scores, target):
            if any(name in SCORES for name in self.metrics):
                label, counted = xp.astype(target, xp.int64), self.loss.counted(target)
                self._sum(xp, "confusion", _pairs(xp, label, xp.argmax(scores, axis=1), scores.shape[1], counted))
            return
        total = self.loss.total(scores, target)
        part = value if self.loss.reduction == "sum" else value * total
        # a batch in which nothing counts has no mean
        self._sum(xp, "loss", part if isinstance(total, float) else xp.where(total == 0.0, 0.0, part))
        self._sum(xp, "total", total)
        if self.loss.classifies:
            label = xp.argmax(target, axis=1) if target.ndim == 2 else target
            label, best = xp.astype(label, xp.int64), xp.argmax(scores, axis=1)
            right = best == label
            counted = self.loss.counted(target)
            self._sum(xp, "counted", scores.shape[0] if counted is None else _count(xp, counted))
            self._sum(xp, "right", _count(xp, right if counted is None else xp.logical_and(right, counted)))
            if tops := [name for name in self.metrics if name.startswith("top_")]:
                ranks = label_ranks(scores, label)
                for name in tops:
                    hit = ranks < int(name[4:])
                    self._sum(xp, name, _count(xp, hit if counted is None else xp.logical_and(hit, counted)))
            if any(name in SCORES for name in self.metrics):
                self._sum(xp, "confusion", _pairs(xp, label, best, scores.shape[1], counted))

    def _added(self, xp: Namespace, value: Array, scores: Array, target: Array) -> bool:
        """Whether a kernel counted the batch, all but the confusions."""
        ignored = self.loss.ignored() if target.ndim == 1 else None
        fast = None if ignored is None else kernel("tally", library(scores))
        if fast is None:
            return False
        tops = {name: int(name[4:]) for name in self.metrics if name.startswith("top_")}
        for name in ("loss", "total", "counted", "right", *tops):
            if name not in self.sums:
                dtype = scores.dtype if name in ("loss", "total") else xp.int64
                self.sums[name] = xp.zeros((), dtype=dtype, device=scores.device)
        return fast(self.sums, value, scores, target, ignored, self.loss.reduction != "sum", tops)

    def logs(self) -> dict[str, float]:
        """Mean loss, and for classes the share of right answers; NaN where nothing counted. Waits for the device."""
        read: dict[str, Any] = {**{name: to_numpy(a) for name, a in self.sums.items()}, **self.numbers}
        matrix = read["confusion"].tolist() if "confusion" in read else []
        sums = {name: float(a) for name, a in read.items() if name != "confusion"}
        loss, total, right, counted = (sums.get(name, 0.0) for name in ("loss", "total", "right", "counted"))
        logs = {"loss": _ratio(loss, total)}
        if self.loss.classifies:
            logs["accuracy"] = _ratio(right, counted)
        for name in self.metrics:
            if name in SCORES:
                logs[name] = macro(by_class(name, matrix)) if counted else math.nan
            else:
                logs[name] = _ratio(sums.get(name, 0.0), counted)
        return logs

    def reset(self) -> None:
        """Begin anew, with sums in the same places."""
        self.numbers = {}
        for a in self.sums.values():
            a[...] = 0

    def _sum(self, xp: Namespace, name: str, value: Any) -> None:
        if isinstance(value, (int, float)):
            self.numbers[name] = self.numbers.get(name, 0) + value
        elif name in self.sums:
            self.sums[name] += value
        else:
            self.sums[name] = xp.asarray(value, copy=True)  # NumPy's sums are no arrays


def check_metrics(who: str, model: Model, loss: Loss, x: Array, metrics: Sequence[str]) -> tuple[str, ...]:
    """
    The metrics to be measured beside loss and accuracy, by name.

    Parameters
    ----------
    who : str
    model : Model
    loss : Loss
    x : array
        Inputs that passed the door.
    metrics : sequence of str
        ``"top_K"``, with a number for K: the share of samples whose label is among the K highest scores.
        ``"precision"``, ``"recall"``, ``"f1"``: the mean over all classes, each counting the same; 0 for one that
        never occurs.

    Raises
    ------
    ConfigError
    """
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        message = f"{who}: expected metrics to be a list such as ['top_5', 'f1'], got {metrics!r}"
        raise ConfigError(message)
    classes = model.output_shape(tuple(x.shape[1:]))[0] if loss.classifies else 0
    for name in metrics:
        top = name[4:] if isinstance(name, str) and name.startswith("top_") else ""
        fits = top.isascii() and top.isdigit() and 1 <= int(top) <= classes
        if not loss.classifies or not (fits or (isinstance(name, str) and name in SCORES)):
            known = f"'top_K' with K from 1 to {classes}, 'precision', 'recall' or 'f1'" if classes else "none"
            kind = "" if classes else f" for {type(loss).__name__}, which knows no classes"
            message = f"{who}: expected metrics to be {known}{kind}, got {name!r}"
            always = ": loss and accuracy are always measured, leave them away"
            raise ConfigError(message + (always if name in ("loss", "accuracy", "acc") else like(name, SCORES)))
    return tuple(dict.fromkeys(metrics))


def top_k_accuracy(labels: Array, scores: Array, k: int = 5) -> float:
    """
    Share of samples whose label is among the k highest scores.

    Parameters
    ----------
    labels : integer array, shape (N,)
        Class numbers from 0.
    scores : array, shape (N, K)
        Scores or probabilities.
    k : int, 1 to K

    Returns
    -------
    share : float, 0 to 1

    Raises
    ------
    ShapeError, LabelError, ConfigError

    Notes
    -----
    A label counts if fewer than k scores are strictly higher than its own, as in Keras' ``in_top_k``: of equal scores
    none is left out. scikit-learn's ``top_k_accuracy_score`` breaks such ties by the number of the class.

    Examples
    --------
    >>> import numpy as np
    >>> top_k_accuracy(np.asarray([0, 1]), np.asarray([[0.2, 0.5, 0.3], [0.1, 0.2, 0.7]]), k=2)
    0.5
    """
    xp = array_namespace(labels, scores)
    if labels.ndim != 1 or scores.ndim != 2 or scores.shape[0] != labels.shape[0] or 0 in scores.shape:
        message = (
            f"top_k_accuracy: expected labels (N,) and scores (N, K), got {tuple(labels.shape)} and "
            f"{tuple(scores.shape)}"
        )
        raise ShapeError(message)
    k = count("top_k_accuracy", "k", k, most=scores.shape[1])
    low, high = int(xp.min(labels)), int(xp.max(labels))
    if low < 0 or high >= scores.shape[1]:
        message = f"top_k_accuracy: expected labels from 0 to {scores.shape[1] - 1}, got labels from {low} to {high}"
        raise LabelError(message)
    return int(_count(xp, label_ranks(scores, xp.astype(labels, xp.int64)) < k)) / labels.shape[0]


def _pairs(xp: Namespace, label: Array, best: Array, classes: int, counted: Array | None) -> Array:
    """Counts of (label, prediction), of the samples that count."""
    numbers = xp.reshape(xp.arange(classes, dtype=xp.int64, device=label.device), (1, classes))
    rows = xp.reshape(label, (-1, 1)) == numbers
    if counted is not None:
        rows = xp.logical_and(rows, xp.reshape(counted, (-1, 1)))
    columns = xp.reshape(best, (-1, 1)) == numbers
    # a product of floating numbers is fast everywhere, and exact for a batch
    matmul = kernel("matmul", library(label)) or xp.matmul
    return xp.astype(matmul(xp.astype(rows, xp.float64).T, xp.astype(columns, xp.float64)), xp.int64)


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
    xp = _check("accuracy", labels, predicted)
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
    xp = _check("confusion_matrix", labels, predicted)
    low = min(int(xp.min(labels)), int(xp.min(predicted)))
    high = max(int(xp.max(labels)), int(xp.max(predicted)))
    classes = high + 1 if num_classes is None else count("confusion_matrix", "num_classes", num_classes)
    if low < 0 or high >= classes:
        message = f"confusion_matrix: expected classes from 0 to {classes - 1}, got classes from {low} to {high}"
        raise LabelError(message)
    return _pairs(xp, xp.astype(labels, xp.int64), xp.astype(predicted, xp.int64), classes, None)


def _check(who: str, labels: Array, predicted: Array) -> Namespace:
    xp = array_namespace(labels, predicted)
    if labels.ndim != 1 or labels.shape != predicted.shape or labels.shape[0] == 0:
        got = f"got {tuple(labels.shape)} and {tuple(predicted.shape)}"
        hint = ": of scores take the highest, argmax(axis=1)" if labels.ndim == 1 and predicted.ndim == 2 else ""
        message = f"{who}: expected labels and predictions of one shape (N,), {got}{hint}"
        raise ShapeError(message)
    return xp
