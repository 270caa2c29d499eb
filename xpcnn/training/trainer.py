"""The training step, and the loop around it."""

import logging
import math
import sys
from collections.abc import Sequence
from typing import Any

from xpcnn import optimizers
from xpcnn.backend import Array
from xpcnn.data import batches
from xpcnn.data.augment import Transform
from xpcnn.errors import ConfigError
from xpcnn.layers import Loss, get_loss
from xpcnn.models import Model
from xpcnn.models.state import unchanged_on_error
from xpcnn.optimizers import Optimizer
from xpcnn.settings import count, flag, integer

from . import door
from .callbacks import Callback, CallbackList, ProgressBar, as_list
from .history import History
from .inference import run
from .metrics import Tally

__all__ = ["Trainer"]

log = logging.getLogger("xpcnn")


class Trainer:
    """
    A model, a loss and an optimizer, trained together.

    Parameters
    ----------
    model : Sequential or Graph
        Of one input.
    loss : Loss or {"softmax_cross_entropy", "mse"}
    optimizer : Optimizer or {"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"}
        Its state lives as long as it does: over epochs, and over several calls of :meth:`fit`. No file keeps it.
    penalty : L1 or L2, optional
        Added to the loss, with its gradient.

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
    ) -> None:
        if not isinstance(model, Model) or model.merges:
            got = "a Graph of several: train it by hand" if isinstance(model, Model) else type(model).__name__
            message = f"Trainer: expected model to be a Sequential or a Graph of one input, got {got}"
            raise ConfigError(message)
        if penalty is not None and (isinstance(penalty, type) or not callable(penalty)):
            message = f"Trainer: expected penalty to be None, L1(...) or L2(...), got {penalty!r}"
            raise ConfigError(message)
        self.model, self.loss, self.penalty = model, get_loss(loss), penalty
        self.optimizer = optimizers.get(optimizer)

    def step(self, x: Array, y: Array) -> Array:
        """
        One step of training.

        Parameters
        ----------
        x, y : arrays
            A batch; NumPy arrays are moved to the model's device, nothing is cast.

        Returns
        -------
        loss : 0-d array, on the device

        Raises
        ------
        ShapeError, LabelError, DtypeError, NamespaceError, DeviceMismatchError
            Before parameters change.
        """
        model = self.model
        door.expect_here("Trainer.step", model, "x", x)
        door.expect_here("Trainer.step", model, "y", y)
        x, y = model.home.asarray(x), model.home.asarray(y)
        door.check_step("Trainer.step", model, self.loss, x, y)
        return self._step(x, y)[0]

    def _step(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The step itself: value and scores."""
        model = self.model
        with model.home.active(), unchanged_on_error(model):
            scores, cache = model.forward(x, train=True)
            value, dscores = self.loss(scores, y)
            _, grads = model.backward(dscores, cache, input_grad=False)
            params = model.trainable
            if self.penalty is not None and params:
                extra, more = self.penalty(params)
                value = value + extra
                grads.update({name: grads[name] + g for name, g in more.items()})
            self.optimizer.update(params, grads)
        return value, scores

    def fit(
        self,
        x: Array,
        y: Array,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple[Array, Array] | None = None,
        callbacks: Sequence[Callback] | None = (),
        shuffle: bool = True,
        verbose: str | int = "auto",
        augment: Transform | None = None,
    ) -> History:
        """
        Train for some epochs; parameters, return value and errors as in `Sequential.fit`.

        Each call counts its epochs, and so the orders of the samples, from 0. The loss and the number of right answers
        add up on the device and are read once an epoch.
        """
        model = self.model
        epochs = count("fit", "epochs", epochs)
        batch_size = count("fit", "batch_size", batch_size)
        shuffle = flag("fit", "shuffle", shuffle)
        if isinstance(verbose, bool):
            verbose = int(verbose)
        if verbose != "auto" if isinstance(verbose, str) else integer(verbose) not in (0, 1, 2):
            message = f"fit: expected verbose to be 'auto', 0, 1 or 2, got {verbose!r}"
            raise ConfigError(message)
        x = door.inputs("fit", model, x)
        y = door.targets("fit", model, self.loss, x, y)
        door.check_batches("fit", model, tuple(x.shape), batch_size)
        if augment is not None:
            door.check_augment("fit", model, augment, x, y)
        validation = None
        if validation_data is not None:
            validation = self._validation(validation_data)

        metrics = ["loss", "accuracy"] if self.loss.classifies else ["loss"]
        if validation is not None:
            metrics += [f"val_{name}" for name in metrics]
        if verbose == "auto":
            verbose = 1 if sys.stderr.isatty() else 2
        progress = [ProgressBar(bar=verbose == 1)] if verbose else []
        steps = -(-x.shape[0] // batch_size)
        params = {"epochs": epochs, "steps": steps, "samples": x.shape[0], "metrics": metrics}
        call = CallbackList([*as_list(callbacks), *progress], model, params)

        history = History()
        model.stop_training = False
        logs: dict[str, float] = {}
        try:
            call("on_train_begin", {})
            for epoch in range(epochs):
                call("on_epoch_begin", epoch, {})
                with model.home.active():
                    logs = self._epoch(x, y, batch_size, epoch, shuffle, augment, call)
                if validation is not None:
                    checked = run(model, *validation, max(batch_size, 256), self.loss)
                    logs.update({f"val_{name}": value for name, value in checked.items()})
                history.append(epoch, logs)
                call("on_epoch_end", epoch, dict(logs))
                if not math.isfinite(logs["loss"]):
                    mend = "take a smaller learning rate, or look for NaN in x"
                    log.warning("fit: the loss of epoch %d is %s: %s", epoch + 1, logs["loss"], mend)
                if model.stop_training:
                    break
            call("on_train_end", logs)
        finally:
            for bar in progress:
                bar.close()
        return history

    def _epoch(
        self,
        x: Array,
        y: Array,
        batch_size: int,
        epoch: int,
        shuffle: bool,
        augment: Transform | None,
        call: CallbackList,
    ) -> dict[str, float]:
        """All samples once; the mean loss, and the accuracy of the steps' own outputs."""
        tally = Tally(self.loss)
        order = batches(x, y, batch_size, seed=self.model.seed, epoch=epoch, shuffle=shuffle, augment=augment)
        for i, (x_batch, y_batch) in enumerate(order):
            call("on_train_batch_begin", i, {})
            value, scores = self._step(x_batch, y_batch)
            tally.add(value, scores, y_batch)
            call("on_train_batch_end", i, {"loss": value})
        return tally.logs()

    def _validation(self, data: tuple[Array, Array]) -> tuple[Array, Array]:
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            message = f"fit: expected validation_data to be a pair (x, y), got {type(data).__name__}"
            raise ConfigError(message)
        x = door.inputs("fit, validation_data", self.model, data[0])
        return x, door.targets("fit, validation_data", self.model, self.loss, x, data[1])
