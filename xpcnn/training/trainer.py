"""The training step, and the loop around it."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xpcnn import optimizers
from xpcnn.backend import Array, Key, is_host
from xpcnn.data.augment import Transform
from xpcnn.errors import ConfigError
from xpcnn.layers import Loss, get_loss
from xpcnn.models import Model
from xpcnn.models.state import keep_buffers, unchanged_on_error
from xpcnn.optimizers import LossScale, Optimizer
from xpcnn.optimizers.loss_scale import step_if
from xpcnn.optimizers.settings import Configured

from . import door
from .callbacks import Callback, CallbackList, ProgressBar, as_list
from .checkpoint import Checkpoint
from .compiled import CapturedStep
from .divergence import Dropped, diverged
from .facts import settings
from .history import History
from .plan import make_plan
from .restore import restored
from .resumable import Resumable
from .run import Run
from .samples import ClassWeight, Samples, check_weight

__all__ = ["Trainer"]

log = logging.getLogger("xpcnn")


class Trainer(Resumable):
    """
    A model, a loss and an optimizer, trained together.

    Parameters
    ----------
    model : Sequential or Graph
        Of one input.
    loss : Loss, or a name such as "softmax_cross_entropy" or "mse"
        See :func:`xpcnn.layers.get_loss`. Not of the reduction "none".
    optimizer : Optimizer, or a name such as "adam" or "momentum"
        See :func:`xpcnn.optimizers.get`. Its state lives as long as it does: over epochs, and over several calls of
        :meth:`fit`. :meth:`save` keeps it.
    penalty : L1 or L2, optional
        Added to the loss, with its gradient.
    on_nonfinite : {"raise", "skip", "ignore"}
        What happens where the loss of a batch is NaN or infinite. "raise": `TrainingDiverged`, which names the step and
        the first layer; "skip": the batch is dropped, and changes nothing but the count of the model's steps (on a GPU
        that of the optimizer, too, by which schedules go); "ignore": nothing. On the CPU each loss is looked at before
        anything is changed; on a GPU that would wait for the device, so `fit` looks about once a second and at the end
        of each epoch, and :meth:`step` not at all. A `TerminateOnNaN` among the callbacks decides instead.
    compile : {"auto", True, False}
        Whether steps on a GPU are captured as a graph, which is then started by one call: "auto" where that is
        possible, said in the log where it is not; True raises instead. A step gives the same bits either way, as far as
        cuDNN's plans do: see `deterministic` of a model.
    loss_scale : LossScale, optional
        Default: one with its default settings where the model computes in float16, else none. It lives as long as the
        trainer.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> from xpcnn import Linear, Sequential
    >>> trainer = Trainer(Sequential(Linear(2, 2)), "softmax_cross_entropy", "sgd")
    >>> trainer.step(np.eye(2, dtype="float32"), np.asarray([0, 1])).shape
    ()
    """

    def __init__(
        self,
        model: Model,
        loss: Loss | str = "softmax_cross_entropy",
        optimizer: Optimizer | str = "adam",
        *,
        penalty: Any = None,
        compile: bool | str = "auto",
        loss_scale: LossScale | None = None,
        on_nonfinite: str = "raise",
    ) -> None:
        if not isinstance(model, Model) or model.merges:
            got = "a Graph of several: train it by hand" if isinstance(model, Model) else type(model).__name__
            message = f"Trainer: expected model to be a Sequential or a Graph of one input, got {got}"
            raise ConfigError(message)
        if penalty is not None and (isinstance(penalty, type) or not callable(penalty)):
            message = f"Trainer: expected penalty to be None, L1(...) or L2(...), got {penalty!r}"
            raise ConfigError(message)
        if not isinstance(loss_scale, LossScale | None):
            message = f"Trainer: expected loss_scale to be a LossScale or None, got {loss_scale!r}"
            raise ConfigError(message)
        self.loss_scale = LossScale() if loss_scale is None and model.dtype == "float16" else loss_scale
        self.model, self.loss, self.penalty = model, door.reducing("Trainer", get_loss(loss)), penalty
        self.optimizer = optimizers.get(optimizer)
        if not isinstance(compile, bool) and compile != "auto":
            message = f"Trainer: expected compile to be 'auto', True or False, got {compile!r}"
            raise ConfigError(message)
        if on_nonfinite not in ("raise", "skip", "ignore"):
            message = f"Trainer: expected on_nonfinite to be 'raise', 'skip' or 'ignore', got {on_nonfinite!r}"
            raise ConfigError(message)
        self.compile, self.on_nonfinite = compile, on_nonfinite
        self.settings = settings(self.optimizer)  # as they were given: callbacks change rates
        self._run: Run | None = None  # the call of `fit` that goes on, or the last one
        self._saved: Checkpoint | None = None  # from which the next call goes on
        self._captured = CapturedStep(self)
        self._outputs: dict[Any, tuple[int, ...]] = {}  # shapes of outputs, by the kind of input

    def step(self, x: Array, y: Array, sample_weight: Array | None = None) -> Array:
        """
        One step of training.

        Parameters
        ----------
        x, y : arrays
            A batch; NumPy arrays are moved to the model's device, nothing is cast.
        sample_weight : array, shape (N,), optional
            Each sample's value is multiplied by its weight; what the mean is divided by stays. Real numbers, whose
            values nobody looks at.

        Returns
        -------
        loss : 0-d array, on the device

        Raises
        ------
        ShapeError, LabelError, DtypeError, NamespaceError, DeviceMismatchError, ConfigError
            Before parameters change.
        """
        model = self.model
        door.expect_here("Trainer.step", model, "x", x)
        door.expect_here("Trainer.step", model, "y", y)
        x, y = model.home.asarray(x), model.home.asarray(y)
        kind = tuple(x.shape), x.dtype
        if kind in self._outputs:  # every layer was asked before
            self.loss.check(self._outputs[kind], y)
        else:
            self._outputs[kind] = door.check_step("Trainer.step", model, self.loss, x, y)
        if sample_weight is not None:
            check_weight("Trainer.step", model, self.loss, x, sample_weight)
            sample_weight = model.home.asarray(sample_weight, model.params_dtype)
        return self._step(x, y, sample_weight, watched=self.on_nonfinite != "ignore")

    def _captures(self) -> bool:
        """Whether steps are to be captured as graphs."""
        if not self.compile or self.model.home.captures():
            return bool(self.compile)
        if self.compile == "auto":
            return False
        message = f"Trainer: expected a GPU with xpcnn's own kernels for compile=True, got {self.model.device!r}: "
        message += "take compile='auto', or model.to('cuda') without XPCNN_KERNELS=generic"
        raise ConfigError(message)

    def _step(self, x: Array, y: Array, weight: Array | None = None, watched: bool = False) -> Array:
        """The loss of a step, which on a GPU is a captured graph from the third of its kind on."""

        def work(*batch: Array, key: Key | None = None) -> Array:
            return self._taken(Samples(*batch), key, watched)[0]

        batch = Samples(x, y, weight).arrays()
        if not self._captures():
            return work(*batch)
        with self.model.home.active():
            return self.model.home.xp.asarray(self._captured(work, batch), copy=True)

    def _taken(self, batch: Samples, key: Key | None, watched: bool) -> tuple[Array, Array | None]:
        """Value and scores of a step; no scores where the batch was dropped."""
        try:
            return self._compute(batch, key, watched)
        except Dropped as dropped:
            self.model.step += 1  # the next batch has its own masks
            log.warning("a batch whose loss is %s was dropped, after %d steps", dropped.value, self.model.step)
            return dropped.value, None

    def _number(self) -> int:
        """Of the step that is taken, from 1: of the run, or of those taken by hand."""
        return self._run.steps + 1 if self._run is not None and self._run.active else self.model.step + 1

    def _compute(self, batch: Samples, key: Key | None, watched: bool) -> tuple[Array, Array]:
        """The step itself: value and scores. Where it is watched, on the CPU, the loss must be a number."""
        x, y, weight = batch
        model = self.model
        with model.home.active(), unchanged_on_error(model) as before:
            scores, cache = model.forward(x, train=True, key=key)
            value, dscores = self.loss(scores, y) if weight is None else self.loss.weighted(scores, y, weight)
            go = self._watch(value, scores, batch, key) if watched else None
            if go is not None:
                keep_buffers(model, before, go)
            scale = self.loss_scale
            if scale is not None:
                dscores = scale.scaled(dscores)
            _, grads = model.backward(dscores, cache, input_grad=False)
            if scale is not None:
                grads = scale.unscaled(grads)
            params = model.trainable
            if self.penalty is not None and params:
                extra, more = self.penalty(params)
                value = value + extra
                if watched and is_host(value):
                    self._watch(value, scores, batch, key)
                grads.update({name: grads[name] + g for name, g in more.items()})
            if scale is not None:
                scale.update(self.optimizer, params, grads)
            elif go is not None and params:
                step_if(go, self.optimizer.prepare(params, grads), self.optimizer, params, grads)
            else:
                self.optimizer.update(params, grads)
        return value, scores

    def _watch(self, value: Array, scores: Array, batch: Samples, key: Key | None) -> Array | None:
        """On the CPU, raise where the loss is no number; on a GPU, an array of whether it is one, to drop batches."""
        if not is_host(value):
            return self.model.home.xp.isfinite(value) if self.on_nonfinite == "skip" else None
        if math.isfinite(value) or not float(self.loss.total(scores, batch.y)):
            return None  # a batch in which nothing counts has no mean
        if self.on_nonfinite == "skip":
            raise Dropped(value)
        when = f"at step {self._number()}"
        raise diverged(when, float(value), self.model, batch, key)

    def fit(
        self,
        x: Array,
        y: Array,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple[Array, ...] | None = None,
        validation_split: float = 0.0,
        callbacks: Sequence[Callback] | None = (),
        shuffle: bool = True,
        verbose: str | int = "auto",
        augment: Transform | None = None,
        class_weight: ClassWeight | None = None,
        sample_weight: Array | None = None,
        metrics: Sequence[str] = (),
        overfit_batches: int | None = None,
        dry_run: bool = False,
        resume: str | Path | None = None,
        allow_different: Sequence[str] = (),
    ) -> History:
        """
        Train for some epochs; parameters, return value and errors as in `Sequential.fit`.

        Each call counts its epochs, and so the orders of the samples, from 0; but after :meth:`resume`, or with a
        `resume` of its own, it goes on where the checkpoint stands. The loss and the number of right answers
        add up on the device and are read once an epoch. Gradients that an `Accumulate` still holds at the end of an
        epoch are put into a step then.
        """
        watchers = as_list(callbacks)
        saved = self._saved if resume is None else self._found(resume, allow_different)
        if allow_different and resume is None:
            if saved is None:
                message = "fit: expected allow_different together with resume, got it alone: say what to go on from"
                raise ConfigError(message)
            saved.allow(allow_different)
        plan = make_plan(
            self.model,
            self.loss,
            x,
            y,
            epochs=epochs,
            batch_size=batch_size,
            validation_data=validation_data,
            validation_split=validation_split,
            shuffle=shuffle,
            verbose=verbose,
            augment=augment,
            class_weight=class_weight,
            sample_weight=sample_weight,
            metrics=metrics,
            overfit_batches=overfit_batches,
            dry_run=dry_run,
        )
        if plan.verbose:
            note = "dry run: one batch of each; model and optimizer are as they were" if dry_run else ""
            watchers.append(ProgressBar(bar=plan.verbose == 1, note=note))
        call = CallbackList(watchers, self, plan.params())
        run, before = Run(self, plan, call), self._run
        if saved is not None and not dry_run:
            saved.expect(self, run)
            run.resumed_from = saved.path
        self._run = run
        try:
            if not dry_run:
                history = run.go(saved)
                self._saved = None
                return history
            log.info("fit: a dry run, after which the model and the optimizer are as they were")
            held = [a for one in watchers for a in getattr(one, "__dict__", {}).values() if isinstance(a, Configured)]
            run.rehearsing = True
            with restored(self.model, self.optimizer, self.loss_scale, *held):
                return run.go()
        finally:
            if dry_run or (before is not None and before.active):  # of whose callbacks one has called this
                self._run = before
