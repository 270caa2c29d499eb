"""Losses of yes or no, from scores: any number of independent questions a sample."""

from collections.abc import Sequence
from typing import Any, final

from xpcnn import ops
from xpcnn.backend import Array
from xpcnn.settings import number

from .base import Weights
from .regression import Entrywise

__all__ = ["BCEWithLogitsLoss", "SigmoidFocalLoss"]


@final
class BCEWithLogitsLoss(Entrywise):
    """
    Binary cross-entropy of sigmoid probabilities, from scores; see :func:`xpcnn.ops.bce_with_logits`.

    Targets are floating numbers of the scores' shape, 0 to 1.

    Parameters
    ----------
    weight : number, nested sequence of numbers or array, that broadcasts against the scores, optional
        Weight of each entry, at least 0. The mean is divided by the number of entries all the same.
    reduction : {"mean", "sum", "none"}
    pos_weight : like `weight`, optional
        Weight of yes beside no, such as (K,) for K questions.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> value, dlogits = BCEWithLogitsLoss(pos_weight=[3.0])(np.asarray([[0.0]]), np.asarray([[1.0]]))
    >>> dlogits.tolist()
    [[-1.5]]
    """

    def __init__(
        self,
        weight: float | Sequence[Any] | Array | None = None,
        reduction: str = "mean",
        pos_weight: float | Sequence[Any] | Array | None = None,
    ) -> None:
        super().__init__(reduction)
        self._weight = Weights(self, "weight", weight, axes=None)
        self._pos_weight = Weights(self, "pos_weight", pos_weight, axes=None)

    @property
    def weight(self) -> Any:
        """As it was given, in Python's floats and lists."""
        return self._weight.values

    @property
    def pos_weight(self) -> Any:
        """As it was given, in Python's floats and lists."""
        return self._pos_weight.values

    def reduced(self, prediction: Array, target: Array, reduction: str) -> tuple[Array, Array]:
        weight, pos_weight = self._weight.like(prediction), self._pos_weight.like(prediction)
        return ops.bce_with_logits(prediction, target, weight, reduction, pos_weight)


@final
class SigmoidFocalLoss(Entrywise):
    """
    Focal loss of yes or no, from scores; see :func:`xpcnn.ops.sigmoid_focal`.

    Targets are floating numbers of the scores' shape, 0 or 1.

    Parameters
    ----------
    alpha : float, 0 to 1, optional
        Weight of yes; no has ``1 - alpha``. None: both count 1.
    gamma : float, >= 0
        How little easy entries count; 0 is binary cross-entropy.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> value, _ = SigmoidFocalLoss(alpha=None, gamma=1.0)(np.asarray([[0.0]]), np.asarray([[1.0]]))
    >>> round(float(value), 4)
    0.3466
    """

    def __init__(self, alpha: float | None = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.alpha = None if alpha is None else number(self, "alpha", alpha, least=0, most=1)
        self.gamma = number(self, "gamma", gamma, least=0)

    def reduced(self, prediction: Array, target: Array, reduction: str) -> tuple[Array, Array]:
        return ops.sigmoid_focal(prediction, target, self.alpha, self.gamma, reduction)
