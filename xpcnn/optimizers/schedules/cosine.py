"""Learning rates that follow half a cosine: once, or again and again."""

import math
from typing import final

from xpcnn.settings import count, number

from .base import Schedule

__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts"]


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
        return _half_cosine(self.lr, self.eta_min, step / self.T_max)


@final
class CosineAnnealingWarmRestarts(Schedule):
    r"""
    Half a cosine from `lr` down to `eta_min`, begun again and again, each time `T_mult` times as long.

    .. math:: lr_t = \eta_{min} + \tfrac12 (lr - \eta_{min}) (1 + \cos(\pi T_{cur} / T_i))

    with :math:`T_{cur}` the steps since the last restart and :math:`T_i = T_0 T_{mult}^i` the length of the run that
    it began. Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, eq. 5.
    PyTorch's ``CosineAnnealingWarmRestarts``. `eta_min` itself is never reached: at its step the next run begins.

    Parameters
    ----------
    lr : float, > 0
    T_0 : int, >= 1
        Length of the first run in steps.
    T_mult : int, >= 1
    eta_min : float, 0 to `lr`

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> schedule = CosineAnnealingWarmRestarts(1.0, T_0=2, T_mult=2)
    >>> [round(schedule(step), 3) for step in range(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    def __init__(self, lr: float, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:
        self.lr = number(self, "lr", lr, above=0)
        self.T_0 = count(self, "T_0", T_0)
        self.T_mult = count(self, "T_mult", T_mult)
        self.eta_min = number(self, "eta_min", eta_min, least=0, most=self.lr)

    def __call__(self, step: int) -> float:
        length = self.T_0
        if self.T_mult == 1:
            step %= length
        while step >= length:  # whole numbers: a logarithm would round at the restarts
            step -= length
            length *= self.T_mult
        return _half_cosine(self.lr, self.eta_min, step / length)


def _half_cosine(start: float, end: float, part: float) -> float:
    """From `start` at part 0 to `end` at part 1."""
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2
