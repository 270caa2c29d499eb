"""
Optimizers: how gradients change parameters. PyTorch's names, defaults and formulas, on plain dicts of arrays.

Each rule is one short file; what they share (checks, clipping, state) is in ``base.py``. What is put together from
rules is in ``groups.py`` and ``accumulate.py``; learning rates that change are in ``schedules/``.
"""

import inspect
from collections.abc import Callable
from typing import Any

from xpcnn.errors import ConfigError
from xpcnn.settings import like

from .accumulate import Accumulate
from .adadelta import Adadelta
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .adamax import Adamax
from .base import Optimizer, Rule
from .ema import EMA
from .groups import ParamGroups
from .lars import LARS
from .lion import Lion
from .loss_scale import LossScale
from .muon import Muon
from .nadam import NAdam
from .radam import RAdam
from .rmsprop import RMSprop
from .schedules import (
    ChainedScheduler,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LearningRate,
    LinearWarmup,
    OneCycleLR,
    ReduceLROnPlateau,
    Schedule,
    SequentialLR,
    StepLR,
)
from .settings import Configured
from .sgd import SGD

__all__ = [
    "EMA",
    "LARS",
    "SGD",
    "Accumulate",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ChainedScheduler",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LinearWarmup",
    "Lion",
    "LossScale",
    "Muon",
    "NAdam",
    "OneCycleLR",
    "Optimizer",
    "ParamGroups",
    "RAdam",
    "RMSprop",
    "ReduceLROnPlateau",
    "Rule",
    "Schedule",
    "SequentialLR",
    "StepLR",
    "from_config",
    "get",
]


def _muon(lr: LearningRate = 1e-3) -> Optimizer:
    return ParamGroups({"ndim>=2": Muon(lr=lr, adjust_lr_fn="match_rms_adamw")}, rest=AdamW(lr=lr))


_NAMED: dict[str, tuple[Callable[..., Optimizer], dict[str, Any]]] = {
    "sgd": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.9}),
    "nesterov": (SGD, {"momentum": 0.9, "nesterov": True}),
    "adadelta": (Adadelta, {}),
    "adagrad": (Adagrad, {}),
    "rmsprop": (RMSprop, {}),
    "adam": (Adam, {}),
    "adamw": (AdamW, {}),
    "adamax": (Adamax, {}),
    "nadam": (NAdam, {}),
    "radam": (RAdam, {}),
    "lion": (Lion, {}),
    "lars": (LARS, {}),
    "muon": (_muon, {}),
}


def get(optimizer: "str | Optimizer", lr: LearningRate | None = None) -> Optimizer:
    """
    The optimizer of a name; an optimizer is passed through.

    Parameters
    ----------
    optimizer : str or Optimizer
        One of "sgd", "momentum", "nesterov", "adadelta", "adagrad", "rmsprop", "adam", "adamw", "adamax", "nadam",
        "radam", "lion", "lars", "muon". ``"momentum"`` and ``"nesterov"`` are SGD with a momentum of 0.9; ``"muon"`` is
        Muon, scaled to match AdamW, for weights of two and more axes, and AdamW for the rest, at one learning rate.
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


def from_config(config: dict[str, Any]) -> Any:
    """
    The optimizer, schedule or EMA that ``config()`` described, fresh.

    Only classes of this package can be named; every setting is checked by its constructor.

    Parameters
    ----------
    config : dict
        Class name and constructor arguments, those that are such dicts themselves included; also from JSON.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> from_config(SGD(lr=StepLR(0.1, step_size=30)).config()).current_lr()
    0.1
    """
    name = config.get("name") if isinstance(config, dict) else None
    cls = globals().get(name) if name in __all__ else None
    if not isinstance(cls, type) or not issubclass(cls, Configured) or inspect.isabstract(cls):
        message = f"optimizers.from_config: expected what config() gives, got {str(config)[:80]!r}"
        raise ConfigError(message)
    try:
        return cls(**{key: _restored(value) for key, value in config.items() if key != "name"})
    except TypeError as error:  # an argument too many, or one too few
        message = f"optimizers.from_config: {name} does not take these settings ({error})"
        raise ConfigError(message) from error


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        return from_config(value)
    return [_restored(item) for item in value] if isinstance(value, list) else value
