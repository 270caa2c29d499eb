"""
``model.fit``, ``evaluate`` and ``predict``: sugar for the loops of ``xpcnn.training``.

That package stands above this one; here is the one arrow that points back, and only when a method is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from xpcnn.backend import Array
from xpcnn.layers import Loss

if TYPE_CHECKING:
    import numpy as np

    from xpcnn.data.augment import Transform
    from xpcnn.optimizers import Optimizer
    from xpcnn.training import Callback, History

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
        validation_data: tuple[Array, Array] | None = None,
        callbacks: Sequence[Callback] | None = (),
        shuffle: bool = True,
        verbose: str | int = "auto",
        penalty: Any = None,
        augment: Transform | None = None,
    ) -> History:
        """
        Train on arrays.

        A further call goes on from the weights and from `step`, the count of training steps, and begins all else
        anew: it counts its epochs from 0, so it takes the samples in the same orders as the first call (a parameter
        for that comes with checkpoints), and an optimizer given by name starts without a past (give the object to
        keep its state). Likewise after :func:`xpcnn.load`: a model file holds weights, buffers, seed and step, but no
        optimizer's state.

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
        optimizer : Optimizer or {"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"}
            A name makes a new one for this call, with its default settings.
        loss : Loss or {"softmax_cross_entropy", "mse"}
        validation_data : (x, y), optional
            Evaluated after each epoch.
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
            labels the training accuracy counts hits of the larger share.

        Returns
        -------
        history : History
            ``history.history["loss"]`` and so on, one number an epoch.

        Raises
        ------
        ShapeError, LabelError, DtypeError, NamespaceError, ConfigError
            Before the first step.

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

        trainer = Trainer(cast("Model", self), loss, optimizer, penalty=penalty)
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
        )

    def evaluate(
        self, x: Array, y: Array, *, batch_size: int = 256, loss: Loss | str = "softmax_cross_entropy"
    ) -> dict[str, float]:
        """
        Loss, and for classes the accuracy, over all samples.

        Parameters
        ----------
        x, y : arrays
            As in :meth:`fit`.
        batch_size : int
        loss : Loss or str

        Returns
        -------
        logs : dict
            ``{"loss": ..., "accuracy": ...}``

        Raises
        ------
        ShapeError, LabelError, DtypeError, NamespaceError, ConfigError
        """
        from xpcnn.training import evaluate

        return evaluate(cast("Model", self), x, y, batch_size=batch_size, loss=loss)

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
