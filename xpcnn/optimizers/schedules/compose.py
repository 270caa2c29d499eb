"""Schedules made of schedules: one after the other, or one times the other."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import final

from xpcnn.errors import ConfigError
from xpcnn.optimizers.settings import Configured
from xpcnn.settings import count

from .base import LearningRate, Schedule, checked_lr, lr_at

__all__ = ["ChainedScheduler", "SequentialLR"]


@final
class SequentialLR(Schedule):
    r"""
    One schedule after the other, each from its own beginning.

    .. math:: lr_t = lr^{(i)}(t - m_i) \text{ for } m_i \le t < m_{i + 1}, \quad m_0 = 0

    PyTorch's ``SequentialLR``. Here each part has its own learning rate, so it need not go on where the last one ended.

    Parameters
    ----------
    schedulers : sequence of schedules and floats > 0
        A float holds that learning rate.
    milestones : sequence of int
        The steps at which the next one begins, rising: one fewer than schedules.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> from xpcnn.optimizers import ExponentialLR
    >>> schedule = SequentialLR([1.0, ExponentialLR(0.5, gamma=0.5)], milestones=[2])
    >>> [schedule(step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.25, 0.125]
    """

    def __init__(self, schedulers: Sequence[LearningRate], milestones: Sequence[int]) -> None:
        self.schedulers = _several(self, schedulers)
        if not isinstance(milestones, (list, tuple)) or len(milestones) != len(schedulers) - 1:
            message = (
                f"SequentialLR: expected milestones to be {len(schedulers) - 1} steps, one between each two schedules, "
                f"got {milestones!r}"
            )
            raise ConfigError(message)
        least, self.milestones = 1, []
        for i, milestone in enumerate(milestones):
            self.milestones.append(count(self, f"milestones[{i}]", milestone, least))
            least = self.milestones[-1] + 1

    def parts(self) -> dict[str, Configured]:
        return _parts(self.schedulers)

    def __call__(self, step: int) -> float:
        i = bisect_right(self.milestones, step)
        return lr_at(self.schedulers[i], step - (self.milestones[i - 1] if i else 0))


@final
class ChainedScheduler(Schedule):
    r"""
    The product of several schedules: all of them act at every step.

    .. math:: lr_t = \prod_i lr^{(i)}(t)

    One of them has the learning rate, the others are factors: make them with a learning rate of 1. This is PyTorch's
    ``ChainedScheduler`` for schedules that multiply (StepLR, ExponentialLR, warm-ups, cosines down to 0); for others
    PyTorch's result depends on their order.

    Parameters
    ----------
    schedulers : sequence of schedules and floats > 0

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> from xpcnn.optimizers import ExponentialLR, StepLR
    >>> schedule = ChainedScheduler([ExponentialLR(0.5, gamma=0.5), StepLR(1.0, step_size=2)])
    >>> [round(schedule(step), 6) for step in range(4)]
    [0.5, 0.25, 0.0125, 0.00625]
    """

    def __init__(self, schedulers: Sequence[LearningRate]) -> None:
        self.schedulers = _several(self, schedulers)

    def parts(self) -> dict[str, Configured]:
        return _parts(self.schedulers)

    def __call__(self, step: int) -> float:
        lr = 1.0
        for schedule in self.schedulers:
            lr *= lr_at(schedule, step)
        return lr


def _several(who: object, schedulers: Sequence[LearningRate]) -> list[LearningRate]:
    if not isinstance(schedulers, (list, tuple)) or not schedulers:
        message = f"{type(who).__name__}: expected schedulers to be a list of schedules, got {schedulers!r}"
        raise ConfigError(message)
    return [checked_lr(who, schedule) for schedule in schedulers]


def _parts(schedulers: Sequence[LearningRate]) -> dict[str, Configured]:
    return {str(i): schedule for i, schedule in enumerate(schedulers) if isinstance(schedule, Schedule)}
