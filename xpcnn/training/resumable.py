"""What a trainer has to do with checkpoints: saving, going on, and where its run stands."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from xpcnn.errors import CheckpointError

from . import checkpoint
from .facts import collected
from .numbered import older

if TYPE_CHECKING:
    from .checkpoint import Checkpoint
    from .run import Run
    from .trainer import Trainer

__all__ = ["Resumable"]

log = logging.getLogger("xpcnn")


class Resumable:
    """Base of `Trainer`: its side of checkpoints."""

    on_nonfinite: str
    _run: Run | None  # the call of `fit` that goes on, or the last one
    _saved: Checkpoint | None  # from which the next call goes on

    # Of the call of `fit` that goes on, or of the last one; what callbacks may ask.

    @property
    def steps(self) -> int:
        """Batches that are done, in the runs that this one goes on from, too."""
        return 0 if self._run is None else self._run.steps

    @property
    def resumed_from(self) -> Path | None:
        """The checkpoint that the run goes on from."""
        return None if self._run is None else self._run.resumed_from

    @property
    def resuming(self) -> bool:
        """Whether the run goes on from a checkpoint."""
        return self.resumed_from is not None

    @property
    def rehearsing(self) -> bool:
        """Whether it is a dry run."""
        return self._run is not None and self._run.rehearsing

    @property
    def inside_epoch(self) -> bool:
        """Whether `on_epoch_begin` comes again, for an epoch that is entered in its middle."""
        return self._run is not None and self._run.inside_epoch

    @property
    def watching(self) -> bool:
        """Whether a loss that is no number is an error."""
        return self.on_nonfinite == "raise" and (self._run is None or self._run.watches)

    @property
    def paused(self) -> bool:
        """Whether the run ends for now only: set by who sets ``model.stop_training``, so that it can be resumed."""
        return self._run is not None and self._run.paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        if self._run is not None:
            self._run.paused = paused

    def save(self, path: str | Path) -> None:
        """
        Write a checkpoint: all that is needed to go on from here with the same bits.

        That is model, optimizer, averages, loss scale, figures, and where in which epoch the run is; not the data. It
        is a model file, too. By hand between steps, or from `Callback.on_checkpoint`; `ModelCheckpoint` does that.

        Parameters
        ----------
        path : str or Path
            The file is replaced as a whole: after a crash the old one is there or the new one.

        Raises
        ------
        CheckpointError
            If it cannot be written, or the model holds layers that are not registered.
        TrainingDiverged
            If a weight, or a number that the optimizer keeps, is NaN or infinite. What was there stays.

        Examples
        --------
        >>> import numpy as np, tempfile
        >>> from xpcnn import Linear, Sequential, Trainer
        >>> x, y, folder = np.eye(2, dtype="float32"), np.asarray([0, 1]), tempfile.mkdtemp()
        >>> trainer = Trainer(Sequential(Linear(2, 2)))
        >>> _ = trainer.step(x, y)
        >>> trainer.save(f"{folder}/run.safetensors")
        >>> other = Trainer(Sequential(Linear(2, 2)))
        >>> other.resume(f"{folder}/run.safetensors")
        >>> bool(trainer.step(x, y) == other.step(x, y))
        True
        """
        checkpoint.write(checkpoint.as_path("Trainer.save", path), cast("Trainer", self))

    def resume(self, path: str | Path, allow_different: Sequence[str] = ()) -> None:
        """
        Put model and optimizer to where a checkpoint stands; the next :meth:`fit` goes on from there, exactly.

        So what is done to model and optimizer between the two is undone by :meth:`fit`.

        Parameters
        ----------
        path : str or Path
            A file; or a folder, of which the newest checkpoint is taken. One without any begins at the beginning.
        allow_different : sequence of str
            What may differ from the run that was saved, such as ``["optimizer", "batch_size"]``: else it is an error,
            because the run would not go on as it was. A begun epoch begins again where its batches would differ.

        Raises
        ------
        CheckpointError
            If the file is missing, damaged or of another run, whose differences are listed; nothing is changed.
        ConfigError
        """
        saved = self._found(path, allow_different)
        if saved is not None:
            saved.expect(cast("Trainer", self), None)
            saved.restore_trainer(cast("Trainer", self))
            self._run = None
        self._saved = saved

    def expect_savable(self) -> None:
        """
        Raise what :meth:`save` would raise for the model's sake, before any training.

        Raises
        ------
        CheckpointError
            If the model holds layers that are not registered.
        """
        collected(cast("Trainer", self), None)

    def _found(self, path: str | Path, allow_different: Sequence[str]) -> Checkpoint | None:
        """The checkpoint of a file or folder; None where a folder has none."""
        place = checkpoint.as_path("resume", path)
        if place.is_dir() or not (place.exists() or place.suffix == checkpoint.SUFFIX):
            newest = checkpoint.newest(place)
            if newest is None:
                level = logging.INFO if place.is_dir() else logging.WARNING
                log.log(level, "resume: no checkpoint in %s: beginning at the beginning", place)
                return None
            place = newest
        try:
            found = checkpoint.read(place)
        except CheckpointError as error:
            before = older(place)
            if before is None:
                raise
            message = f"{error}; the one before it is {before}"
            raise CheckpointError(message) from error
        found.allow(allow_different)
        return found
