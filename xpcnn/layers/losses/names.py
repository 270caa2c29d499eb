"""Losses by name, and functions as losses."""

from collections.abc import Callable
from typing import final

from xpcnn.backend import Array
from xpcnn.errors import ConfigError
from xpcnn.settings import like

from .base import Loss
from .binary import BCEWithLogitsLoss, SigmoidFocalLoss
from .classes import FocalLoss, NLLLoss, SoftmaxCrossEntropy
from .regression import MSE, HuberLoss, L1Loss, SmoothL1Loss

__all__ = ["get_loss"]

_NAMES: dict[str, Callable[[], Loss]] = {
    "softmax_cross_entropy": SoftmaxCrossEntropy,
    "nll": NLLLoss,
    "focal": FocalLoss,
    "bce_with_logits": BCEWithLogitsLoss,
    "sigmoid_focal": SigmoidFocalLoss,
    "mse": MSE,
    "l1": L1Loss,
    "huber": HuberLoss,
    "smooth_l1": SmoothL1Loss,
}


@final
class _Function(Loss):
    """A user's function as a loss."""

    def __init__(self, function: Callable[[Array, Array], tuple[Array, Array]]) -> None:
        self.function = function

    def __call__(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        return self.function(prediction, target)


def get_loss(loss: "Loss | str") -> Loss:
    """
    A loss by name, a loss itself, or a function ``(prediction, target) -> (value, dprediction)`` as a loss.

    Parameters
    ----------
    loss : Loss, function, or str
        Names are "softmax_cross_entropy", "nll", "focal", "bce_with_logits", "sigmoid_focal", "mse", "l1", "huber" and
        "smooth_l1": with default settings.

    Returns
    -------
    loss : Loss

    Raises
    ------
    ConfigError
        If there is no such name.

    Examples
    --------
    >>> type(get_loss("mse")).__name__
    'MSE'
    """
    if isinstance(loss, str) and loss in _NAMES:
        return _NAMES[loss]()
    if isinstance(loss, str) or not callable(loss) or isinstance(loss, type):
        message = f"loss: expected a loss, a function or one of {', '.join(_NAMES)}, got {loss!r}{like(loss, _NAMES)}"
        if isinstance(loss, type) and issubclass(loss, Loss):
            message += f": make one, {loss.__name__}()"
        raise ConfigError(message)
    return loss if isinstance(loss, Loss) else _Function(loss)
