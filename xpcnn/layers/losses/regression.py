"""Losses on the difference of prediction and target, entry by entry."""

import math
from typing import final

from xpcnn import ops
from xpcnn.backend import Array, array_namespace
from xpcnn.errors import DtypeError
from xpcnn.ops.checks import check_shape
from xpcnn.settings import number

from .base import Reduced

__all__ = ["MSE", "Entrywise", "HuberLoss", "L1Loss", "SmoothL1Loss"]


class Entrywise(Reduced):
    """
    Base of the losses that have a value for each entry of the prediction, and take a target of its shape.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ConfigError
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def total(self, prediction: Array, target: Array) -> float:
        return float(math.prod(prediction.shape))

    def check(self, shape: tuple[int, ...], target: Array) -> None:
        who = type(self).__name__
        check_shape(who, "target", target.shape, shape)
        if not array_namespace(target).isdtype(target.dtype, "real floating"):
            message = f"{who}: expected target of a real floating dtype, got {target.dtype}: convert it"
            raise DtypeError(message)


@final
class MSE(Entrywise):
    """
    Squared error; its mean over all entries unless asked otherwise; see :func:`xpcnn.ops.mse`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> float(MSE()(np.asarray([1.0, 3.0]), np.asarray([1.0, 1.0]))[0])
    2.0
    """

    def reduced(self, prediction: Array, target: Array, reduction: str) -> tuple[Array, Array]:
        return ops.mse(prediction, target, reduction)


@final
class L1Loss(Entrywise):
    """
    Absolute error; its mean over all entries unless asked otherwise; see :func:`xpcnn.ops.l1`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> float(L1Loss()(np.asarray([1.0, 3.0]), np.asarray([1.0, 1.0]))[0])
    1.0
    """

    def reduced(self, prediction: Array, target: Array, reduction: str) -> tuple[Array, Array]:
        return ops.l1(prediction, target, reduction)


@final
class HuberLoss(Entrywise):
    """
    Squared error for small errors, absolute error for large ones; see :func:`xpcnn.ops.huber`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    delta : float, > 0
        Where the one becomes the other.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> float(HuberLoss(delta=2.0)(np.asarray([1.0, 3.0]), np.asarray([1.0, 0.0]))[0])
    2.0
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = number(self, "delta", delta, above=0)

    def reduced(self, prediction: Array, target: Array, reduction: str) -> tuple[Array, Array]:
        return ops.huber(prediction, target, reduction, self.delta)


@final
class SmoothL1Loss(Entrywise):
    """
    Absolute error, rounded off within `beta` around zero; see :func:`xpcnn.ops.smooth_l1`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    beta : float, >= 0
        0 is :class:`L1Loss`.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> float(SmoothL1Loss()(np.asarray([1.0, 3.0]), np.asarray([1.0, 1.0]))[0])
    0.75
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = number(self, "beta", beta, least=0)

    def reduced(self, prediction: Array, target: Array, reduction: str) -> tuple[Array, Array]:
        return ops.smooth_l1(prediction, target, reduction, self.beta)
