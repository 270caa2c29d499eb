"""Learning rates that begin small."""

from typing import final

from xpcnn.optimizers.settings import Configured
from xpcnn.settings import count, number

from .base import LearningRate, Schedule, checked_lr, lr_at

__all__ = ["LinearWarmup"]


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

    def parts(self) -> dict[str, Configured]:
        return {"lr": self.lr} if isinstance(self.lr, Schedule) else {}

    def __call__(self, step: int) -> float:
        past = max(step - self.steps, 0)
        lr = lr_at(self.lr, past)
        if step >= self.steps:
            return lr
        return lr * (self.start_factor + (1.0 - self.start_factor) * step / self.steps)
