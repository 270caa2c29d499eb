"""
Learning rates that change: pure functions of the step, so that any step can be recomputed and nothing need be saved.

A step is one call of ``optimizer.update``, counted from 0. Any function of the step that returns a float will do.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias, final

from xpcnn.settings import count, number

from .settings import Configured

__all__ = ["CosineAnnealingLR", "LearningRate", "LinearWarmup", "Schedule", "StepLR", "checked_lr"]


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


@final
class StepLR(Schedule):
    r"""
    The learning rate times `gamma` after every `step_size` steps.

    .. math:: lr_t = lr \cdot \gamma^{\lfloor t / \text{step\_size} \rfloor}

    PyTorch's ``StepLR``; there, as here, a step is whatever the caller counts.

    Parameters
    ----------
    lr : float, > 0
    step_size : int, >= 1
    gamma : float, > 0

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> schedule = StepLR(1.0, step_size=10, gamma=0.5)
    >>> schedule(9), schedule(10), schedule(20)
    (1.0, 0.5, 0.25)
    """

    def __init__(self, lr: float, step_size: int, gamma: float = 0.1) -> None:
        self.lr = number(self, "lr", lr, above=0)
        self.step_size = count(self, "step_size", step_size)
        self.gamma = number(self, "gamma", gamma, above=0)

    def __call__(self, step: int) -> float:
        return self.lr * self.gamma ** (step // self.step_size)


@final
class CosineAnnealingLR(Schedule):
    r"""
    Half a cosine from `lr` down to `eta_min`, which then holds.

    .. math:: lr_t = \eta_{min} + \tfrac12 (lr - \eta_{min}) (1 + \cos(\pi \min(t, T_{max}) / T_{max}))

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, eq. 5, without the
    restarts. PyTorch's ``CosineAnnealingLR`` gives the same up to `T_max`; afterwards it climbs back to `lr`, which
    nobody who trains a few steps longer wants.

    Parameters
    ----------
    lr : float, > 0
    T_max : int, >= 1
        Step at which `eta_min` is reached.
    eta_min : float, 0 to `lr`

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> schedule = CosineAnnealingLR(1.0, T_max=10)
    >>> schedule(0), round(schedule(5), 9), schedule(10), schedule(15)
    (1.0, 0.5, 0.0, 0.0)
    """

    def __init__(self, lr: float, T_max: int, eta_min: float = 0.0) -> None:
        self.lr = number(self, "lr", lr, above=0)
        self.T_max = count(self, "T_max", T_max)
        self.eta_min = number(self, "eta_min", eta_min, least=0, most=self.lr)

    def __call__(self, step: int) -> float:
        if step >= self.T_max:
            return self.eta_min
        return self.eta_min + (self.lr - self.eta_min) * (1 + math.cos(math.pi * step / self.T_max)) / 2


@final
class LinearWarmup(Schedule):
    r"""
    A learning rate that grows to its first value in equal steps, then follows its schedule from the beginning.

    .. math:: lr_t = lr_0 \, (s + (1 - s) \, t / T) \text{ for } t < T, \quad lr_{t - T} \text{ afterwards}

    with ``s = start_factor`` and ``T = steps``. The "gradual warmup" of Goyal et al., "Accurate, large minibatch SGD:
    training ImageNet in 1 hour", 2017, section 2.2. PyTorch's ``LinearLR``, followed by the schedule as
    ``SequentialLR`` does it: a schedule over the remaining steps is to be made for ``total - steps``.

    Parameters
    ----------
    lr : float > 0 or schedule
        What to warm up to.
    steps : int, >= 1
        Length of the warm-up.
    start_factor : float, above 0 to 1
        Part of the learning rate that step 0 gets.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> schedule = LinearWarmup(1.0, steps=4, start_factor=0.5)
    >>> [schedule(step) for step in range(6)]
    [0.5, 0.625, 0.75, 0.875, 1.0, 1.0]
    """

    def __init__(self, lr: LearningRate, steps: int, start_factor: float = 1.0 / 3.0) -> None:
        self.lr = checked_lr(self, lr)
        self.steps = count(self, "steps", steps)
        self.start_factor = number(self, "start_factor", start_factor, above=0, most=1)

    def __call__(self, step: int) -> float:
        past = max(step - self.steps, 0)
        lr = self.lr(past) if callable(self.lr) else self.lr
        if step >= self.steps:
            return lr
        return lr * (self.start_factor + (1.0 - self.start_factor) * step / self.steps)
