"""
Checkpoints: everything that a run is between two steps, in one file, and the way back.

A checkpoint is a model file (:mod:`xpcnn.models.files`) with more arrays, whose names have a slash, and with more JSON:
where the run stands, what it follows from, and what the optimizer, the callbacks and the epoch's figures have come to.
Orders, augmentation and dropout are functions of seed, epoch and step, so nothing else is needed to go on with the same
bits.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpcnn.errors import CheckpointError, ConfigError, StateDictError, TrainingDiverged
from xpcnn.models import files, tensor_files
from xpcnn.models.registry import describe
from xpcnn.optimizers import Rule
from xpcnn.optimizers.settings import Configured

from .divergence import is_finite
from .fingerprint import said
from .restore import restored_on_error
from .tree import pack, unpack

if TYPE_CHECKING:
    import numpy as np

    from .callbacks import Callback
    from .run import Run
    from .trainer import Trainer

__all__ = ["Checkpoint", "as_path", "facts", "newest", "read", "settings", "write"]

log = logging.getLogger("xpcnn")

SUFFIX = ".safetensors"
FACTS = (
    "model", "dtype", "seed", "loss", "penalty", "optimizer", "loss_scale", "data", "validation_data", "batch_size",
    "shuffle", "augment", "metrics", "callbacks",
)  # fmt: skip
BATCHES = "seed", "data", "batch_size", "shuffle"  # what the batches of an epoch follow from


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
        Raise unless this is of the same run: model, data, settings.

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
        there, here = self.training.get("facts"), facts(trainer, run)
        if not isinstance(there, dict):
            there = {}
        known = [name for name in FACTS if name in here and name in there]
        lines_of = {name: list(_differences(name, there[name], here[name])) for name in known}
        names = [name for name in known if lines_of[name] and name not in self.different]
        if self.batch and any(lines_of.get(name) for name in BATCHES):
            log.warning("resume: epoch %d begins again, since its batches differ", self.epoch + 1)
            self.batch = 0
        found = [line for name in names for line in lines_of[name]]
        if found:
            mend = "take the same model" if "model" in names else f"give what it was, or allow_different={names}"
            lines = "; ".join(found[:8]) + (f"; and {len(found) - 8} more" if len(found) > 8 else "")
            message = f"{self.path}: expected the checkpoint of this run, got one of another ({lines}): {mend}"
            error = CheckpointError(message)
            error.different = names
            raise error

    def restore_trainer(self, trainer: Trainer) -> None:
        """
        Give model, optimizer and loss scale what they had; all of it, or nothing.

        Raises
        ------
        CheckpointError
            If something does not fit.
        """
        own = {name: a for name, a in self.arrays.items() if "/" not in name}
        with restored_on_error(trainer.model, trainer.optimizer, trainer.loss_scale), self._damaged():
            trainer.model.load_state_dict(own)
            trainer.model.step = _count(self.header["step"])
            self._load(trainer.optimizer, self.training["optimizer"])
            rates = self.training["optimizer"]["rates"]
            for path, rule in _rules(trainer.optimizer):
                if path in rates:
                    rule.lr = float(rates[path])
            if trainer.loss_scale is not None and self.training["loss_scale"] is not None:
                self._load(trainer.loss_scale, self.training["loss_scale"])

    def restore(self, run: Run) -> None:
        """
        Let a run stand where this one stood.

        Raises
        ------
        CheckpointError
            If something does not fit; what callbacks raise.
        """
        trainer = run.trainer
        with restored_on_error(trainer.model, trainer.optimizer, trainer.loss_scale):
            self.restore_trainer(trainer)
            self._restore_run(run)
        run.over = run.batch == 0 and trainer.model.stop_training

    def _restore_run(self, run: Run) -> None:
        with self._damaged():
            run.epoch, run.batch = self.epoch, self.batch
            history = self.training["history"]
            run.history.epoch = [_count(epoch) for epoch in history["epoch"]]
            run.history.history = {name: list(values) for name, values in unpack(history["history"], {}).items()}
            home = run.trainer.model.home
            tally = self.training["tally"]
            run.tally.sums = {name: home.asarray(a.copy()) for name, a in unpack(tally["sums"], self.arrays).items()}
            run.tally.numbers = dict(unpack(tally["numbers"], {}))
            states = [(one["name"], unpack(one["state"], self.arrays)) for one in self.training["callbacks"]]
        for callback in run.call.callbacks:
            name = type(callback).__name__
            found = next((i for i, (other, _) in enumerate(states) if other == name), None)
            if found is not None:
                callback.load_state_dict(states.pop(found)[1])

    def _load(self, one: Configured, state: dict[str, Any]) -> None:
        one.load_slots(unpack(state["slots"], self.arrays), unpack(state["counts"], {}))

    @contextmanager
    def _damaged(self) -> Iterator[None]:
        """What goes wrong inside is the file's fault."""
        try:
            yield
        except CheckpointError as error:
            message = f"{self.path}: {error}" if str(self.path) not in str(error) else str(error)
            raise CheckpointError(message) from error
        except (StateDictError, ConfigError, KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"{self.path}: the state of the run does not fit ({type(error).__name__}: {error})"
            raise CheckpointError(message) from error


def facts(trainer: Trainer, run: Run | None) -> dict[str, Any]:
    """What the bits of a run follow from, as JSON; some of it of a trainer alone."""
    model = trainer.model
    found: dict[str, Any] = {
        "model": describe(model),
        "dtype": model.dtype,
        "seed": str(model.seed),
        "loss": said(trainer.loss),
        "penalty": said(trainer.penalty),
        "optimizer": trainer._settings,
        "loss_scale": said(trainer.loss_scale),
    }
    if run is not None:
        plan = run.plan
        found.update(
            data=run.fingerprints[0],
            validation_data=run.fingerprints[1],
            batch_size=plan.batch_size,
            shuffle=plan.shuffle,
            augment=said(plan.augment),
            metrics=list(plan.metrics),
            callbacks=[type(callback).__name__ for callback, _ in _states(run)],
        )
    return json.loads(json.dumps(found))  # as they come out of a file


def settings(optimizer: Configured) -> Any:
    """The settings of an optimizer, as JSON; its class alone where one of them is a function."""
    try:
        return optimizer.config()
    except ConfigError:
        return {"name": type(optimizer).__name__}


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
        If a weight is NaN or infinite: nothing is written, what was there stays.
    CheckpointError
        If it cannot be written, or the model holds layers that are not registered.
    """
    model, run = trainer.model, trainer._run
    bad = [name for name, p in model.state_dict().items() if not is_finite(p)]
    if bad:
        message = f"training diverged: {bad[0]!r} is not finite after {model.step} steps"
        message += f"{f' ({len(bad)} arrays are not)' if len(bad) > 1 else ''}; no checkpoint was written to {path}"
        raise TrainingDiverged(message)
    arrays, header = files.contents(model)
    training: dict[str, Any] = {
        "epoch": 0, "batch": 0, "history": {"epoch": [], "history": {}}, "tally": {"sums": {}, "numbers": {}},
        "callbacks": [],
    }  # fmt: skip
    optimizer, scale = trainer.optimizer, trainer.loss_scale
    rates = {place: float(rule.lr) for place, rule in _rules(optimizer) if not callable(rule.lr)}
    training["optimizer"] = {**_state(optimizer, "optimizer", arrays), "rates": rates}
    training["loss_scale"] = None if scale is None else _state(scale, "loss_scale", arrays)
    if run is not None:
        training["epoch"], training["batch"] = run.epoch, run.batch
        training["history"] = {"epoch": run.history.epoch, "history": pack(run.history.history, "history", arrays)}
        if run.batch:
            training["tally"] = {name: pack(getattr(run.tally, name), "tally", arrays) for name in ("sums", "numbers")}
        training["callbacks"] = [
            {"name": type(callback).__name__, "state": pack(state, f"callbacks/{i}", arrays)}
            for i, (callback, state) in enumerate(_states(run))
        ]
    training["facts"] = facts(trainer, run)
    training["versions"] = {"xpcnn": import_module("xpcnn").__version__, "numpy": version("numpy")}
    tensor_files.write_tensors(path, arrays, {**header, "training": training})


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

    It goes by the names that `ModelCheckpoint` gives.
    """
    found = [path for place in (folder, folder / "checkpoints") for path in place.glob(f"step-*{SUFFIX}")]
    numbered = [(int(path.name[5 : -len(SUFFIX)]), path) for path in found if path.name[5 : -len(SUFFIX)].isdecimal()]
    return max(numbered)[1] if numbered else None


def _states(run: Run) -> list[tuple[Callback, dict[str, Any]]]:
    """The callbacks that have a state."""
    found: list[tuple[Callback, dict[str, Any]]] = [
        (one, getattr(one, "state_dict", dict)()) for one in run.call.callbacks
    ]
    return [(one, state) for one, state in found if state]


def _rules(one: Configured, path: str = "") -> Iterator[tuple[str, Rule]]:
    """The optimizers with a learning rate of their own, and where they are."""
    if isinstance(one, Rule):
        yield path, one
    for name, part in one.parts().items():
        yield from _rules(part, f"{path}/{name}" if path else name)


def _differences(path: str, there: Any, here: Any) -> Iterator[str]:
    """Where two trees of JSON differ."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in dict.fromkeys([*there, *here]):
            yield from _differences(f"{path}.{name}", there.get(name), here.get(name))
    elif isinstance(there, list) and isinstance(here, (list, tuple)) and len(there) == len(here):
        for i, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from _differences(f"{path}[{i}]", one, other)
    elif there != (list(here) if isinstance(here, tuple) else here):
        yield f"{path}: {_short(there)} in the checkpoint, {_short(here)} here"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."


def _count(value: Any) -> int:
    plain = int(value)
    if plain < 0:
        message = f"expected a count, got {value!r}"
        raise ValueError(message)
    return plain
