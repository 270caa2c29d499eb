"""The training step, and the loop around it."""

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any

from xpcnn import optimizers
from xpcnn.backend import Array, Key
from xpcnn.data.augment import Transform
from xpcnn.errors import ConfigError
from xpcnn.layers import Loss, get_loss
from xpcnn.models import Model
from xpcnn.models.state import unchanged_on_error
from xpcnn.optimizers import LossScale, Optimizer
from xpcnn.optimizers.settings import Configured

from . import door
from .callbacks import Callback, CallbackList, ProgressBar, TerminateOnNaN, as_list
from .callbacks.stopping import LOOK
from .compiled import CapturedStep
from .history import History
from .inference import run
from .metrics import Tally
from .plan import Plan, make_plan
from .restore import restored
from .samples import ClassWeight, Samples, check_weight

__all__ = ["Trainer"]

log = logging.getLogger("xpcnn")


class Trainer:
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
        :meth:`fit`. No file keeps it.
    penalty : L1 or L2, optional
        Added to the loss, with its gradient.
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
        self.compile = compile
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
        return self._step(x, y, sample_weight)

    def _captures(self) -> bool:
        """Whether steps are to be captured as graphs."""
        if not self.compile or self.model.home.captures():
            return bool(self.compile)
        if self.compile == "auto":
            return False
        message = f"Trainer: expected a GPU with xpcnn's own kernels for compile=True, got {self.model.device!r}: "
        message += "take compile='auto', or model.to('cuda') without XPCNN_KERNELS=generic"
        raise ConfigError(message)

    def _step(self, x: Array, y: Array, weight: Array | None = None) -> Array:
        """The loss of a step, which on a GPU is a captured graph from the third of its kind on."""

        def work(*batch: Array, key: Key | None = None) -> Array:
            return self._compute(Samples(*batch), key)[0]

        batch = Samples(x, y, weight).arrays()
        if not self._captures():
            return work(*batch)
        with self.model.home.active():
            return self.model.home.xp.asarray(self._captured(work, batch), copy=True)

    def _compute(self, batch: Samples, key: Key | None = None) -> tuple[Array, Array]:
        """The step itself: value and scores."""
        x, y, weight = batch
        model = self.model
        with model.home.active(), unchanged_on_error(model):
            scores, cache = model.forward(x, train=True, key=key)
            value, dscores = self.loss(scores, y) if weight is None else self.loss.weighted(scores, y, weight)
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
                grads.update({name: grads[name] + g for name, g in more.items()})
            if scale is None:
                self.optimizer.update(params, grads)
            else:
                scale.update(self.optimizer, params, grads)
        return value, scores

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
    ) -> History:
        """
        Train for some epochs; parameters, return value and errors as in `Sequential.fit`.

        Each call counts its epochs, and so the orders of the samples, from 0. The loss and the number of right answers
        add up on the device and are read once an epoch. Gradients that an `Accumulate` still holds at the end of an
        epoch are put into a step then.
        """
        watchers = as_list(callbacks)
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
        if not dry_run:
            return self._run(plan, call)
        log.info("fit: a dry run, after which the model and the optimizer are as they were")
        held = [a for one in watchers for a in getattr(one, "__dict__", {}).values() if isinstance(a, Configured)]
        with restored(self.model, self.optimizer, self.loss_scale, *held):
            return self._run(plan, call)

    def _run(self, plan: Plan, call: CallbackList) -> History:
        """The loop over the epochs."""
        model, history = self.model, History()
        model.stop_training = False
        tally = Tally(self.loss, plan.metrics)
        logs: dict[str, float] = {}
        told = any(isinstance(one, TerminateOnNaN) for one in call.callbacks)  # or will be, by that one
        try:
            call("on_train_begin", {})
            for epoch in range(plan.epochs):
                call("on_epoch_begin", epoch, {})
                tally.reset()
                logs = self._epoch(plan, epoch, call, tally)
                if plan.validation is not None:
                    logs.update(self._validate(plan, plan.validation, call))
                history.append(epoch, logs)
                call("on_epoch_end", epoch, dict(logs))
                if not (told or math.isfinite(logs["loss"])):
                    told = True
                    log.warning("fit: the loss of epoch %d is %s: %s", epoch + 1, logs["loss"], LOOK)
                if model.stop_training:
                    break
            call("on_train_end", logs)
        finally:
            self._captured.forget()
            call("close")
        return history

    def _epoch(self, plan: Plan, epoch: int, call: CallbackList, tally: Tally) -> dict[str, float]:
        """All samples once; the mean loss, and the accuracy of the steps' own outputs."""
        model, train = self.model, plan.train
        options: dict[str, Any] = {"seed": model.seed, "epoch": epoch, "shuffle": plan.shuffle}
        captures = self._captures()
        # a graph takes its samples itself; transforms draw their numbers on the host
        by_number = captures and plan.augment is None and model.home.owns(train.x)

        def work(*batch: Array, key: Key | None = None) -> Array:
            samples = train.chosen(*batch) if by_number else Samples(*batch)
            value, scores = self._compute(samples, key)
            tally.add(value, scores, samples.y)
            return value

        with model.home.active(), self._captured.trusted(not call.listens_to_steps()):
            if by_number:
                batches: Iterator[list[Array]] = ([index] for index in train.numbers(plan.batch_size, **options))
            else:
                batches = (one.arrays() for one in train.cut(plan.batch_size, augment=plan.augment, **options))
            for i, given in enumerate(batches):
                call("on_train_batch_begin", i, {})
                if captures:
                    value = self._captured(work, given, train.arrays(), tally)
                    value = model.home.xp.asarray(value, copy=True) if call.callbacks else value
                else:
                    value = work(*given)
                call("on_train_batch_end", i, {"loss": value})
                if model.stop_training:
                    break
            self.optimizer.flush(model.trainable)
            return tally.logs()

    def _validate(self, plan: Plan, samples: Samples, call: CallbackList) -> dict[str, float]:
        call("on_test_begin", {})
        found = run(self.model, samples, plan.check_size, self.loss, plan.metrics)
        call("on_test_end", dict(found))
        return {f"val_{name}": value for name, value in found.items()}
