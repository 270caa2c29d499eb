"""Callbacks: what else happens in a training run, with Keras' method names and arguments."""

import csv
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO, final

from xpcnn.backend import Array, to_numpy
from xpcnn.errors import ConfigError
from xpcnn.models import Model
from xpcnn.settings import count, flag, like, number

__all__ = ["CSVLogger", "Callback", "CallbackList", "EarlyStopping", "ProgressBar"]

Logs = dict[str, Any]


class Callback:
    """
    Base of callbacks; each method does nothing until you define it.

    Attributes
    ----------
    model : Model
        The model that is trained. ``self.model.stop_training = True`` ends the run after the epoch.
    params : dict
        ``epochs``, ``steps`` (in an epoch), ``samples`` and ``metrics`` (the names in the logs of an epoch).

    Notes
    -----
    In the logs of a batch, ``loss`` is an array on the device: ``float(...)`` of it waits for the device. The logs of
    an epoch are floats.

    Examples
    --------
    >>> class StopWhenGood(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.model.stop_training = logs["accuracy"] > 0.99
    >>> callable(StopWhenGood().on_train_begin)
    True
    """

    model: Model
    params: dict[str, Any]

    def set_model(self, model: Model) -> None:
        """Called once before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called once before training."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch; `logs` are that epoch's."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a step, counted from 0 in each epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a step."""


def as_list(callbacks: Sequence[Callback] | None) -> list[Callback]:
    """
    The callbacks that were given; None is none.

    Raises
    ------
    ConfigError
        If it is no sequence.
    """
    if callbacks is None:
        return []
    if not isinstance(callbacks, (list, tuple)):
        message = f"callbacks: expected a list, got {callbacks!r}: put it into a list"
        raise ConfigError(message)
    return list(callbacks)


class CallbackList:
    """Several callbacks, called in their order."""

    def __init__(self, callbacks: Sequence[Callback], model: Model, params: dict[str, Any]) -> None:
        for callback in callbacks:
            if not hasattr(callback, "on_epoch_end") or isinstance(callback, type):
                message = f"callbacks: expected objects with the methods of Callback, got {callback!r}"
                raise ConfigError(message)
            callback.set_model(model)
            callback.set_params(params)
        self.callbacks = tuple(callbacks)

    def __call__(self, event: str, *args: Any) -> None:
        """Call the method `event` of each."""
        for callback in self.callbacks:
            getattr(callback, event)(*args)


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
        Which way is better; "auto": more for names with ``accuracy``, less for others.
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
        if not isinstance(mode, str) or mode not in ("auto", "min", "max"):
            message = f"EarlyStopping: expected mode to be 'auto', 'min' or 'max', got {mode!r}"
            raise ConfigError(message)
        if not isinstance(monitor, str):
            message = f"EarlyStopping: expected monitor to be a name such as 'val_loss', got {monitor!r}"
            raise ConfigError(message)
        self.monitor = monitor
        self.min_delta = number(self, "min_delta", min_delta, least=0)
        self.patience = count(self, "patience", patience, least=0)
        self.sign = -1.0 if mode == "max" or (mode == "auto" and "acc" in monitor) else 1.0
        self.restore_best_weights = flag(self, "restore_best_weights", restore_best_weights)
        self._reset()

    def _reset(self) -> None:
        self.best = self.sign * math.inf
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._waited = 0
        self._weights: dict[str, Array] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()
        if self.monitor not in self.params["metrics"]:
            names = self.params["metrics"]
            message = f"EarlyStopping: expected monitor to be one of {', '.join(names)}, got {self.monitor!r}"
            if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in names):
                message += ": pass validation_data"
            else:
                message += like(self.monitor, names)
            raise ConfigError(message)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = float((logs or {})[self.monitor])
        if self.sign * value < self.sign * self.best - self.min_delta:
            self.best, self.best_epoch, self._waited = value, epoch, 0
            if self.restore_best_weights:
                self._weights = self.model.state_dict()
            return
        self._waited += 1
        if self._waited >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._weights is not None:
            self.model.load_state_dict(self._weights)
            self._weights = None


@final
class CSVLogger(Callback):
    """
    Write the figures of each epoch as a line of a CSV file, at once.

    Parameters
    ----------
    filename : str or Path
    separator : str, one character
    append : bool
        Continue an existing file instead of replacing it.

    Raises
    ------
    ConfigError
        If a setting makes no sense; before the first step, if the file cannot be written.

    Examples
    --------
    >>> CSVLogger("history.csv").separator
    ','
    """

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        if not isinstance(filename, (str, Path)):
            message = f"CSVLogger: expected filename to be a path, got {filename!r}"
            raise ConfigError(message)
        if not isinstance(separator, str) or len(separator) != 1:
            message = f"CSVLogger: expected separator to be one character, got {separator!r}"
            raise ConfigError(message)
        self.filename, self.separator, self.append = Path(filename), separator, flag(self, "append", append)
        self._columns: list[str] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._columns = ["epoch", *self.params["metrics"]]
        try:
            fresh = not (self.append and self.filename.exists() and self.filename.stat().st_size)
            if fresh:
                self._write(self._columns, "w")
            else:
                self.filename.open("a").close()
        except OSError as error:
            message = f"CSVLogger: {self.filename} cannot be written ({error.strerror or error})"
            raise ConfigError(message) from error

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        figures = {"epoch": epoch, **(logs or {})}
        self._write([figures.get(name, "") for name in self._columns], "a")

    def _write(self, row: list[Any], mode: str) -> None:
        with self.filename.open(mode, newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=self.separator, lineterminator="\n").writerow(row)


@final
class ProgressBar(Callback):
    """
    Say how the run goes: a bar on a terminal, and one line for each finished epoch.

    Parameters
    ----------
    bar : bool
        Whether to draw a bar within the epoch.
    file : text stream, optional
        Where lines go; default: standard output. The bar goes to standard error.

    Examples
    --------
    >>> import numpy as np
    >>> from xpcnn import Linear, Sequential
    >>> model = Sequential(Linear(2, 2))
    >>> _ = model.fit(np.eye(2, dtype="float32"), np.asarray([0, 1]), verbose=0, callbacks=[ProgressBar()])
    ... # doctest: +ELLIPSIS
    epoch 1/1  ...s  loss ...  accuracy ...
    """

    READ_EVERY = 0.5  # seconds between two looks at the loss: each one waits for the device

    def __init__(self, bar: bool = False, file: TextIO | None = None) -> None:
        self.bar, self.file = bar, file
        self._tqdm: Any = None
        self._started = self._read = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._started = self._read = time.perf_counter()
        if self.bar:
            from tqdm import tqdm

            label = f"epoch {epoch + 1}/{self.params['epochs']}"
            self._tqdm = tqdm(total=self.params["steps"], desc=label, unit="batch", leave=False, file=sys.stderr)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._tqdm is None:
            return
        now = time.perf_counter()
        if now - self._read >= self.READ_EVERY and logs:
            self._read = now
            self._tqdm.set_postfix(loss=f"{float(to_numpy(logs['loss'])):.4f}", refresh=False)
        self._tqdm.update(1)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.close()
        seconds = time.perf_counter() - self._started
        figures = "".join(f"  {name} {value:.4f}" for name, value in (logs or {}).items())
        print(f"epoch {epoch + 1}/{self.params['epochs']}  {seconds:.1f}s{figures}", file=self.file, flush=True)

    def close(self) -> None:
        """Take the bar away, also after an error."""
        if self._tqdm is not None:
            self._tqdm.close()
            self._tqdm = None
