"""Learning rates that change once an epoch; those that change with the step are the optimizers' schedules."""

import inspect
import logging
from collections.abc import Callable
from typing import Any, final

from xpcnn.errors import ConfigError
from xpcnn.optimizers.base import with_own_rate
from xpcnn.settings import count, number

from .base import Callback, Logs
from .monitor import Monitor

__all__ = ["LearningRateScheduler", "ReduceLROnPlateau"]

log = logging.getLogger("xpcnn")


class _Rates(Callback):
    """Base of those that set an optimizer's learning rate, which must be a number."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        for _, rule in with_own_rate(self.trainer.optimizer):
            if callable(rule.lr):
                message = (
                    f"{type(self).__name__}: expected an optimizer whose lr is a number, got the schedule {rule.lr!r}: "
                    "two cannot decide; give the optimizer a number, or leave this callback away"
                )
                raise ConfigError(message)

    def change(self, new: Callable[[float], float]) -> None:
        """Set the learning rate, that of every group by itself."""
        for _, rule in with_own_rate(self.trainer.optimizer):
            old = float(rule.lr)  # type: ignore[arg-type]  # no schedule
            rule.lr = number(self, "the learning rate", new(old), least=0)


@final
class ReduceLROnPlateau(_Rates):
    """
    Multiply the learning rate by `factor` when a figure no longer gets better; Keras' callback of that name.

    PyTorch's rule is :class:`xpcnn.optimizers.ReduceLROnPlateau`. Each group of parameters keeps its own rate.

    Parameters
    ----------
    monitor : str
        Name in the logs, such as ``"val_loss"``.
    factor : float, 0 to below 1
    patience : int, at least 0
        So many epochs in a row without a better figure; 0 is as 1, as in Keras.
    mode : {"auto", "min", "max"}
        Which way is better; "auto": more for names with ``accuracy`` and the like, less for others.
    min_delta : float, at least 0
        Smaller changes do not count as better.
    cooldown : int, at least 0
        Epochs after a reduction in which nothing is counted.
    min_lr : float, at least 0
        The learning rate is not reduced below.

    Raises
    ------
    ConfigError
        If a setting makes no sense; before the first step if the run has no figure of that name, or the optimizer's
        `lr` is a schedule.

    Examples
    --------
    >>> ReduceLROnPlateau("loss", patience=2).factor
    0.1
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        self._monitor = Monitor(self, monitor, mode, min_delta)
        self.factor = number(self, "factor", factor, least=0, below=1)
        self.patience = count(self, "patience", patience, least=0)
        self.cooldown = count(self, "cooldown", cooldown, least=0)
        self.min_lr = number(self, "min_lr", min_lr, least=0)
        self._waited = self._cooling = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self._monitor.expect(self.params["metrics"])
        self._monitor.reset()
        self._waited = self._cooling = 0

    def state_dict(self) -> dict[str, Any]:
        return {"monitor": self._monitor.state(), "waited": self._waited, "cooling": self._cooling}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        best = self._monitor.found(state["monitor"])
        waited, cooling = (count(self, name, state[name], least=0) for name in ("waited", "cooling"))
        self._monitor.reset()
        self._waited, self._cooling = 0, cooling
        if best is not None:
            self._monitor.best, self._waited = best, waited

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._cooling > 0:
            self._cooling -= 1
            self._waited = 0
        if self._monitor.better(float((logs or {})[self._monitor.name])):
            self._waited = 0
        elif self._cooling == 0:
            self._waited += 1
            if self._waited >= self.patience:
                self.change(lambda lr: max(lr * self.factor, min(lr, self.min_lr)))
                log.info("ReduceLROnPlateau: after epoch %d lr %g", epoch + 1, self.trainer.optimizer.current_lr())
                self._cooling, self._waited = self.cooldown, 0


@final
class LearningRateScheduler(_Rates):
    """
    Set the learning rate at the beginning of each epoch; Keras' callback of that name.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, lr)`` gives the new rate from the number of the epoch, from 0, and the rate of the epoch
        before: a finite number of at least 0. Called for each group of parameters, with its own rate.

    Raises
    ------
    ConfigError
        If it is no function of two arguments; before the first step if the optimizer's `lr` is a schedule; if it gives
        no rate.

    Examples
    --------
    >>> callback = LearningRateScheduler(lambda epoch, lr: lr if epoch < 10 else lr * 0.9)
    """

    def __init__(self, schedule: Callable[[int, float], float]) -> None:
        if not callable(schedule) or isinstance(schedule, type):
            message = f"LearningRateScheduler: expected a function (epoch, lr) -> lr, got {schedule!r}"
            raise ConfigError(message)
        if not _takes_two(schedule):
            message = f"LearningRateScheduler: expected a function of two arguments (epoch, lr), got {schedule!r}"
            raise ConfigError(message)
        self.schedule = schedule

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if getattr(self.trainer, "inside_epoch", False):
            return  # its rate was set when it began
        self.change(lambda lr: self.schedule(epoch, lr))


def _takes_two(function: Callable[..., object]) -> bool:
    """Whether a function can be called with two arguments, as far as that can be told."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some that are written in C do not say
        return True
    try:
        signature.bind(0, 0.1)
    except TypeError:
        return False
    return True
