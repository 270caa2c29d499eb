"""What all losses share."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from xpcnn.backend import Array, array_namespace, device_like, is_array, to_numpy
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.ops.losses.reduction import check_reduction, of_samples
from xpcnn.settings import number

__all__ = ["Loss", "Reduced", "Weights", "active"]


class Loss(ABC):
    """
    Base of all losses.

    Attributes
    ----------
    classifies : bool
        Whether targets are classes, so that accuracy makes sense.
    reduction : {"mean", "sum", "none"}
        What becomes of the values of all samples or entries.
    """

    classifies: bool = False
    reduction: str = "mean"

    @abstractmethod
    def __call__(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """
        Value and gradient.

        Parameters
        ----------
        prediction : array
            The network's output.
        target : array

        Returns
        -------
        value : 0-d array on the device; for the reduction "none" an array
        dprediction : array, shape of `prediction`
        """

    def each(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """
        The values before any reduction, shape (N, ...), and each one's own gradient; for weights of samples.

        Raises
        ------
        ConfigError
            If the loss does not know them.
        """
        message = f"{type(self).__name__}: expected no weights of samples: the loss has one value for all of them"
        raise ConfigError(message)

    def total(self, prediction: Array, target: Array) -> Array | float:
        """What the mean is divided by: how much a batch counts beside others. By default its number of samples."""
        return float(prediction.shape[0])

    def counted(self, target: Array) -> Array | None:
        """Boolean array of the samples that count for accuracy, or None for all."""
        return None

    def ignored(self) -> int | None:
        """
        The one label that does not count, where all others count the same; None for any other loss, as by default.

        Then `total` is the number of the others, or NaN where one is no class, and `counted` says which they are. A
        kernel that counts by itself builds on that.
        """
        return None

    def check(self, shape: tuple[int, ...], target: Array) -> None:
        """
        Raise unless `target` fits a prediction of that shape, before anything is computed.

        Raises
        ------
        ShapeError, LabelError, DtypeError
        """
        if target.ndim == 0 or target.shape[0] != shape[0]:
            message = f"{type(self).__name__}: expected targets for {shape[0]} samples, got shape {tuple(target.shape)}"
            raise ShapeError(message)

    def weighted(self, prediction: Array, target: Array, sample_weight: Array | None) -> tuple[Array, Array]:
        """
        Value and gradient, each sample's multiplied by its weight; without weights the call itself.

        Parameters
        ----------
        prediction, target : arrays
        sample_weight : array, shape (N,), of the prediction's dtype and device, or None

        Returns
        -------
        value, dprediction
            As of the call.

        Notes
        -----
        With the samples' values l and weights w the mean is ``(1/D) sum_n w[n] l[n]`` with the D of the mean without
        these weights: for most losses N, not ``sum_n w[n]``. This is Keras' ``sum_over_batch_size``: a weight of 2
        is as good as twice the learning rate for that sample.
        """
        if sample_weight is None:
            return self(prediction, target)
        xp = array_namespace(prediction)
        values, gradient = self.each(prediction, target)
        values, gradient = (a * xp.reshape(sample_weight, (-1, *(1,) * (a.ndim - 1))) for a in (values, gradient))
        total = self.total(prediction, target) if self.reduction == "mean" else 1.0
        return of_samples(xp, values, gradient, self.reduction, total)


class Reduced(Loss):
    """
    Base of the losses that have many values, one for each sample or entry, and reduce them.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ConfigError
    """

    def __init__(self, reduction: str) -> None:
        self.reduction = check_reduction(self, reduction)

    def __call__(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        with active(prediction):
            return self.reduced(prediction, target, self.reduction)

    def each(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        with active(prediction):
            return self.reduced(prediction, target, "none")

    @abstractmethod
    def reduced(self, prediction: Array, target: Array, reduction: str) -> tuple[Array, Array]:
        """Value and gradient with that reduction."""


def active(x: Array) -> AbstractContextManager[Any]:
    """With the device of `x` made current: a loss is called by hand, outside of any model."""
    return device_like(x).active() if is_array(x) else nullcontext()


class Weights:
    """
    Constant weights of a loss, moved to where they are needed once, not at every step.

    Parameters
    ----------
    who : object
        Named in the error.
    name : str
    values : nested sequence of float, or array; None where nothing is weighted
        At least 0.
    axes : int, optional
        1: one weight for each class. None: any number of axes.

    Raises
    ------
    ConfigError
    """

    def __init__(self, who: object, name: str, values: Any, axes: int | None = 1) -> None:
        if values is not None and is_array(values):  # asked of None, it would import array_api_compat
            values = to_numpy(values).tolist()
        if values is not None and axes == 1:
            if not isinstance(values, (list, tuple)) or not values:
                message = f"{type(who).__name__}: expected a {name} of at least 0 for each class, got {values!r}"
                raise ConfigError(message)
            values = [number(who, f"the {name} of class {k}", value, least=0) for k, value in enumerate(values)]
        elif values is not None:
            values = _plain(who, name, values)
        self.values: Any = values
        self._moved: Array | None = None

    def like(self, x: Array) -> Array | None:
        """The weights as an array of the device and dtype of `x`, or None."""
        if self.values is None or not is_array(x):
            return None
        moved, device = self._moved, device_like(x)
        if moved is None or not device.owns(moved) or moved.dtype != x.dtype:
            self._moved = moved = device.xp.asarray(self.values, dtype=x.dtype, device=device.native)
        return moved


def _plain(who: object, name: str, values: Any) -> Any:
    """Numbers as Python floats, in lists of lists of one length."""
    if not isinstance(values, (list, tuple)):
        return number(who, name, values, least=0)
    plain = [_plain(who, f"{name}[{i}]", value) for i, value in enumerate(values)]
    if not plain or len({_sizes(value) for value in plain}) > 1:
        message = f"{type(who).__name__}: expected {name} with rows of one length, not empty, got {values!r}"
        raise ConfigError(message)
    return plain


def _sizes(values: Any) -> tuple[int, ...]:
    return (len(values), *_sizes(values[0])) if isinstance(values, list) else ()
