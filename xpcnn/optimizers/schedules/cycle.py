"""One rise and one fall of the learning rate over the whole training."""

import math
from itertools import pairwise
from typing import final

from xpcnn.errors import ConfigError
from xpcnn.settings import count, flag, number

from .base import Schedule

__all__ = ["OneCycleLR"]


@final
class OneCycleLR(Schedule):
    r"""
    Up from ``max_lr / div_factor`` to `max_lr`, then down to that divided by `final_div_factor`, which then holds.

    The learning rate goes through the points

    ======================================  =================================================
    step                                    learning rate
    ======================================  =================================================
    0                                       ``low = max_lr / div_factor``
    ``pct_start * total_steps - 1``         ``max_lr``
    ``2 * pct_start * total_steps - 2``     ``low`` (three_phase only)
    ``total_steps - 1``                     ``low / final_div_factor``
    ======================================  =================================================

    and between two of them along half a cosine, or a line. Steps between two whole numbers are not reached exactly, as
    in PyTorch's ``OneCycleLR``, whose defaults these are. Smith and Topin, "Super-convergence: very fast training of
    neural networks using large learning rates", 2018, section 3; the paper's cycle has three phases, and two, by
    cosine, are fastai's. Unlike PyTorch's, it does not move the momentum, ends at its lowest value instead of raising
    an error, and takes the steps as one number: ``epochs * steps_per_epoch``.

    Parameters
    ----------
    max_lr : float, > 0
    total_steps : int, >= 1
    pct_start : float, 0 to 1
        Part of the steps in which the learning rate rises; at most 0.5 with three phases.
    anneal_strategy : {"cos", "linear"}
    div_factor : float, > 0
    final_div_factor : float, > 0
    three_phase : bool
        Fall to the first learning rate as fast as it rose, and only then to the last.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> schedule = OneCycleLR(1.0, total_steps=10, pct_start=0.5, anneal_strategy="linear", div_factor=5.0)
    >>> [round(schedule(step), 3) for step in (0, 2, 4, 7, 9, 50)]
    [0.2, 0.6, 1.0, 0.4, 0.0, 0.0]
    """

    def __init__(
        self,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        self.max_lr = number(self, "max_lr", max_lr, above=0)
        self.total_steps = count(self, "total_steps", total_steps)
        self.three_phase = flag(self, "three_phase", three_phase)
        self.pct_start = number(self, "pct_start", pct_start, least=0, most=0.5 if three_phase else 1.0)
        if anneal_strategy not in ("cos", "linear"):
            message = f"OneCycleLR: expected anneal_strategy to be 'cos' or 'linear', got {anneal_strategy!r}"
            raise ConfigError(message)
        self.anneal_strategy = anneal_strategy
        self.div_factor = number(self, "div_factor", div_factor, above=0)
        self.final_div_factor = number(self, "final_div_factor", final_div_factor, above=0)

    def __call__(self, step: int) -> float:
        low, top, last = self.max_lr / self.div_factor, self.pct_start * self.total_steps - 1.0, self.total_steps - 1.0
        points = [(0.0, low), (top, self.max_lr), (last, low / self.final_div_factor)]
        if self.three_phase:
            points.insert(2, (2.0 * top, low))
        step = min(step, self.total_steps - 1)
        for (begin, start), (end, stop) in pairwise(points):
            if step <= end:
                return self._between(start, stop, (step - begin) / (end - begin) if end > begin else 1.0)
        return points[-1][1]

    def _between(self, start: float, stop: float, part: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (stop - start) * part
        return stop + (start - stop) * (1.0 + math.cos(math.pi * part)) / 2.0
