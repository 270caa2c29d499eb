"""Learning rates that are multiplied by a factor again and again."""

from typing import final

from xpcnn.settings import count, number

from .base import Schedule

__all__ = ["ExponentialLR", "StepLR"]


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
class ExponentialLR(Schedule):
    r"""
    The learning rate times `gamma` after every step.

    .. math:: lr_t = lr \cdot \gamma^t

    PyTorch's ``ExponentialLR``. To fall to a part `q` within `T` steps take ``gamma = q ** (1 / T)``.

    Parameters
    ----------
    lr : float, > 0
    gamma : float, > 0

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> schedule = ExponentialLR(1.0, gamma=0.5)
    >>> [schedule(step) for step in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """

    def __init__(self, lr: float, gamma: float) -> None:
        self.lr = number(self, "lr", lr, above=0)
        self.gamma = number(self, "gamma", gamma, above=0)

    def __call__(self, step: int) -> float:
        return self.lr * self.gamma**step
