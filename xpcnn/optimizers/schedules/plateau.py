"""A learning rate that is lowered when a metric stops getting better."""

import math
from typing import Any, final

from xpcnn.backend import Array
from xpcnn.errors import ConfigError
from xpcnn.optimizers.settings import Counts
from xpcnn.settings import count, number

from .base import Schedule

__all__ = ["ReduceLROnPlateau"]


@final
class ReduceLROnPlateau(Schedule):
    """
    A learning rate that is multiplied by `factor` when a metric has not got better for more than `patience` times.

    Give it to an optimizer as `lr`, and tell it the metric, once an epoch::

        plateau = ReduceLROnPlateau(0.1, patience=3)
        model.fit(x, y, optimizer=SGD(lr=plateau))      # and after each epoch: plateau.observe(val_loss)

    The rule is that of PyTorch's ``ReduceLROnPlateau``: better is less than ``best * (1 - threshold)``, or with
    ``threshold_mode="abs"`` than ``best - threshold``; with ``mode="max"`` more than the same with the other sign. For
    `cooldown` observations after a reduction none counts as bad. This is the one schedule that is no function of the
    step: what it has observed is its `state`. To warm up first: ``LinearWarmup(plateau, steps)``.

    Parameters
    ----------
    lr : float, > 0
        Learning rate to begin with.
    mode : {"min", "max"}
    factor : float, 0 to below 1
    patience : int, >= 0
        Bad observations that are forgiven.
    threshold : float, >= 0
    threshold_mode : {"rel", "abs"}
    cooldown : int, >= 0
    min_lr : float, 0 to `lr`
    eps : float, >= 0
        A reduction by no more than this is not made.

    Attributes
    ----------
    current : float
        The learning rate now.
    state : dict
        What was observed, as plain numbers that JSON can hold; may be set to go on from there.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> plateau = ReduceLROnPlateau(0.5, factor=0.1, patience=1)
    >>> [plateau.observe(loss) for loss in (1.0, 0.9, 0.9, 0.9)]
    [False, False, False, True]
    >>> plateau(step=0)
    0.05
    """

    def __init__(
        self,
        lr: float,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self.lr = number(self, "lr", lr, above=0)
        self.mode = _one_of("mode", mode, "min", "max")
        self.factor = number(self, "factor", factor, least=0, below=1)
        self.patience = count(self, "patience", patience, 0)
        self.threshold = number(self, "threshold", threshold, least=0)
        self.threshold_mode = _one_of("threshold_mode", threshold_mode, "rel", "abs")
        self.cooldown = count(self, "cooldown", cooldown, 0)
        self.min_lr = number(self, "min_lr", min_lr, least=0, most=self.lr)
        self.eps = number(self, "eps", eps, least=0)
        self.current = self.lr
        self._best: float | None = None
        self._bad = self._cooling = 0

    def __call__(self, step: int) -> float:
        return self.current

    def observe(self, value: float) -> bool:
        """
        Take in the metric of one more epoch.

        Parameters
        ----------
        value : float
            A 0-d array is read, which waits for its device. NaN and infinity are never better.

        Returns
        -------
        reduced : bool
            Whether the learning rate was lowered.
        """
        value = float(value)
        if self._better(value):
            self._best, self._bad = value, 0
        else:
            self._bad += 1
        if self._cooling:
            self._cooling, self._bad = self._cooling - 1, 0
        if self._bad <= self.patience:
            return False
        self._cooling, self._bad = self.cooldown, 0
        lower = max(self.current * self.factor, self.min_lr)
        if self.current - lower <= self.eps:
            return False
        self.current = lower
        return True

    @property
    def state(self) -> dict[str, Any]:
        return {"lr": self.current, "best": self._best, "bad": self._bad, "cooling": self._cooling}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        if not isinstance(state, dict) or state.keys() != self.state.keys():
            message = f"ReduceLROnPlateau: expected state to be a dict of {', '.join(self.state)}, got {state!r}"
            raise ConfigError(message)
        best = state["best"]
        current = number(self, "state['lr']", state["lr"], least=0)
        counts = [count(self, f"state[{name!r}]", state[name], 0) for name in ("bad", "cooling")]
        self._best = None if best is None else number(self, "state['best']", best)
        self.current, (self._bad, self._cooling) = current, counts

    def counts(self) -> Counts:
        return self.state

    def take(self, slots: dict[str, Array], counts: Counts) -> None:
        self.state = counts

    def _better(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        best = self._best
        if best is None:
            return True
        change = -self.threshold if self.mode == "min" else self.threshold
        limit = best * (1.0 + change) if self.threshold_mode == "rel" else best + change
        return value < limit if self.mode == "min" else value > limit


def _one_of(name: str, value: Any, *names: str) -> str:
    if value in names:
        return value
    wanted = " or ".join(map(repr, names))
    message = f"ReduceLROnPlateau: expected {name} to be {wanted}, got {value!r}"
    raise ConfigError(message)
