"""Evaluating, and ending, with the running mean of the weights."""

from typing import Any, final

from xpcnn.backend import Array
from xpcnn.errors import ConfigError
from xpcnn.optimizers import EMA
from xpcnn.settings import count, flag, shown

from .base import Callback, Logs
from .states import checked_weights

__all__ = ["ExponentialMovingAverage"]


@final
class ExponentialMovingAverage(Callback):
    """
    Average the weights over the optimizer's steps, evaluate with the averages, and leave them in the model at the end.

    Training goes on with its own weights. From the validation of an epoch to the beginning of the next one the model
    holds the averages, so what other callbacks save after an epoch are the averages, too. Without validation they come
    at the end only.

    Parameters
    ----------
    decay : float, 0 to 1, or EMA
        The averages are over the last ``1 / (1 - decay)`` steps or so; an :class:`xpcnn.optimizers.EMA` to set more,
        or to go on with one.
    keep : bool
        False gives the model its own weights back at the end; :attr:`ema` has the averages.

    Attributes
    ----------
    ema : EMA

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> ExponentialMovingAverage(0.99).ema.decay
    0.99
    """

    def __init__(self, decay: float | EMA = 0.999, keep: bool = True) -> None:
        self.ema = decay if isinstance(decay, EMA) else EMA(decay)
        self.keep = flag(self, "keep", keep)
        self._own: dict[str, Array] | None = None
        self._steps = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._steps = self.trainer.optimizer.steps

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._follow()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._follow()
        self._put_averages()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._own is None:
            self._follow()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.close()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.keep:
            self._put_averages()
            self._own = None

    def state_dict(self) -> dict[str, Any]:
        return {"slots": self.ema.slots(), "counts": self.ema.counts(), "steps": self._steps, "own": self._own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        slots, counts, own = state["slots"], state["counts"], state["own"]
        steps = count(self, "steps", state["steps"], least=0)
        if own is not None:
            checked_weights(self, "own", own, self.model.state_dict())
        followed = {**self.model.params, **(self.model.buffers if self.ema.use_buffers else {})}
        if slots != {}:  # as before the first step
            checked_weights(self, "slots", slots, {f"state/{name}": a for name, a in followed.items()})
        if not isinstance(counts, dict):
            message = f"{type(self).__name__}: expected counts by name, got {shown(counts)}"
            raise ConfigError(message)
        self.ema.load_slots(slots, counts)
        self._steps, self._own = steps, own

    def close(self) -> None:
        """Give the model its own weights back, where it holds the averages for a while."""
        if self._own is not None:
            self.model.load_state_dict(self._own)
            self._own = None

    def _follow(self) -> None:
        """Take the weights in once a step: accumulated gradients make one of several batches, or at the epoch's end."""
        steps = self.trainer.optimizer.steps
        if steps != self._steps:
            self._steps = steps
            self.ema.update(self.model)

    def _put_averages(self) -> None:
        if self._own is None and self.ema.state:
            self._own = self.model.state_dict()
            self.model.load_state_dict(self.ema.state, strict=False)
