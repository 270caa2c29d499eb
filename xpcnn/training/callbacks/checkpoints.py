"""Checkpoints while a run goes."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from xpcnn import atomic
from xpcnn.errors import CheckpointError, ConfigError, TrainingDiverged
from xpcnn.settings import count, flag, number
from xpcnn.training.numbered import BEST, abandon, name, numbered
from xpcnn.training.numbered import number as number_of

from .base import Callback, Logs
from .monitor import Monitor

__all__ = ["ModelCheckpoint"]

log = logging.getLogger("xpcnn")


@final
class ModelCheckpoint(Callback):
    """
    Save the run into a folder, so that it can go on from there with the same bits: ``fit(..., resume=folder)``.

    The files are ``step-00001200.safetensors``, by the number of batches that are done, and ``best.safetensors``. Each
    holds the whole state (see `Trainer.save`) and is a model file, too: :func:`xpcnn.load` reads the model from it.
    A file is there as a whole or not at all, and an older one goes only when the next one is safe on the disk. Files of
    other names are never touched; but what killed processes left half written is removed when training begins.

    A run that goes on from an older file than the newest one renames those behind it, when it first saves, to
    ``step-....safetensors.abandoned``, which nothing goes on from; remove them when you like.

    Besides what is asked for, a run is saved when it ends: after its last epoch, and when Ctrl-C or SIGTERM end it;
    where nothing is asked for, ``every_epochs=None``, in the second case only.

    Parameters
    ----------
    folder : str or Path
        Made where it is not there. It holds the checkpoints of one run: one that holds some already is refused, unless
        the run goes on from a file in it.
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
        If a setting makes no sense; before the first step if the run has no figure of that name, or another callback
        writes to the same folder.
    CheckpointError
        Before the first step, if the folder cannot be written to, or holds the checkpoints of another run.
    TrainingDiverged
        When it is to save weights that are not finite: nothing is written. Where losses are not watched
        (``on_nonfinite="ignore"``, or a `TerminateOnNaN`) a warning is logged instead, and the run goes on.

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
        self._made = self._warned = False
        self._from: int | None = None  # batches that were done when this call began, None before the first one

    def writes_to(self) -> Path:
        return self.folder

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()
        names = self.params["metrics"]
        figure = self.monitor or ("val_loss" if "val_loss" in names else "loss")
        self._monitor = Monitor(self, figure, self.mode, 0.0)
        self._monitor.expect(names)
        self._written = self._expect_own()
        self.trainer.expect_savable()
        self._made = atomic.make_folder(self.folder)
        atomic.sweep(self.folder)  # a step at which a run was killed may be saved no more
        atomic.probe(self.folder / BEST)

    def _expect_own(self) -> list[Path]:
        """The numbered files that are there; raises where they are not of the run that goes on."""
        if getattr(self.trainer, "rehearsing", False):
            return []  # nothing will be written
        there = numbered(self.folder)
        best = self.folder / BEST
        trainer = self.trainer
        source = getattr(trainer, "resumed_from", None)
        own = trainer.resuming and (source is None or source.resolve().parent == self.folder.resolve())
        if own or not (there or best.exists()):
            return there
        run = f"another run than {source}" if trainer.resuming else "an earlier run"
        mend = "go on with it, fit(..., resume=folder), or choose another folder"
        got = f"{there[-1] if there else best} of {run}"
        message = f"ModelCheckpoint: expected a folder without checkpoints, got {got}: {mend}"
        raise CheckpointError(message)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        if self._from is None:
            self._from = self.trainer.steps

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._ended = epoch + 1
        self._is_best = self._monitor.better(float((logs or {})[self._monitor.name])) and self.best

    def on_checkpoint(self, ending: str = "") -> None:
        ended, self._ended = self._ended, 0
        steps = self.trainer.steps
        # a run that has gone on from a checkpoint would else be gone on with again
        asked = self.every_epochs or self.every_steps or self.every_minutes or self.trainer.resuming
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
            self._save(name(steps))

    def state_dict(self) -> dict[str, Any]:
        return {"monitor": self._monitor.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        best = self._monitor.found(state["monitor"])
        self._monitor.reset()
        if best is not None:
            self._monitor.best = best

    def close(self) -> None:
        """Take the folder away if it was made here and nothing was saved."""
        if self._made:
            with suppress(OSError):
                self.folder.rmdir()

    def _save(self, file: str) -> None:
        path = self.folder / file
        self._abandon()
        try:
            self.trainer.save(path)
        except TrainingDiverged as error:
            if getattr(self.trainer, "watching", True):
                raise
            if not self._warned:
                self._warned = True
                log.warning("ModelCheckpoint: %s; the run goes on, and the last good checkpoint stays", error)
            return
        self.last = path
        if file == BEST:
            return
        self._written = [*(one for one in self._written if one != path), path]
        while len(self._written) > self.keep:
            old = self._written.pop(0)
            old.unlink(missing_ok=True)
        log.debug("ModelCheckpoint: wrote %s", path)

    def _abandon(self) -> None:
        """Rename what lies behind the place that the run went on from: of the same run, but no longer its past."""
        start = self.trainer.steps if self._from is None else self._from  # None: only a validation was left
        behind = [path for path in self._written if (number_of(path) or 0) > start]
        if self.last is not None or not self.trainer.resuming or not behind:
            return
        for path in behind:
            with suppress(FileNotFoundError):  # another process goes on from there, too
                called = abandon(path).name
                log.warning("ModelCheckpoint: the run went back from %s, which is %s from now on", path, called)
        self._written = [path for path in self._written if path not in behind]
