"""
Precision, recall and F1 of classes, and their means, from counts.

With ``tp[k]`` samples of class k that were taken for it, ``fp[k]`` of others that were taken for it and ``fn[k]`` of it
that were taken for others::

    precision[k] = tp / (tp + fp)      recall[k] = tp / (tp + fn)      F1[k] = 2 tp / (2 tp + fp + fn)

van Rijsbergen (1979), "Information retrieval", chapter 7, for F1. Definitions and averages are scikit-learn's.
"""

import math
from collections.abc import Callable, Sequence

from xpcnn.backend import Array, to_numpy
from xpcnn.errors import ConfigError
from xpcnn.settings import count

__all__ = ["SCORES", "by_class", "classification_report", "f1", "macro", "precision", "recall"]

Matrix = list[list[int]]
Counts = tuple[int, int, int]  # tp, fp, fn
Score = Callable[[int, int, int, float], float]  # from the counts, and what it is where there is nothing to divide by


def _counts(matrix: Matrix) -> list[Counts]:
    columns = [sum(column) for column in zip(*matrix, strict=True)]
    return [(row[k], columns[k] - row[k], sum(row) - row[k]) for k, row in enumerate(matrix)]


def _precision(tp: int, fp: int, fn: int, zero: float) -> float:
    return tp / (tp + fp) if tp + fp else zero


def _recall(tp: int, fp: int, fn: int, zero: float) -> float:
    return tp / (tp + fn) if tp + fn else zero


def _f1(tp: int, fp: int, fn: int, zero: float) -> float:
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else zero


SCORES: dict[str, Score] = {"precision": _precision, "recall": _recall, "f1": _f1}


def by_class(name: str, matrix: Matrix) -> list[float]:
    """The score of that name of each class from a confusion matrix; 0 where there is nothing to divide by."""
    return [SCORES[name](*counts, 0.0) for counts in _counts(matrix)]


def macro(values: Sequence[float]) -> float:
    """Mean over the classes; those that are NaN do not count, and of none it is NaN."""
    there = [value for value in values if not math.isnan(value)]
    return math.fsum(there) / len(there) if there else math.nan


def precision(
    labels: Array,
    predicted: Array,
    *,
    average: str | None = "macro",
    num_classes: int | None = None,
    zero_division: float = 0.0,
) -> float | list[float]:
    """
    Share of right answers among the samples that were taken for a class.

    Parameters
    ----------
    labels, predicted : integer arrays, shape (N,)
        Class numbers from 0.
    average : {"macro", "micro", "weighted", None}
        "macro": the mean over classes. "weighted": the same, each class with the number of its samples. "micro": the
        share over all samples together, which is the accuracy. None: a list with the value of each class.
    num_classes : int, optional
        K, and the means are over all of them; default: over those that occur among labels or predictions.
    zero_division : {0.0, 1.0, nan}
        The value of a class of which the share has nothing to divide by. NaN leaves it out of the means.

    Returns
    -------
    value : float, or list of float

    Raises
    ------
    ShapeError, LabelError, ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> labels, predicted = np.asarray([0, 1, 1, 2]), np.asarray([0, 1, 2, 2])
    >>> precision(labels, predicted, average=None)
    [1.0, 1.0, 0.5]
    """
    return _score("precision", labels, predicted, average, num_classes, zero_division)


def recall(
    labels: Array,
    predicted: Array,
    *,
    average: str | None = "macro",
    num_classes: int | None = None,
    zero_division: float = 0.0,
) -> float | list[float]:
    """
    Share of a class' samples that were taken for it.

    Parameters
    ----------
    labels, predicted, average, num_classes, zero_division
        As in :func:`precision`.

    Returns
    -------
    value : float, or list of float

    Raises
    ------
    ShapeError, LabelError, ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> recall(np.asarray([0, 1, 1, 2]), np.asarray([0, 1, 2, 2]), average=None)
    [1.0, 0.5, 1.0]
    """
    return _score("recall", labels, predicted, average, num_classes, zero_division)


def f1(
    labels: Array,
    predicted: Array,
    *,
    average: str | None = "macro",
    num_classes: int | None = None,
    zero_division: float = 0.0,
) -> float | list[float]:
    """
    Harmonic mean of precision and recall.

    Parameters
    ----------
    labels, predicted, average, num_classes, zero_division
        As in :func:`precision`. Nothing to divide by has a class that occurs among neither.

    Returns
    -------
    value : float, or list of float

    Raises
    ------
    ShapeError, LabelError, ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> f1(np.asarray([0, 0, 1]), np.asarray([0, 1, 1]), average="micro")
    0.6666666666666666
    """
    return _score("f1", labels, predicted, average, num_classes, zero_division)


