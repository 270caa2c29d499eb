"""Callbacks: what else happens in a training run, with Keras' method names and arguments."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from xpcnn.errors import ConfigError
from xpcnn.models import Model

if TYPE_CHECKING:
    from xpcnn.training.trainer import Trainer

__all__ = ["Callback", "CallbackList", "as_list"]

Logs = dict[str, Any]


class Callback:
    """
    Base of callbacks; each method does nothing until you define it.

    Attributes
    ----------
    model : Model
        The model that is trained. ``self.model.stop_training = True`` ends the run after the batch, or the epoch if
        that is over.
    trainer : Trainer
        Who trains it: ``self.trainer.optimizer``.
    params : dict
        ``epochs``, ``steps`` (in an epoch), ``samples`` and ``metrics`` (the names in the logs of an epoch).
    only_looks : bool
        Of the class: whether it changes neither model nor optimizer between two steps of an epoch, so that a captured
        graph need not ask at each step whether it still holds.

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
    trainer: Trainer
    params: dict[str, Any]
    only_looks: ClassVar[bool] = False

    def set_trainer(self, trainer: Trainer) -> None:
        """Called once before training."""
        self.trainer = trainer

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

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before a validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After a validation; `logs` are its figures."""

    def on_checkpoint(self, ending: str = "") -> None:
        """
        After a step, and after an epoch, when all callbacks have heard of it: what is saved now goes on from here.

        Parameters
        ----------
        ending : {"", "finished", "interrupted"}
            Whether the run ends here: after its last epoch, or because of Ctrl-C or SIGTERM.
        """

    def state_dict(self) -> dict[str, Any]:
        """
        What this one has come to in the run, for a checkpoint: dicts, lists, arrays, numbers, texts, None.

        An empty dict, which is the default, where there is nothing to go on from.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        Go on from a state; called after `on_train_begin`, and within an epoch after its `on_epoch_begin`.

        A file may hold anything. KeyError, TypeError, ValueError and xpcnn's own errors, raised before anything is
        changed, become one `CheckpointError`. Whether the run ends is no part of the state: that is kept with the run.
        """

    def close(self) -> None:
        """Once after the run, also after one that failed."""

    def writes_to(self) -> Path | None:
        """The file or folder that is this one's alone: two callbacks of a run must not have the same."""
        return None


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

    def __init__(self, callbacks: Sequence[Callback], trainer: Trainer, params: dict[str, Any]) -> None:
        for callback in callbacks:
            if not hasattr(callback, "on_epoch_end") or isinstance(callback, type):
                message = f"callbacks: expected objects with the methods of Callback, got {callback!r}"
                raise ConfigError(message)
            callback.set_model(trainer.model)
            callback.set_params(params)
            if hasattr(callback, "set_trainer"):
                callback.set_trainer(trainer)
        self.callbacks = tuple(callbacks)
        self._expect_own_places()

    def listens_to_steps(self) -> bool:
        """Whether somebody may change something between two steps; who only looks does not."""
        events = "on_train_batch_begin", "on_train_batch_end", "on_checkpoint"
        kinds = [type(one) for one in self.callbacks if not getattr(one, "only_looks", False)]
        return any(getattr(kind, name, None) is not getattr(Callback, name) for kind in kinds for name in events)

    def _expect_own_places(self) -> None:
        places = [(type(one).__name__, getattr(one, "writes_to", _nothing)()) for one in self.callbacks]
        taken: dict[str, str] = {}
        for who, place in places:
            real = None if place is None else _real(place)
            if real in taken:
                message = f"callbacks: expected one that writes to {place}, got {taken[real]} and {who}: "
                message += "give each a place of its own"
                raise ConfigError(message)
            if real is not None:
                taken[real] = who

    def __call__(self, event: str, *args: Any) -> None:
        """Call the method `event` of each; what is no `Callback`, and was made for Keras, may lack some."""
        for callback in self.callbacks:
            getattr(callback, event, _nothing)(*args)

    def close(self) -> list[Exception]:
        """Close all of them, also where some fail; what those raised."""
        errors = []
        for callback in self.callbacks:
            try:
                getattr(callback, "close", _nothing)()
            except Exception as error:
                errors.append(error)
        return errors


def _real(place: Path) -> str:
    """A path with its links followed, where that is possible; if not, others will say so."""
    try:
        return os.path.realpath(place)
    except (OSError, ValueError):
        return str(place)


def _nothing(*args: Any) -> None:
    pass
