"""
Checkpoints: everything that a run is between two steps, in one file, and the way back.

A checkpoint is a model file (:mod:`xpcnn.models.files`) with more arrays, whose names have a slash, and with more JSON:
where the run stands, what it follows from, and what the optimizer, the callbacks and the epoch's figures have come to.
Orders, augmentation and dropout are functions of seed, epoch and step, so nothing else is needed to go on with the same
bits.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpcnn.errors import CheckpointError, ConfigError, ShapeError, StateDictError, TrainingDiverged
from xpcnn.models import files, tensor_files
from xpcnn.models.freezing import frozen_names, set_frozen
from xpcnn.optimizers.base import with_own_rate
from xpcnn.optimizers.settings import Configured
from xpcnn.settings import number

from .divergence import is_finite
from .facts import BATCHES, FACTS, collected, differences, kind, stateful
from .numbered import BEST, SUFFIX, numbered
from .numbered import number as step_of
from .restore import restored_on_error
from .tree import pack, unpack

if TYPE_CHECKING:
    import numpy as np

    from .callbacks import Callback
    from .run import Run
    from .trainer import Trainer

__all__ = ["SUFFIX", "Checkpoint", "as_path", "newest", "read", "write"]

log = logging.getLogger("xpcnn")


class Checkpoint:
    """
    What a file holds.

    Parameters
    ----------
    path : Path
    arrays : dict of ndarrays
    header : dict

    Attributes
    ----------
    epoch, batch : int
        Where the run stands, see `Run`.
    """

    def __init__(self, path: Path, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> None:
        self.path, self.arrays, self.header = path, arrays, header
        training = header.get("training")
        if not isinstance(training, dict):
            message = f"{path}: expected a checkpoint of a training run, got a model's weights: xpcnn.load reads them"
            raise CheckpointError(message)
        self.training = training
        self.different: tuple[str, ...] = ()
        with self._damaged():
            self.epoch, self.batch = (_count(training[name]) for name in ("epoch", "batch"))
            self.facts = dict(training["facts"])
            versions = dict(training["versions"])
        for name, here in _versions().items():
            if versions.get(name) != here:
                there = versions.get(name)
                log.warning("resume: written with %s %s, here is %s: bits may differ", name, there, here)

    def allow(self, different: Sequence[str]) -> None:
        """
        Say what may differ in the run that goes on.

        Raises
        ------
        ConfigError
            If something is not compared, or must not differ.
        """
        known = [fact for fact in FACTS if fact != "model"]
        listed = isinstance(different, (list, tuple))
        for name in different if listed else [different]:
            if not listed or name not in known:
                message = f"resume: expected allow_different to be a list of {', '.join(known)}, got {name!r}"
                raise ConfigError(message)
        self.different = tuple(different)

    def expect(self, trainer: Trainer, run: Run | None) -> None:
        """
        Raise unless this is of the same run: model, data, settings; note that a begun epoch must begin again.

        Parameters
        ----------
        trainer : Trainer
        run : Run, optional
            The call of `fit`; without one only the trainer is compared.

        Raises
        ------
        CheckpointError
            Lists all that differs.
        """
        here = collected(trainer, run)
        lines = {name: list(differences(name, self.facts.get(name), here[name])) for name in here}
        names = [name for name in here if lines[name] and name not in self.different]
        if names:
            found = [line for name in names for line in lines[name]]
            mend = "take the same model" if "model" in names else f"give what it was, or allow_different={names}"
            text = "; ".join(found[:8]) + (f"; and {len(found) - 8} more" if len(found) > 8 else "")
            message = f"{self.path}: expected the checkpoint of this run, got one of another ({text}): {mend}"
            error = CheckpointError(message)
            error.different = names
            raise error
        if self.batch and any(lines.get(name) for name in BATCHES):
            log.warning("resume: epoch %d begins again, since its batches or its figures differ", self.epoch + 1)
            self.batch = 0
        if run is not None and self.batch > run.plan.params()["steps"]:
            message = f"{self.path}: expected at most {run.plan.params()['steps']} batches, got {self.batch}"
            raise CheckpointError(message)

    def restore_trainer(self, trainer: Trainer) -> None:
        """
        Give model, optimizer and loss scale what they had; all of it, or nothing.

        Raises
        ------
        CheckpointError
            If something does not fit.
        """
        with self._all_or_nothing(trainer):
            self._restore_trainer(trainer)

    def restore(self, run: Run) -> None:
        """
        Let a run stand where this one stood.

        Raises
        ------
        CheckpointError
            If something does not fit.
        """
        trainer = run.trainer
        with self._all_or_nothing(trainer):
            self._restore_trainer(trainer)
            run.epoch, run.batch, run.steps = self.epoch, self.batch, _count(self.training["steps"])
            self._restore_history(run)
            if self.batch:
                self._restore_tally(run)
            run.over = trainer.model.stop_training = self.training["stopped"] is True
            states = [(one["name"], unpack(one["state"], self.arrays)) for one in self.training["callbacks"]]
            for callback in stateful(run):  # each the next one of its class
                name = type(callback).__name__
                found = next((i for i, (other, _) in enumerate(states) if other == name), None)
                if found is not None:
                    callback.load_state_dict(states.pop(found)[1])

    def _restore_trainer(self, trainer: Trainer) -> None:
        model = trainer.model
        model.load_state_dict({name: a for name, a in self.arrays.items() if "/" not in name})
        model.step = _count(self.header["step"])
        _freeze(model, self.header.get("frozen", []))
        self._restore_optimizer(trainer)
        if trainer.loss_scale is not None and self.training["loss_scale"] is not None:
            self._load(trainer.loss_scale, self.training["loss_scale"])

    def _restore_history(self, run: Run) -> None:
        epochs, figures = (unpack(self.training["history"][name], self.arrays) for name in ("epoch", "history"))
        run.history.epoch = [_count(epoch) for epoch in epochs]
        nothing = [float("nan")] * len(epochs)  # of a metric that is new
        run.history.history = {
            name: _figures(figures.get(name, nothing), len(epochs)) for name in run.plan.names if epochs
        }

    def _restore_tally(self, run: Run) -> None:
        tally, home = self.training["tally"], run.trainer.model.home
        sums, numbers = (dict(unpack(tally[name], self.arrays)) for name in ("sums", "numbers"))
        known = {"loss", "total", "counted", "right", "confusion", *run.plan.metrics}
        if not {*sums, *numbers} <= known:
            message = f"expected sums of {sorted(known)}, got {sorted({*sums, *numbers})}"
            raise ValueError(message)
        run.tally.sums = {name: home.asarray(a.copy()) for name, a in sums.items()}
        run.tally.numbers = {name: number("tally", name, n) for name, n in numbers.items()}

    def _restore_optimizer(self, trainer: Trainer) -> None:
        """State and rates; where other settings are allowed, those that were given now count."""
        optimizer, state, there = trainer.optimizer, self.training["optimizer"], self.facts["optimizer"]
        changed = there != collected(trainer, None)["optimizer"]
        if changed and kind(there) != kind(collected(trainer, None)["optimizer"]):
            log.warning("resume: another kind of optimizer begins without a past")
            return
        counts = unpack(state["counts"], {})
        if changed:
            counts = {name: counts.get(name, count) for name, count in optimizer.counts().items()}
        optimizer.load_slots(unpack(state["slots"], self.arrays), counts)
        rules = dict(with_own_rate(optimizer))
        for path, rate in {} if changed else state["rates"].items():
            rules[path].lr = number("resume", "lr", rate, least=0)

    def _load(self, one: Configured, state: dict[str, Any]) -> None:
        one.load_slots(unpack(state["slots"], self.arrays), unpack(state["counts"], {}))

    @contextmanager
    def _all_or_nothing(self, trainer: Trainer) -> Iterator[None]:
        """Where something goes wrong inside, model, optimizer and loss scale are what they were."""
        frozen = frozen_names(trainer.model)
        try:
            with restored_on_error(trainer.model, trainer.optimizer, trainer.loss_scale), self._damaged():
                yield
        except BaseException:
            _freeze(trainer.model, frozen)
            raise

    @contextmanager
    def _damaged(self) -> Iterator[None]:
        """What goes wrong inside is the file's fault."""
        try:
            yield
        except CheckpointError as error:
            message = f"{self.path}: {error}" if str(self.path) not in str(error) else str(error)
            raise CheckpointError(message) from error
        except (
            StateDictError, ConfigError, ShapeError, LookupError, TypeError, ValueError, AttributeError, OSError,
            RecursionError,
        ) as error:  # fmt: skip
            message = f"{self.path}: the state of the run does not fit ({type(error).__name__}: {error})"
            raise CheckpointError(message) from error


