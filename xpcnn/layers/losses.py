"""Losses as objects: ``value, dlogits = loss(logits, target)``."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

from xpcnn import ops
from xpcnn.backend import Array, device_like, is_array, to_numpy
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.ops.checks import check_shape
from xpcnn.settings import count, like, number

__all__ = ["MSE", "Loss", "SoftmaxCrossEntropy", "get_loss"]


class Loss(ABC):
    """
    Base of all losses.

    Attributes
    ----------
    classifies : bool
        Whether targets are classes, so that accuracy makes sense.
    """

    classifies: bool = False

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
        value : 0-d array on the device
        dprediction : array, shape of `prediction`
        """

    def total(self, prediction: Array, target: Array) -> Array | float:
        """What the mean is divided by: how much a batch counts beside others. By default its number of samples."""
        return float(prediction.shape[0])

    def counted(self, target: Array) -> Array | None:
        """Boolean array of the samples that count for accuracy, or None for all."""
        return None

    def check(self, shape: tuple[int, ...], target: Array) -> None:
        """
        Raise unless `target` fits a prediction of that shape, before anything is computed.

        Raises
        ------
        ShapeError, LabelError
        """
        if target.ndim == 0 or target.shape[0] != shape[0]:
            message = f"{type(self).__name__}: expected targets for {shape[0]} samples, got shape {tuple(target.shape)}"
            raise ShapeError(message)


def _active(x: Array) -> AbstractContextManager[Any]:
    """With the device of `x` made current: a loss is called by hand, outside of any model."""
    return device_like(x).active() if is_array(x) else nullcontext()


@final
class SoftmaxCrossEntropy(Loss):
    """
    Mean cross-entropy of softmax probabilities, from scores; see :func:`xpcnn.ops.softmax_cross_entropy`.

    Parameters
    ----------
    weight : sequence of float or array, shape (K,), optional
        Weight of each class, at least 0.
    ignore_index : int
        Samples with this label count for nothing.
    label_smoothing : float, 0 to 1

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> value, dlogits = SoftmaxCrossEntropy()(np.zeros((1, 2)), np.asarray([0]))
    >>> dlogits.tolist()
    [[-0.5, 0.5]]
    """

    classifies = True

    def __init__(
        self,
        weight: Sequence[float] | Array | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
    ) -> None:
        if weight is not None:
            weight = to_numpy(weight).tolist() if is_array(weight) else weight
            listed = isinstance(weight, Sequence) and len(weight) > 0
            if not listed or isinstance(weight, str):
                message = f"SoftmaxCrossEntropy: expected a weight of at least 0 for each class, got {weight!r}"
                raise ConfigError(message)
            weight = [number(self, f"the weight of class {k}", w, least=0) for k, w in enumerate(weight)]
        self.weight: list[float] | None = weight
        self.ignore_index = count(self, "ignore_index", ignore_index, least=None)
        self.label_smoothing = number(self, "label_smoothing", label_smoothing, least=0, most=1)
        self._moved: Array | None = None

    def __call__(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        with _active(prediction):
            weight = self._weight_like(prediction)
            return ops.softmax_cross_entropy(prediction, target, weight, self.ignore_index, self.label_smoothing)

    def total(self, prediction: Array, target: Array) -> Array | float:
        return ops.losses.cross_entropy_total(prediction, target, self._weight_like(prediction), self.ignore_index)

    def counted(self, target: Array) -> Array | None:
        return target != self.ignore_index if target.ndim == 1 else None

    def check(self, shape: tuple[int, ...], target: Array) -> None:
        if self.weight is not None and len(self.weight) != shape[1]:
            message = f"SoftmaxCrossEntropy: expected a weight for each of {shape[1]} classes, got {len(self.weight)}"
            raise ShapeError(message)
        ops.losses.check_target(target, shape[0], shape[1], self.ignore_index)

    def _weight_like(self, x: Array) -> Array | None:
        """The class weights where `x` lives; moved once, not at every step."""
        if self.weight is None or not is_array(x):
            return None
        moved, device = self._moved, device_like(x)
        if moved is None or not device.owns(moved) or moved.dtype != x.dtype:
            self._moved = moved = device.xp.asarray(self.weight, dtype=x.dtype, device=device.native)
        return moved


@final
class MSE(Loss):
    """
    Mean squared error over all entries; see :func:`xpcnn.ops.mse`.

    Examples
    --------
    >>> import numpy as np
    >>> float(MSE()(np.asarray([1.0, 3.0]), np.asarray([1.0, 1.0]))[0])
    2.0
    """

    def __call__(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        with _active(prediction):
            return ops.mse(prediction, target)

    def check(self, shape: tuple[int, ...], target: Array) -> None:
        check_shape(type(self).__name__, "target", target.shape, shape)


@final
class _Function(Loss):
    """A user's function as a loss."""

    def __init__(self, function: Callable[[Array, Array], tuple[Array, Array]]) -> None:
        self.function = function

    def __call__(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        return self.function(prediction, target)


_NAMES: dict[str, Callable[[], Loss]] = {"softmax_cross_entropy": SoftmaxCrossEntropy, "mse": MSE}


def get_loss(loss: "Loss | str") -> Loss:
    """
    A loss by name, a loss itself, or a function ``(prediction, target) -> (value, dprediction)`` as a loss.

    Raises
    ------
    ConfigError
        If there is no such name.

    Examples
    --------
    >>> type(get_loss("mse")).__name__
    'MSE'
    """
    if isinstance(loss, str) and loss in _NAMES:
        return _NAMES[loss]()
    if isinstance(loss, str) or not callable(loss) or isinstance(loss, type):
        message = f"loss: expected a loss, a function or one of {', '.join(_NAMES)}, got {loss!r}{like(loss, _NAMES)}"
        if isinstance(loss, type) and issubclass(loss, Loss):
            message += f": make one, {loss.__name__}()"
        raise ConfigError(message)
    return loss if isinstance(loss, Loss) else _Function(loss)
