"""Losses over classes that exclude each other."""

from collections.abc import Sequence
from typing import final

from xpcnn import ops
from xpcnn.backend import Array, array_namespace
from xpcnn.errors import ShapeError
from xpcnn.settings import count, number

from .base import Reduced, Weights

__all__ = ["FocalLoss", "NLLLoss", "SoftmaxCrossEntropy"]


class _Classes(Reduced):
    """
    Base of the losses over K classes: a weight for each class, a label that does not count, a reduction.

    Parameters
    ----------
    who_weighs : str
        What the constructor calls the class weights.
    weight : sequence of float or array, shape (K,), optional
    ignore_index : int
    reduction : {"mean", "sum", "none"}
    """

    classifies = True
    labels_only = False

    def __init__(
        self, who_weighs: str, weight: Sequence[float] | Array | None, ignore_index: int, reduction: str
    ) -> None:
        super().__init__(reduction)
        self.ignore_index = count(self, "ignore_index", ignore_index, least=None)
        self._name, self._weight = who_weighs, Weights(self, who_weighs, weight)

    def total(self, prediction: Array, target: Array) -> Array | float:
        return ops.losses.cross_entropy_total(prediction, target, self._weight.like(prediction), self.ignore_index)

    def counted(self, target: Array) -> Array | None:
        return target != self.ignore_index if target.ndim == 1 else None

    def ignored(self) -> int | None:
        return self.ignore_index if self._weight.values is None else None

    def check(self, shape: tuple[int, ...], target: Array) -> None:
        who, weight = type(self).__name__, self._weight.values
        if weight is not None and len(weight) != shape[1]:
            message = f"{who}: expected {self._name} for each of {shape[1]} classes, got {len(weight)}"
            raise ShapeError(message)
        ops.losses.check_target(target, shape[0], shape[1], self.ignore_index, who, self.labels_only)


@final
class SoftmaxCrossEntropy(_Classes):
    """
    Cross-entropy of softmax probabilities, from scores; see :func:`xpcnn.ops.softmax_cross_entropy`.

    Parameters
    ----------
    weight : sequence of float or array, shape (K,), optional
        Weight of each class, at least 0.
    ignore_index : int
        Samples with this label count for nothing.
    label_smoothing : float, 0 to 1
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> value, dlogits = SoftmaxCrossEntropy()(np.zeros((1, 2)), np.asarray([0]))
    >>> dlogits.tolist()
    [[-0.5, 0.5]]
    """

    def __init__(
        self,
        weight: Sequence[float] | Array | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__("weight", weight, ignore_index, reduction)
        self.label_smoothing = number(self, "label_smoothing", label_smoothing, least=0, most=1)

    @property
    def weight(self) -> list[float] | None:
        """Weight of each class."""
        return self._weight.values

    def reduced(self, prediction: Array, target: Array, reduction: str) -> tuple[Array, Array]:
        weight = self._weight.like(prediction)
        return ops.softmax_cross_entropy(
            prediction, target, weight, self.ignore_index, self.label_smoothing, reduction
        )


@final
class NLLLoss(_Classes):
    """
    Negative logarithm of the label's probability, behind a `LogSoftmax`; see :func:`xpcnn.ops.nll`.

    Parameters
    ----------
    weight : sequence of float or array, shape (K,), optional
        Weight of each class, at least 0.
    ignore_index : int
        Samples with this label count for nothing.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> float(NLLLoss()(np.asarray([[-0.5, -2.0]]), np.asarray([1]))[0])
    2.0
    """

    labels_only = True

    def __init__(
        self,
        weight: Sequence[float] | Array | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__("weight", weight, ignore_index, reduction)

    @property
    def weight(self) -> list[float] | None:
        """Weight of each class."""
        return self._weight.values

    def reduced(self, prediction: Array, target: Array, reduction: str) -> tuple[Array, Array]:
        return ops.nll(prediction, target, self._weight.like(prediction), self.ignore_index, reduction)


@final
class FocalLoss(_Classes):
    """
    Cross-entropy in which samples that are right already count little; see :func:`xpcnn.ops.focal`.

    Parameters
    ----------
    alpha : sequence of float or array, shape (K,), optional
        Weight of each class, at least 0.
    gamma : float, >= 0
        How little easy samples count; 0 is cross-entropy.
    ignore_index : int
        Samples with this label count for nothing.
    reduction : {"mean", "sum", "none"}
        The mean is divided by the number of samples that count, whatever their alpha.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> round(float(FocalLoss(gamma=1.0)(np.zeros((1, 2)), np.asarray([0]))[0]), 4)
    0.3466
    """

    labels_only = True

    def __init__(
        self,
        alpha: Sequence[float] | Array | None = None,
        gamma: float = 2.0,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__("alpha", alpha, ignore_index, reduction)
        self.gamma = number(self, "gamma", gamma, least=0)

    @property
    def alpha(self) -> list[float] | None:
        """Weight of each class."""
        return self._weight.values

    def reduced(self, prediction: Array, target: Array, reduction: str) -> tuple[Array, Array]:
        alpha = self._weight.like(prediction)
        return ops.focal(prediction, target, alpha, self.gamma, self.ignore_index, reduction)

    def ignored(self) -> int | None:
        return None  # the total does not ask whether labels are classes

    def total(self, prediction: Array, target: Array) -> Array:
        xp = array_namespace(prediction)
        return xp.asarray(xp.sum(xp.astype(target != self.ignore_index, prediction.dtype)))
