"""
Learning rates that change: pure functions of the step, so that any step can be recomputed and nothing need be saved.

A step is one call of ``optimizer.update``, counted from 0. Any function of the step that returns a float will do. Only
`ReduceLROnPlateau` depends on more, on what it has observed, and says so in its `state`.
"""

from .base import LearningRate, Schedule, checked_lr
from .compose import ChainedScheduler, SequentialLR
from .cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from .cycle import OneCycleLR
from .decay import ExponentialLR, StepLR
from .plateau import ReduceLROnPlateau
from .warmup import LinearWarmup

__all__ = [
    "ChainedScheduler",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LearningRate",
    "LinearWarmup",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "StepLR",
    "checked_lr",
]
