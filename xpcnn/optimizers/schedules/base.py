"""What a learning rate is: a number, or a function of the step."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

from xpcnn.optimizers.settings import Configured
from xpcnn.settings import number

__all__ = ["LearningRate", "Schedule", "checked_lr", "lr_at"]


class Schedule(Configured, ABC):
    """A learning rate for every step."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """
        Learning rate of a step.

        Parameters
        ----------
        step : int, >= 0
            Number of updates done before.
        """


LearningRate: TypeAlias = float | Callable[[int], float]


def checked_lr(who: object, lr: LearningRate) -> LearningRate:
    """A learning rate as it was given: a schedule, or a Python float > 0; ConfigError otherwise."""
    return lr if callable(lr) else number(who, "lr", lr, above=0)


def lr_at(lr: LearningRate, step: int) -> float:
    """Learning rate of a step, of a schedule or a number."""
    return lr(step) if callable(lr) else lr
