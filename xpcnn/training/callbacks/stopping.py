"""Ending a run before its last epoch."""

import logging
import math
import time
from typing import Any, final

from xpcnn.backend import Array, is_array, is_host, to_numpy
from xpcnn.errors import ConfigError
from xpcnn.settings import count, flag, number, shown

from .base import Callback, Logs
from .monitor import Monitor
from .states import checked_weights, epoch_or_none

__all__ = ["EarlyStopping", "TerminateOnNaN", "TimeLimit"]

log = logging.getLogger("xpcnn")

LOOK = "look for NaN and infinity in x and y, or take a smaller learning rate"


@final
class EarlyStopping(Callback):
    """
    End the run when a figure no longer gets better.

    Parameters
    ----------
    monitor : str
        Name in the logs, such as ``"val_loss"``.
    min_delta : float, at least 0
        Smaller changes do not count as better.
    patience : int, at least 0
        So many epochs in a row without a better figure end the run; 0 is as 1, as in Keras.
    mode : {"auto", "min", "max"}
        Which way is better; "auto": more for names with ``accuracy`` and the like, less for others.
    restore_best_weights : bool
        Give the model the parameters and buffers of its best epoch at the end.

    Attributes
    ----------
    best : float
        Best figure so far.
    best_epoch, stopped_epoch : int or None
        Numbers of epochs, from 0.

    Raises
    ------
    ConfigError
        If a setting makes no sense; before the first step if the run has no figure of that name.

    Examples
    --------
    >>> EarlyStopping(patience=3).monitor
    'val_loss'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = False,
    ) -> None:
        self._monitor = Monitor(self, monitor, mode, min_delta)
        self.monitor = monitor
        self.patience = count(self, "patience", patience, least=0)
        self.restore_best_weights = flag(self, "restore_best_weights", restore_best_weights)
        self._reset()

    @property
    def best(self) -> float:
        """Best figure so far."""
        return self._monitor.best

    def _reset(self) -> None:
        self._monitor.reset()
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._waited = 0
        self._weights: dict[str, Array] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()
        self._monitor.expect(self.params["metrics"])

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._monitor.better(float((logs or {})[self.monitor])):
            self.best_epoch, self._waited = epoch, 0
            if self.restore_best_weights:
                self._weights = self.model.state_dict()
            return
        self._waited += 1
        if self._waited >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def state_dict(self) -> dict[str, Any]:
        return {
            "monitor": self._monitor.state(),
            "best_epoch": self.best_epoch,
            "stopped_epoch": self.stopped_epoch,
            "waited": self._waited,
            "weights": self._weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        best = self._monitor.found(state["monitor"])
        best_epoch, stopped_epoch = (epoch_or_none(self, name, state[name]) for name in ("best_epoch", "stopped_epoch"))
        waited, weights = count(self, "waited", state["waited"], least=0), state["weights"]
        if weights is not None:
            checked_weights(self, "weights", weights, self.model.state_dict())
        self._reset()
        self.stopped_epoch = stopped_epoch
        if best is not None:
            self._monitor.best, self.best_epoch, self._waited = best, best_epoch, waited
            self._weights = weights if self.restore_best_weights else None

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._weights is not None:
            self.model.load_state_dict(self._weights)
            self._weights = None


@final
class TerminateOnNaN(Callback):
    """
    End the run when the loss of a batch is NaN or infinite; Keras' callback of that name.

    Parameters
    ----------
    every : int, at least 1
        On a GPU, the losses are looked at after so many batches, and at the end of the epoch: each look waits for the
        device. Batches in between add to a sum there, in which NaN and infinity stay. On the CPU every batch is looked
        at, since that costs nothing.

    Attributes
    ----------
    stopped_epoch, stopped_batch : int or None
        Where it was seen, from 0.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> TerminateOnNaN().every
    50
    """

    def __init__(self, every: int = 50) -> None:
        self.every = count(self, "every", every)
        self.stopped_epoch: int | None = None
        self.stopped_batch: int | None = None
        self._epoch = 0
        self._sum: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.stopped_epoch = self.stopped_batch = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch, self._sum = epoch, None

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {})["loss"]
        self._sum = loss if self._sum is None else self._sum + loss
        if is_host(loss) or (batch + 1) % self.every == 0:
            self._look(batch)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.stopped_epoch is None:
            self._look(self.params["steps"] - 1)

    def state_dict(self) -> dict[str, Any]:
        # NumPy's sums are numbers, which would come back in another dtype
        total = None if self._sum is None else self.model.home.asarray(self._sum)
        return {"stopped_epoch": self.stopped_epoch, "stopped_batch": self.stopped_batch, "sum": total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        epoch, batch = (epoch_or_none(self, name, state[name]) for name in ("stopped_epoch", "stopped_batch"))
        found = state["sum"]
        if found is not None and (not is_array(found) or found.ndim):
            message = f"TerminateOnNaN: expected the sum of losses to be an array without axes, got {shown(found)}"
            raise ValueError(message)
        self._sum = found if found is None else self.model.home.asarray(found)
        self.stopped_epoch, self.stopped_batch = epoch, batch

    def _look(self, batch: int) -> None:
        if self._sum is None or math.isfinite(float(to_numpy(self._sum))):
            return
        self.stopped_epoch, self.stopped_batch = self._epoch, batch
        self.model.stop_training = True
        where = f"batch {batch + 1} of epoch {self._epoch + 1}"
        log.warning("TerminateOnNaN: the loss is no number by %s: %s", where, LOOK)


@final
class TimeLimit(Callback):
    """
    End the run after the batch in which its time is up.

    On a GPU steps are handed over faster than they are done, so the end comes a little later than the limit; so does
    it with a validation, which still follows. A run that goes on from a checkpoint has all of its time again.

    Parameters
    ----------
    limit : float > 0, or str
        Seconds, or ``"HH:MM:SS"``, ``"DD:HH:MM:SS"``.

    Attributes
    ----------
    seconds : float
    stopped_epoch : int or None

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> TimeLimit("01:30:00").seconds
    5400.0
    """

    def __init__(self, limit: float | str) -> None:
        self.seconds = _seconds(limit) if isinstance(limit, str) else number(self, "limit", limit, above=0)
        self.stopped_epoch: int | None = None
        self._end, self._epoch = math.inf, 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._end = time.monotonic() + self.seconds
        self.stopped_epoch = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.stopped_epoch is None and time.monotonic() >= self._end:
            self.stopped_epoch = self._epoch
            self._pause()
            log.info("TimeLimit: %g seconds are up in batch %d of epoch %d", self.seconds, batch + 1, self._epoch + 1)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if time.monotonic() >= self._end:  # validation takes time, too
            self.stopped_epoch = epoch if self.stopped_epoch is None else self.stopped_epoch
            self._pause()

    def _pause(self) -> None:
        """End the run, though it is not over: what goes on from here goes on."""
        self.model.stop_training = True
        trainer: Any = getattr(self, "trainer", None)  # not there where somebody calls this by hand
        if trainer is not None:
            trainer.paused = True


def _seconds(text: str) -> float:
    parts = text.split(":")
    plain = [int(part) for part in parts if part.isascii() and part.isdigit()]
    days, hours, minutes, seconds = ([0] * 4 + plain)[-4:]
    fits = len(plain) == len(parts) in (3, 4) and minutes < 60 and seconds < 60 and (hours < 24 or len(parts) == 3)
    if fits and any(plain):
        return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    message = f"TimeLimit: expected limit in seconds, or as 'HH:MM:SS' or 'DD:HH:MM:SS', got {text!r}"
    raise ConfigError(message)