def as_path(who: str, path: object) -> Path:
    """A path; ConfigError for what is none."""
    if isinstance(path, (str, Path)) and str(path):
        return Path(path)
    message = f"{who}: expected a path, got {path!r}"
    raise ConfigError(message)


def write(path: Path, trainer: Trainer) -> None:
    """
    Write what a trainer, and its call of `fit`, are now.

    Raises
    ------
    TrainingDiverged
        If a weight, or a number that the optimizer keeps, is NaN or infinite: nothing is written.
    CheckpointError
        If it cannot be written, or the model holds layers that are not registered.
    """
    arrays, header = files.contents(trainer.model)
    training = {
        **_position(trainer, arrays),
        "optimizer": {
            **_state(trainer.optimizer, "optimizer", arrays),
            "rates": {place: float(one.lr) for place, one in with_own_rate(trainer.optimizer) if not callable(one.lr)},
        },
        "loss_scale": None if trainer.loss_scale is None else _state(trainer.loss_scale, "loss_scale", arrays),
        "versions": _versions(),
    }
    bad = [name for name, a in arrays.items() if a.ndim and not name.startswith("history/") and not is_finite(a)]
    if bad:
        message = f"training diverged: {bad[0]!r} is not finite after {trainer.model.step} steps"
        message += f"{f' ({len(bad)} arrays are not)' if len(bad) > 1 else ''}; no checkpoint was written to {path}"
        raise TrainingDiverged(message)
    tensor_files.write_tensors(path, arrays, {**header, "training": training})


