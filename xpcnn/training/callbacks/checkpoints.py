"""Checkpoints while a run goes."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from xpcnn import atomic
from xpcnn.errors import CheckpointError, ConfigError
from xpcnn.settings import count, flag, number

from .base import Callback, Logs
from .monitor import Monitor

__all__ = ["ModelCheckpoint"]

log = logging.getLogger("xpcnn")

SUFFIX = ".safetensors"
BEST = f"best{SUFFIX}"


@final
class ModelCheckpoint(Callback):
    """
    Save the run into a folder, so that it can go on from there with the same bits: ``fit(..., resume=folder)``.

    The files are ``step-00001200.safetensors``, by the number of batches that are done, and ``best.safetensors``. Each
    holds the whole state (see `Trainer.save`) and is a model file, too: :func:`xpcnn.load` reads the model from it.
    A file is there as a whole or not at all, and an older one goes only when the next one is safe on the disk.

    Besides what is asked for, a run is saved when it ends: after its last epoch, and when Ctrl-C or SIGTERM end it;
    where nothing is asked for, ``every_epochs=None``, in the second case only.

    Parameters
    ----------
    folder : str or Path
        Made where it is not there. It holds the checkpoints of one run: a new run refuses one that holds some already.
    every_epochs, every_steps : int, optional
        Save after so many epochs, or batches.
    every_minutes : float, optional
        Save after a batch when so much time has gone by since the last time.
    keep : int, at least 1
        So many of the numbered files stay, the newest.
    monitor : str, optional
        Name in the logs, such as ``"val_loss"``, by which the best epoch is known. Default: ``"val_loss"``, or
        ``"loss"`` without validation; see `best`.
    mode : {"auto", "min", "max"}
        Which way is better; "auto": more for names with ``accuracy`` and the like, less for others.
    best : bool
        Whether the best epoch is kept, in a file of its own.

    Attributes
    ----------
    last : Path or None
        The newest file of this run.

    Raises
    ------
    ConfigError
        If a setting makes no sense; before the first step if the run has no figure of that name.
    CheckpointError
        Before the first step, if the folder cannot be written to, or holds the checkpoints of another run.

    Notes
    -----
    Writing waits for the device and for the disk.

    Examples
    --------
    >>> ModelCheckpoint("checkpoints", every_minutes=10).keep
    1
    """

    only_looks = True

    def __init__(
        self,
        folder: str | Path,
        *,
        every_epochs: int | None = 1,
        every_steps: int | None = None,
        every_minutes: float | None = None,
        keep: int = 1,
        monitor: str | None = None,
        mode: str = "auto",
        best: bool = True,
    ) -> None:
        if not isinstance(folder, (str, Path)) or not str(folder):
            message = f"ModelCheckpoint: expected folder to be a path, got {folder!r}"
            raise ConfigError(message)
        self.folder = Path(folder)
        self.every_epochs = None if every_epochs is None else count(self, "every_epochs", every_epochs)
        self.every_steps = None if every_steps is None else count(self, "every_steps", every_steps)
        self.every_minutes = None if every_minutes is None else number(self, "every_minutes", every_minutes, above=0)
        self.keep, self.best = count(self, "keep", keep), flag(self, "best", best)
        self.monitor, self.mode = monitor, mode
        self._monitor = Monitor(self, "loss" if monitor is None else monitor, mode, 0.0)
        self._reset()

    def _reset(self) -> None:
        self.last: Path | None = None
        self._written: list[Path] = []  # numbered ones, the oldest first
        self._saved_at, self._is_best, self._ended = time.monotonic(), False, 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()
        names = self.params["metrics"]
        name = self.monitor or ("val_loss" if "val_loss" in names else "loss")
        self._monitor = Monitor(self, name, self.mode, 0.0)
        self._monitor.expect(names)
        there = sorted(self.folder.glob(f"step-*{SUFFIX}"))
        if there and not self.trainer.resuming:
            mend = "go on with it, fit(..., resume=folder), or choose another folder"
            got = f"{there[-1]} of an earlier run"
            message = f"ModelCheckpoint: expected a folder without checkpoints, got {got}: {mend}"
            raise CheckpointError(message)
        self._written = there
        self.trainer.expect_savable()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"{self.folder}: no folder can be made there ({error.strerror or error}): choose another one"
            raise CheckpointError(message) from error
        atomic.sweep(self.folder)  # a step at which a run was killed may be saved no more
        atomic.probe(self.folder / BEST)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._ended = epoch + 1
        self._is_best = self._monitor.better(float((logs or {})[self._monitor.name])) and self.best

    def on_checkpoint(self, ending: str = "") -> None:
        ended, self._ended = self._ended, 0
        steps = self.trainer.steps
        asked = self.every_epochs or self.every_steps or self.every_minutes
        due = ending == "interrupted" or bool(ending and asked)
        due = due or bool(ended and self.every_epochs and ended % self.every_epochs == 0)
        due = due or bool(not ended and self.every_steps and steps % self.every_steps == 0)
        now = time.monotonic()
        due = due or (self.every_minutes is not None and now >= self._saved_at + 60.0 * self.every_minutes)
        if self._is_best:
            self._is_best = False
            self._save(BEST)
        if due:
            self._saved_at = now
            self._save(f"step-{steps:08d}{SUFFIX}")

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._monitor.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._monitor.best = float(state["best"])

    def close(self) -> None:
        """Take the folder away if nothing was saved."""
        with suppress(OSError):
            self.folder.rmdir()

    def _save(self, name: str) -> None:
        path = self.folder / name
        self.trainer.save(path)
        self.last = path
        if name == BEST:
            return
        self._written = [*(one for one in self._written if one != path), path]
        while len(self._written) > self.keep:
            old = self._written.pop(0)
            old.unlink(missing_ok=True)
        log.debug("ModelCheckpoint: wrote %s", path)
