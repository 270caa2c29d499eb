"""
Optimizers: how gradients change parameters. PyTorch's names, defaults and formulas, on plain dicts of arrays.

Each rule is one short file; what they share (checks, clipping, state) is in ``base.py``.
"""

from collections.abc import Callable
from typing import Any

from xpcnn.errors import ConfigError
from xpcnn.settings import like

from .adagrad import Adagrad
from .adam import Adam, AdamW
from .base import Optimizer
from .rmsprop import RMSprop
from .schedules import CosineAnnealingLR, LinearWarmup, Schedule, StepLR
from .sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "LinearWarmup",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "StepLR",
    "get",
]

_NAMED: dict[str, tuple[Callable[..., Optimizer], dict[str, Any]]] = {
    "sgd": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.9}),
    "nesterov": (SGD, {"momentum": 0.9, "nesterov": True}),
    "adagrad": (Adagrad, {}),
    "rmsprop": (RMSprop, {}),
    "adam": (Adam, {}),
    "adamw": (AdamW, {}),
}


def get(optimizer: "str | Optimizer", lr: "float | Schedule | None" = None) -> Optimizer:
    """
    The optimizer of a name; an optimizer is passed through.

    Parameters
    ----------
    optimizer : {"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"} or Optimizer
        ``"momentum"`` and ``"nesterov"`` are SGD with a momentum of 0.9.
    lr : float or schedule, optional
        Learning rate; default: that of the class. Only together with a name.

    Raises
    ------
    ConfigError
        If there is no such name, or `lr` comes with an optimizer that has its own.

    Examples
    --------
    >>> get("momentum", lr=0.1).momentum
    0.9
    """
    if isinstance(optimizer, Optimizer):
        if lr is None:
            return optimizer
        message = f"optimizers.get: got lr={lr!r} with an optimizer that has its own: set it there, or pass a name"
        raise ConfigError(message)
    if not isinstance(optimizer, str) or optimizer not in _NAMED:
        names = ", ".join(repr(name) for name in _NAMED)
        message = f"optimizers.get: expected an Optimizer or one of {names}, got {optimizer!r}"
        if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
            message += f": make one, {optimizer.__name__}()"
        message += like(optimizer, _NAMED)
        raise ConfigError(message)
    rule, settings = _NAMED[optimizer]
    return rule(**settings) if lr is None else rule(lr=lr, **settings)