def _position(trainer: Trainer, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Where a run stands, its figures and callbacks; of a trainer that has resumed and not begun, what was resumed."""
    run, saved = trainer._run, trainer._saved
    if saved is not None:
        kept = ("tally/", "history/", "callbacks/")
        arrays.update({name: a for name, a in saved.arrays.items() if name.startswith(kept)})
        return saved.training
    nothing: dict[str, Any] = {"sums": {}, "numbers": {}}
    found: dict[str, Any] = {
        "facts": collected(trainer, run), "epoch": 0, "batch": 0, "steps": 0, "stopped": False,
        "history": {"epoch": [], "history": {}}, "tally": nothing, "callbacks": [],
    }  # fmt: skip
    if run is None:
        return found
    return {
        **found,
        "epoch": run.epoch,
        "batch": run.batch,
        "steps": run.steps,
        "stopped": run.stopped,
        "history": pack({"epoch": run.history.epoch, "history": run.history.history}, "history", arrays),
        "tally": pack({name: getattr(run.tally, name) for name in nothing}, "tally", arrays) if run.batch else nothing,
        "callbacks": [
            {"name": type(callback).__name__, "state": _callback_state(i, callback, arrays)}
            for i, callback in enumerate(stateful(run))
        ],
    }


def _callback_state(i: int, callback: Callback, arrays: dict[str, np.ndarray]) -> Any:
    who, state = type(callback).__name__, callback.state_dict()
    if not isinstance(state, dict):
        message = f"{who}.state_dict: expected a dict, got {type(state).__name__}"
        raise ConfigError(message)
    return pack(state, f"callbacks/{i}-{who}", arrays)


def _state(one: Configured, name: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {"slots": pack(one.slots(), name, arrays), "counts": pack(one.counts(), name, arrays)}


def read(path: Path) -> Checkpoint:
    """
    A checkpoint, checked as far as that goes without the run that it is of.

    Raises
    ------
    CheckpointError
    """
    return Checkpoint(path, *tensor_files.read_tensors(path))


def newest(folder: Path) -> Path | None:
    """
    The checkpoint of the most steps in a folder, or in its folder ``checkpoints``; None where there is none.

    It goes by the names that `ModelCheckpoint` gives. Where nothing has a number, it is that of the best epoch: a run
    may have been killed before its first numbered one.

    Raises
    ------
    CheckpointError
        If a folder cannot be read.
    """
    places = folder, folder / "checkpoints"
    found = [(step_of(path) or 0, path) for place in places for path in numbered(place)]
    if found:
        return max(found)[1]
    best = next((place / BEST for place in places if (place / BEST).is_file()), None)
    if best is not None:
        log.info("resume: no numbered checkpoint in %s: going on from %s", folder, best)
    return best


def _versions() -> dict[str, str]:
    # of the modules themselves: what is written about them on the disk may be gone, or not for everybody to read
    return {name: sys.modules[name].__version__ for name in ("xpcnn", "numpy")}


def _freeze(model: Any, names: Sequence[str]) -> None:
    """Freeze these, and no others."""
    set_frozen(model, (), frozen=False)
    if names:
        set_frozen(model, names, frozen=True)


def _figures(values: Any, epochs: int) -> list[float]:
    if not isinstance(values, list) or len(values) != epochs:
        message = f"expected {epochs} figures, one an epoch, got {values!r}"
        raise ValueError(message)
    return [float(value) for value in values]


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        message = f"expected a count, got {value!r}"
        raise ValueError(message)
    return value
