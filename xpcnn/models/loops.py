"""
``model.fit``, ``evaluate``, ``predict`` and ``explain_step``: sugar for the loops of ``xpcnn.training``.

That package stands above this one; here is the one arrow that points back, and only when a method is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from xpcnn.backend import Array
from xpcnn.layers import Loss

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from xpcnn.data.augment import Transform
    from xpcnn.optimizers import Optimizer
    from xpcnn.training import Callback, Explanation, History

    from .model import Model

__all__ = ["Loops"]


class Loops:
    """What a model can do with whole arrays of samples."""

    def fit(
        self,
        x: Array,
        y: Array,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        optimizer: Optimizer | str = "adam",
        loss: Loss | str = "softmax_cross_entropy",
        validation_data: tuple[Array, ...] | None = None,
        validation_split: float = 0.0,
        callbacks: Sequence[Callback] | None = (),
        shuffle: bool = True,
        verbose: str | int = "auto",
        penalty: Any = None,
        augment: Transform | None = None,
        class_weight: Mapping[int, float] | Sequence[float] | None = None,
        sample_weight: Array | None = None,
        metrics: Sequence[str] = (),
        overfit_batches: int | None = None,
        dry_run: bool = False,
        on_nonfinite: str = "raise",
        resume: str | Path | None = None,
        allow_different: Sequence[str] = (),
    ) -> History:
        """
        Train on arrays.

        A further call goes on from the weights and from `step`, the count of training steps, and begins all else
        anew: it counts its epochs from 0, so it takes the samples in the same orders as the first call, and an
        optimizer given by name starts without a past (give the object to keep its state). Likewise after
        :func:`xpcnn.load`: a model file holds weights, buffers, seed and step, but no optimizer's state. To go on with
        a run as if it had never stopped, give its checkpoints as `resume`.

        Ctrl-C and SIGTERM end the run after the step that is under way: by KeyboardInterrupt, or by SystemExit with
        the code 143, so that the model is whole. The second signal ends it at once.

        Parameters
        ----------
        x : array, shape (N, ...)
            Inputs; NumPy arrays, or arrays of the model's library.
        y : array
            Class numbers of shape (N,), or what the loss takes.
        epochs : int
            How often each sample is seen.
        batch_size : int
            Samples in a step.
        optimizer : Optimizer, or a name such as "adam" or "momentum"
            See :func:`xpcnn.optimizers.get`. A name makes a new one for this call, with its default settings.
        loss : Loss, or a name such as "softmax_cross_entropy" or "mse"
            See :func:`xpcnn.layers.get_loss`.
        validation_data : (x, y) or (x, y, sample_weight), optional
            Evaluated after each epoch.
        validation_split : float, 0 to below 1
            Evaluate on the last share of the samples, as they lie before any shuffling, and train on the others.
        callbacks : sequence of Callback, optional
        shuffle : bool
            A new order in each epoch, from the model's seed and the number of the epoch in this call.
        verbose : {"auto", 0, 1, 2}
            0 silent, 1 a progress bar, 2 one line an epoch; "auto" is 1 on a terminal, 2 elsewhere.
        penalty : L1 or L2, optional
            Added to the loss.
        augment : Transform, optional
            Changes the training images, see :mod:`xpcnn.data.augment`: anew in each epoch, by the model's seed, the
            number of the epoch in this call and the number of the sample in `x`. On the model's device. With mixed
            labels the training accuracy counts hits of the larger share. One sample is tried beforehand.
        class_weight : dict of class to weight, or sequence of K weights, optional
            What the loss of each training sample is multiplied by: the weight of its class (for probabilities, of the
            largest), 1 for classes that a dict does not mention. Validation does not know of these weights.
        sample_weight : array, shape (N,), optional
            What the loss of each training sample is multiplied by. As in Keras, the mean of a batch is still divided
            by the number of its samples (by what it is divided by without these weights, if the loss has its own),
            so doubling all weights doubles the gradients. Accuracy and metrics do not know of weights. A transform
            that mixes samples mixes no weights. Samples that `validation_split` holds back keep theirs.
        metrics : sequence of str
            To be measured beside loss and accuracy: ``"top_5"`` or with any other number, and the means over all
            classes ``"precision"``, ``"recall"`` and ``"f1"``. Read once an epoch.
        overfit_batches : int, optional
            Train and validate on the first so many batches only, in their order; a network that cannot learn these by
            heart has a bug. `validation_data` is not looked at then.
        dry_run : bool
            Go through one batch of training and one of validation, with all callbacks, and put the model and the
            optimizer back to what they were, to the bit. What callbacks write stays.
        on_nonfinite : {"raise", "skip", "ignore"}
            What happens where the loss is NaN or infinite; see :class:`xpcnn.training.Trainer`.
        resume : str or Path, optional
            A checkpoint of this run, or the folder of a :class:`xpcnn.training.ModelCheckpoint`, of which the newest is
            taken: the run goes on from there with the same bits, given the same arguments. A folder without any begins
            at the beginning, so a call with ``callbacks=[ModelCheckpoint(folder)], resume=folder`` can be repeated
            until it is done. `epochs` may be more than it was.
        allow_different : sequence of str
            What may differ from the run that was saved, such as ``["optimizer"]``; else that is an error.

        Returns
        -------
        history : History
            ``history.history["loss"]`` and so on, one number an epoch.

        Raises
        ------
        ShapeError, LabelError, DtypeError, NamespaceError, ConfigError, CheckpointError
            Before the first step.
        TrainingDiverged
            If the loss is NaN or infinite.

        Examples
        --------
        >>> import numpy as np
        >>> from xpcnn.layers import Linear
        >>> from xpcnn.models import Sequential
        >>> model = Sequential(Linear(2, 2))
        >>> x, y = np.eye(2, dtype="float32"), np.asarray([0, 1])
        >>> history = model.fit(x, y, epochs=100, optimizer="adam", verbose=0)
        >>> len(history.history["loss"])
        100
        """
        from xpcnn.training import Trainer

        trainer = Trainer(cast("Model", self), loss, optimizer, penalty=penalty, on_nonfinite=on_nonfinite)
        return trainer.fit(
            x,
            y,
            epochs=epochs,
            batch_size=batch_size,
            validation_data=validation_data,
            callbacks=callbacks,
            shuffle=shuffle,
            verbose=verbose,
            augment=augment,
            validation_split=validation_split,
            class_weight=class_weight,
            sample_weight=sample_weight,
            metrics=metrics,
            overfit_batches=overfit_batches,
            dry_run=dry_run,
            resume=resume,
            allow_different=allow_different,
        )

    def evaluate(
        self,
        x: Array,
        y: Array,
        *,
        batch_size: int = 256,
        loss: Loss | str = "softmax_cross_entropy",
        sample_weight: Array | None = None,
        metrics: Sequence[str] = (),
    ) -> dict[str, float]:
        """
        Loss, and for classes the accuracy, over all samples.

        Parameters
        ----------
        x, y : arrays
            As in :meth:`fit`.
        batch_size : int
        loss : Loss or str
        sample_weight, metrics
            As in :meth:`fit`.

        Returns
        -------
        logs : dict
            ``{"loss": ..., "accuracy": ...}``, and the metrics.

        Raises
        ------
        ShapeError, LabelError, DtypeError, NamespaceError, ConfigError
        """
        from xpcnn.training import evaluate

        return evaluate(
            cast("Model", self),
            x,
            y,
            batch_size=batch_size,
            loss=loss,
            sample_weight=sample_weight,
            metrics=metrics,
        )

    def predict(self, x: Array, *, batch_size: int = 256) -> np.ndarray:
        """
        Number of the most probable class of each sample.

        Parameters
        ----------
        x : array, shape (N, ...)
        batch_size : int

        Returns
        -------
        labels : numpy.ndarray of int64, shape (N,)
        """
        from xpcnn.training import predict

        return predict(cast("Model", self), x, batch_size=batch_size)

    def predict_proba(self, x: Array, *, batch_size: int = 256) -> np.ndarray:
        """
        Probability of each class for each sample.

        Parameters
        ----------
        x : array, shape (N, ...)
        batch_size : int

        Returns
        -------
        probabilities : numpy.ndarray, shape (N, K)
            The softmax of the output, or the output itself where the last layer is a softmax.
        """
        from xpcnn.training import predict_proba

        return predict_proba(cast("Model", self), x, batch_size=batch_size)

    def explain_step(
        self,
        x: Array,
        y: Array,
        *,
        loss: Loss | str = "softmax_cross_entropy",
        optimizer: Optimizer | str | None = None,
        sample: int = 0,
        digits: int = 4,
        max_entries: int = 6,
    ) -> Explanation:
        """
        Walk one sample forward and backward, layer by layer: formulas, shapes, and numbers to recompute by hand.

        The step is the next one that training would make, dropout masks included, on a copy: the model, its running
        statistics and its `step` stay as they are. How layers are computed, on which kernels, is what
        `Model.explain` tells.

        Parameters
        ----------
        x : array, shape (N, ...)
            A batch, of the model's dtype; often of one sample. All of it goes through the step.
        y : array
            Class numbers of shape (N,), or what the loss takes.
        loss : Loss or str
            As in :meth:`fit`.
        optimizer : Optimizer or str, optional
            Shows what its update would do to one parameter, too; its state stays as it is.
        sample : int
            Which sample of the batch the numbers are shown of.
        digits : int, 1 to 17
            Significant digits.
        max_entries : int
            Rows and columns of the matrices that are shown, terms of a sum that are written out, and pictures.

        Returns
        -------
        explanation : Explanation
            Print it; or ``explanation.save_html("step.html")``; a notebook shows it by itself.

        Raises
        ------
        ShapeError, LabelError, DtypeError, NamespaceError, ConfigError
            As a training step would; before anything is computed.

        Examples
        --------
        >>> import numpy as np
        >>> from xpcnn import Linear, Sequential
        >>> model = Sequential(Linear(2, 3), dtype="float64")
        >>> explanation = model.explain_step(np.asarray([[1.0, 2.0]]), np.asarray([2]))
        >>> print(explanation)  # doctest: +ELLIPSIS
        One training step, explained
        ...
        """
        from xpcnn.training import explain_step

        return explain_step(
            cast("Model", self),
            x,
            y,
            loss=loss,
            optimizer=optimizer,
            sample=sample,
            digits=digits,
            max_entries=max_entries,
        )


for _method in (Loops.fit, Loops.evaluate, Loops.predict, Loops.predict_proba, Loops.explain_step):
    # where people know them from: Python's own errors say so, and pickle finds them there
    _method.__module__, _method.__qualname__ = "xpcnn.models", f"Model.{_method.__name__}"
