"""The loop over epochs and batches, and where in it a run stands."""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from xpcnn.backend import Array, Key, is_host, to_numpy
from xpcnn.models.freezing import frozen_names

from .callbacks import CallbackList, TerminateOnNaN
from .callbacks.stopping import LOOK
from .divergence import diverged
from .fingerprint import fingerprint
from .history import History
from .inference import run as run_samples
from .interrupts import Interrupts
from .metrics import Tally
from .plan import Plan
from .samples import Samples

if TYPE_CHECKING:
    from pathlib import Path

    from .checkpoint import Checkpoint
    from .trainer import Trainer

__all__ = ["Run"]

log = logging.getLogger("xpcnn")

LOOK_EVERY = 1.0  # seconds between two looks at the loss on a GPU: each one waits for the device


class Run:
    """
    One call of `fit`.

    Parameters
    ----------
    trainer : Trainer
    plan : Plan
    call : CallbackList

    Attributes
    ----------
    epoch, batch : int
        The next epoch, and the next batch in it, which is not 0 where the epoch has begun. They are moved on before
        callbacks hear that something is over, so that what is saved then goes on behind it.
    steps : int
        Batches that are done, in the runs that this one goes on from, too.
    history : History
    tally : Tally
        Of the epoch.
    over : bool
        Whether the run ends here, between two epochs.
    paused : bool
        Whether it ends for now only, so that it goes on where it is resumed: time is up.
    active : bool
        Whether it is going on.
    rehearsing : bool
        Whether all of it will be undone, so that nobody need save it.
    inside_epoch : bool
        Whether callbacks hear again of the beginning of an epoch that is entered in its middle.
    resumed_from : Path or None
        The checkpoint that it goes on from.
    """

    def __init__(self, trainer: Trainer, plan: Plan, call: CallbackList) -> None:
        self.trainer, self.plan, self.call = trainer, plan, call
        self.history, self.tally = History(), Tally(trainer.loss, plan.metrics)
        self.epoch = self.batch = self.steps = 0
        self.over = self.paused = self.active = self.rehearsing = self.inside_epoch = False
        self.resumed_from: Path | None = None
        self.frozen = frozen_names(trainer.model)
        self._decides = any(isinstance(one, TerminateOnNaN) for one in call.callbacks)  # where a loss is no number
        self._told = self._decides  # of an epoch without a number
        self._looked = 0.0

    @functools.cached_property
    def fingerprints(self) -> tuple[Any, Any]:
        """Of the samples of training and of validation; read once, when somebody asks."""
        validation = self.plan.validation
        return fingerprint(self.plan.train), None if validation is None else fingerprint(validation)

    @property
    def watches(self) -> bool:
        """Whether losses are looked at; not where a callback does that in its own way."""
        return self.trainer.on_nonfinite != "ignore" and not self._decides

    @property
    def stopped(self) -> bool:
        """Whether somebody has ended the run for good, between two epochs."""
        return self.trainer.model.stop_training and not self.paused and self.batch == 0

    def go(self, saved: Checkpoint | None = None) -> History:
        """Train to the end, from where a checkpoint stands if there is one."""
        call, self.active = self.call, True
        self.trainer.model.stop_training = False
        try:
            with Interrupts() as interrupts:
                if self.trainer._captures():
                    self._say_what_stays_outside()
                call("on_train_begin", {})
                if saved is not None:
                    self._enter(saved)
                    saved = None  # its arrays are not needed any more
                while self.epoch < self.plan.epochs and not self.over:
                    self._epoch(interrupts)
                if interrupts.number is not None:  # it came while the last state was saved
                    self._between(interrupts, "interrupted")
                call("on_train_end", self._last())
        except BaseException:
            self._close(failed=True)
            raise
        self._close()
        return self.history

    def _close(self, failed: bool = False) -> None:
        """Let go of everything; an error of a callback comes out, unless the run failed before, which says more."""
        self.active = False
        self.trainer._captured.forget()
        errors = self.call.close()
        for error in errors if failed else errors[1:]:
            log.error("fit: a callback could not be closed: %r", error, exc_info=error)
        if errors and not failed:
            raise errors[0]

    def _enter(self, saved: Checkpoint) -> None:
        """Stand where a checkpoint stands; its state comes last, over what callbacks do at a beginning."""
        if saved.batch:
            self.inside_epoch = True
            self.call("on_epoch_begin", saved.epoch, {})
            self.inside_epoch = False
        saved.restore(self)
        self.trainer._saved = None

    def _last(self) -> dict[str, float]:
        """The figures of the last epoch."""
        return {name: values[-1] for name, values in self.history.history.items()}

    def _epoch(self, interrupts: Interrupts) -> None:
        """An epoch, or the rest of one that has begun, with its validation."""
        model, call, epoch = self.trainer.model, self.call, self.epoch
        if self.batch == 0:
            call("on_epoch_begin", epoch, {})
            self.tally.reset()
        self._train(interrupts)
        whole = self.batch == self.plan.params()["steps"]
        logs = self.tally.logs()
        if self.plan.validation is not None:
            logs.update(self._validate(self.plan.validation))
        self.history.append(epoch, logs)
        self.epoch, self.batch = epoch + 1, 0
        call("on_epoch_end", epoch, dict(logs))
        if not (self._told or math.isfinite(logs["loss"])):
            self._told = True
            log.warning("fit: the loss of epoch %d is %s: %s", epoch + 1, logs["loss"], LOOK)
        self.over = model.stop_training or self.epoch == self.plan.epochs
        if whole:  # else it was saved in the middle of the epoch, and goes on from there
            self._between(interrupts, "finished" if self.over else "")

    def _between(self, interrupts: Interrupts, ending: str) -> None:
        """Between two steps, or two epochs, when all callbacks have heard of the one: save, and end where told to."""
        interrupted = interrupts.number is not None  # one that comes from now on waits for the next time
        if not self.rehearsing:
            self.call("on_checkpoint", "interrupted" if interrupted else ending)
        if interrupted:
            interrupts.end()

    def _train(self, interrupts: Interrupts) -> None:
        """The batches of an epoch, or those that are left."""
        model, plan, call = self.trainer.model, self.plan, self.call
        captured = self.trainer._captured
        options: dict[str, Any] = {"seed": model.seed, "epoch": self.epoch, "shuffle": plan.shuffle}
        options["first_batch"] = self.batch
        train, augment, captures = plan.train, plan.augment, self.trainer._captures()
        # a graph draws what happens to its samples, and takes these itself unless they are fed from the host
        inside = augment if captures and augment is not None and augment.on_device else None
        by_number = captures and not train.on_host() and inside is augment
        uses: list[Any] = train.arrays()
        if inside is not None:
            place = captured.in_epoch(self.epoch)
            uses += [place, *inside.members()]

        def chosen(*batch: Array) -> Samples:
            *arrays, index = (*batch, None) if inside is None and not by_number else batch
            samples = train.chosen(index) if by_number else Samples(*arrays)
            return samples if inside is None else samples.transformed(inside, index, model.seed, place)

        def work(*batch: Array, key: Key | None = None) -> Array:
            samples = chosen(*batch)
            value, scores = self.trainer._taken(samples, key, self.watches)
            if scores is not None:
                self.tally.add(value, scores, samples.y, self._counts(value))
            return value

        with model.home.active(), captured.trusted(not call.listens_to_steps()):
            if by_number:
                batches: Iterator[list[Array]] = ([index] for index in train.numbers(plan.batch_size, **options))
            elif inside is not None:
                fed = train.numbered(plan.batch_size, **options)
                batches = ([*samples.arrays(), index] for samples, _, index in fed)
            else:
                batches = (one.arrays() for one in train.cut(plan.batch_size, augment=augment, **options))
            for i, given in enumerate(batches, start=self.batch):
                call("on_train_batch_begin", i, {})
                if captures:
                    value = captured(work, given, uses, self.tally)
                    value = model.home.xp.asarray(value, copy=True) if call.callbacks else value
                else:
                    value = work(*given)
                self.batch, self.steps = i + 1, self.steps + 1
                last = self.batch == plan.params()["steps"]
                if not is_host(value):
                    self._look(partial(chosen, *given), soon=last)
                call("on_train_batch_end", i, {"loss": value})
                self._between(interrupts, "interrupted" if model.stop_training and not last else "")
                if model.stop_training:
                    break
            self.trainer.optimizer.flush(model.trainable)

    def _counts(self, value: Array) -> Array | None:
        """On a GPU, where batches may be dropped, an array of whether this one was not."""
        skips = self.watches and self.trainer.on_nonfinite == "skip" and not is_host(value)
        return self.trainer.model.home.xp.isfinite(value) if skips else None

    def _look(self, batch: Callable[[], Samples], soon: bool = False) -> None:
        """On a GPU, now and then, whether the losses are still numbers; on the CPU each step looks by itself."""
        if not self.watches or (time.monotonic() < self._looked + LOOK_EVERY and not soon):
            return
        self._looked = time.monotonic()
        found = float(to_numpy(self.tally.sums["loss"]))  # of all batches so far: NaN and infinity stay in it
        if not math.isfinite(found):
            when = f"by step {self.steps}"
            raise diverged(when, found, self.trainer.model, batch(), None)

    def _say_what_stays_outside(self) -> None:
        """Which transforms cannot be captured."""
        augment = self.plan.augment
        if augment is None or augment.on_device:
            return
        alone = [one for one in augment.members() if one.members() == [one]]
        names = sorted({type(one).__name__ for one in alone if not one.on_device})
        log.warning(
            "fit: the random numbers of %s stay on the host, so augmentation runs before each captured step: "
            "a transform whose numbers may lie on the device says so with on_device = True",
            ", ".join(names),
        )

    def _validate(self, samples: Samples) -> dict[str, float]:
        self.call("on_test_begin", {})
        trainer = self.trainer
        found = run_samples(trainer.model, samples, self.plan.check_size, trainer.loss, self.plan.metrics)
        self.call("on_test_end", dict(found))
        return {f"val_{name}": value for name, value in found.items()}