def _score(
    name: str,
    labels: Array,
    predicted: Array,
    average: str | None,
    num_classes: int | None,
    zero: float,
) -> float | list[float]:
    if average not in ("macro", "micro", "weighted", None):
        message = f"{name}: expected average to be 'macro', 'micro', 'weighted' or None, got {average!r}"
        raise ConfigError(message)
    of, zero = SCORES[name], _checked_zero(name, zero)
    counts = _counts(_matrix(labels, predicted, num_classes))
    values = [of(*one, zero) for one in counts]
    if average is None:
        return values
    meant = [k for k, one in enumerate(counts) if num_classes is not None or any(one)]
    return _average(of, [counts[k] for k in meant], [values[k] for k in meant], average, zero)


def _checked_zero(who: str, zero: float) -> float:
    if isinstance(zero, bool) or not isinstance(zero, (int, float)) or not (zero in (0, 1) or math.isnan(zero)):
        message = f"{who}: expected zero_division to be 0.0, 1.0 or nan, got {zero!r}"
        raise ConfigError(message)
    return float(zero)


def _average(of: Score, counts: list[Counts], values: list[float], average: str, zero: float) -> float:
    if average == "micro":
        tp, fp, fn = (sum(column) for column in zip(*counts, strict=True))
        return of(tp, fp, fn, zero)
    if average == "macro":
        return macro(values)
    there = [(tp + fn, v) for (tp, _, fn), v in zip(counts, values, strict=True) if not math.isnan(v)]
    support = sum(n for n, _ in there)
    return math.fsum(n * v for n, v in there) / support if support else zero if there else math.nan


def _matrix(labels: Array, predicted: Array, num_classes: int | None) -> Matrix:
    from .metrics import confusion_matrix  # which has these scores among its own

    matrix: Matrix = to_numpy(confusion_matrix(labels, predicted, num_classes)).tolist()
    return matrix


def classification_report(
    labels: Array,
    predicted: Array,
    *,
    target_names: Sequence[str] | None = None,
    num_classes: int | None = None,
    digits: int = 2,
    zero_division: float = 0.0,
) -> str:
    """
    Precision, recall, F1 and number of samples of each class, and their means, as a table.

    Parameters
    ----------
    labels, predicted : integer arrays, shape (N,)
        Class numbers from 0.
    target_names : sequence of str, optional
        A name for each class; default: its number.
    num_classes, zero_division
        As in :func:`precision`. Classes that do not occur have a row only if `num_classes` or `target_names` is given.
    digits : int, at least 1

    Returns
    -------
    report : str
        Laid out as scikit-learn does it.

    Raises
    ------
    ShapeError, LabelError, ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> print(classification_report(np.asarray([0, 1, 1]), np.asarray([0, 1, 0]), target_names=["cat", "dog"]))
                  precision    recall  f1-score   support
    <BLANKLINE>
             cat       0.50      1.00      0.67         1
             dog       1.00      0.50      0.67         2
    <BLANKLINE>
        accuracy                           0.67         3
       macro avg       0.75      0.75      0.67         3
    weighted avg       0.83      0.67      0.67         3
    <BLANKLINE>
    """
    digits = count("classification_report", "digits", digits)
    zero = _checked_zero("classification_report", zero_division)
    names = None if target_names is None else [str(name) for name in target_names]
    if num_classes is None and names is not None:
        num_classes = len(names)
    counts = _counts(_matrix(labels, predicted, num_classes))
    if names is not None and len(names) != len(counts):
        message = f"classification_report: expected target_names for {len(counts)} classes, got {len(names)}"
        raise ConfigError(message)
    rows = [k for k, one in enumerate(counts) if num_classes is not None or any(one)]
    titles = [str(k) if names is None else names[k] for k in rows]
    counts = [counts[k] for k in rows]
    support = [tp + fn for tp, _, fn in counts]
    columns = [[of(*one, zero) for one in counts] for of in SCORES.values()]

    width = max([*map(len, titles), len("weighted avg"), digits])
    header = f"{'':>{width}s}  precision    recall  f1-score   support\n\n"

    def line(title: str, values: Sequence[float], n: int) -> str:
        return f"{title:>{width}s} " + "".join(f" {value:>9.{digits}f}" for value in values) + f" {n:>9d}\n"

    body = "".join(line(title, [c[i] for c in columns], support[i]) for i, title in enumerate(titles))
    n = sum(support)
    right = sum(tp for tp, _, _ in counts) / n
    body += f"\n{'accuracy':>{width}s} {'':>10s}{'':>10s} {right:>9.{digits}f} {n:>9d}\n"
    for average in ("macro", "weighted"):
        means = [_average(of, counts, c, average, zero) for of, c in zip(SCORES.values(), columns, strict=True)]
        body += line(f"{average} avg", means, n)
    return header + body
