"""What all transforms share: how they are called, and where their random numbers come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from xpcnn.backend import Array, Key, array_namespace, device_like, is_array, library, sample_uniform
from xpcnn.errors import ConfigError, NamespaceError, ShapeError
from xpcnn.ops.checks import check_images, common, common_place
from xpcnn.settings import count

__all__ = ["Batch", "Transform", "moved"]

Batch = tuple[Array, Array | None]
T = TypeVar("T", bound="Transform")


class Transform:
    """
    Base of all transforms of batches of images.

    What happens to a sample is a pure function of (seed, epoch, number of the sample): neither the batch that it comes
    in, nor the order, nor the device or array library changes it. Each transform says how many uniform numbers it needs
    for a sample, and gets them, drawn for the whole batch at once: on the host, or beside the images, if these are on a
    GPU and the transform says that it can compute there. Then it is captured with the training step.

    A transform of your own sets :attr:`draws` and overrides :meth:`images`, or :meth:`apply` where it changes labels.

    Attributes
    ----------
    draws : int
        How many random numbers a sample takes.
    on_device : bool
        Whether the numbers may lie on a GPU, as the images do: the transform must compute from them with the functions
        of their library alone, and neither look at one nor bring others from the host.

    Examples
    --------
    >>> class Fade(Transform):
    ...     draws = 1
    ...     def images(self, x, u):
    ...         return x * moved(u[:, 0], x)[:, None, None, None]
    >>> x, _ = Fade()(np.ones((2, 1, 4, 4)), index=[7, 12])
    >>> bool((Fade()(np.ones((1, 1, 4, 4)), index=[12])[0] == x[1:]).all())
    True
    """

    draws: int = 0
    on_device: bool = False

    def __new__(cls: type[T], *args: Any, **kwargs: Any) -> T:
        # one of two methods is needed, which abstract methods cannot say
        if cls.images is Transform.images and cls.apply is Transform.apply:
            message = f"{cls.__name__}: expected a method images, or apply where labels change too, got neither"
            raise TypeError(message)
        return super().__new__(cls)

    def __call__(
        self,
        x: Array,
        y: Array | None = None,
        index: Sequence[int] | np.ndarray | None = None,
        *,
        seed: int = 0,
        epoch: int = 0,
    ) -> Batch:
        """
        A batch, transformed.

        Parameters
        ----------
        x : array, shape (N, C, H, W), of a real floating dtype
        y : array, shape (N, ...), optional
            Labels or targets.
        index : sequence of int or NumPy array, shape (N,)
            Number of each sample in its data set, at least 0; needed if the transform draws anything. Not an array of
            another library: reading it would wait for the device.
        seed : int, 0 to 2**64 - 1
        epoch : int, 0 or more

        Returns
        -------
        x, y : arrays
            New ones, or the arguments themselves where nothing changes; None for y if none was given.

        Raises
        ------
        ShapeError, DtypeError, NamespaceError, DeviceMismatchError, ConfigError, LabelError
            Before anything is computed.
        """
        self.expect(x, y)
        who, n = type(self).__name__, x.shape[0]
        epoch = count(who, "epoch", epoch, least=0)
        numbers = np.zeros(n, dtype=np.int64) if index is None and not self.draws else _numbers(who, index, n)
        home = device_like(x)
        with home.active():
            there = self.draws and self.on_device and home.captures()
            return self.by_number(x, y, home.asarray(numbers) if there else numbers, seed, epoch)

    def by_number(self, x: Array, y: Array | None, numbers: Array, seed: int, epoch: int | Array) -> Batch:
        """
        The same, with everything checked.

        Parameters
        ----------
        x, y : arrays
        numbers : int64 array, shape (N,)
            On the host, or with :attr:`on_device` where `x` lives.
        seed : int
        epoch : int, or 0-d int64 array where the numbers are
            An array is read anew by each replay of a captured graph.
        """
        key = Key(seed, "augment", step=epoch) if isinstance(epoch, int) else Key(seed, "augment", counter=epoch)
        return self.apply(x, y, sample_uniform(numbers, self.draws, key))

    def members(self) -> list[Transform]:
        """The transform itself, and those that it is made of."""
        return [self]

    def expect(self, x: Array, y: Array | None = None) -> tuple[int, ...]:
        """
        Raise if these samples and labels cannot be transformed; else the shape that comes out.

        Raises
        ------
        ShapeError, DtypeError, NamespaceError, DeviceMismatchError, ConfigError, LabelError
        """
        who = type(self).__name__
        common(who, x=x)
        check_images(who, tuple(x.shape))
        common_place(who, x=x, y=y)
        if y is not None and (y.ndim == 0 or y.shape[0] != x.shape[0]):
            message = f"{who}: expected y for {x.shape[0]} samples, got shape {tuple(y.shape)}"
            raise ShapeError(message)
        return self.check(tuple(x.shape), y)

    def check(self, shape: tuple[int, ...], y: Array | None) -> tuple[int, ...]:
        """
        Raise if a batch (N, C, H, W) of that shape does not fit; else the shape that comes out.

        Raises
        ------
        ShapeError, LabelError
        """
        return shape

    def apply(self, x: Array, y: Array | None, u: Array) -> Batch:
        """
        The transform itself, with its arguments checked and its random numbers drawn.

        Parameters
        ----------
        x : array, shape (N, C, H, W)
        y : array, shape (N, ...), or None
        u : array, shape (N, draws)
            Uniform in [0, 1), float64: of NumPy, or with :attr:`on_device` of CuPy where `x` is.
        """
        return self.images(x, u), y

    def images(self, x: Array, u: Array) -> Array:
        """The images, transformed; see :meth:`apply`."""
        message = f"{type(self).__name__}: expected a method images, since apply asks for it, got none"
        raise NotImplementedError(message)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if name != "draws")
        return f"{type(self).__name__}({settings})"


def moved(values: Array, x: Array) -> Array:
    """
    Numbers of the host, or already there, where `x` lives, floating ones in its dtype.

    Examples
    --------
    >>> moved(np.asarray([0.5]), np.ones(3, dtype="float32")).dtype
    dtype('float32')
    """
    there = device_like(x).asarray(values)
    xp = array_namespace(x)
    return xp.astype(there, x.dtype) if xp.isdtype(there.dtype, "real floating") else there


def _numbers(who: str, index: Sequence[int] | np.ndarray | None, n: int) -> np.ndarray:
    """The numbers of the samples as int64, checked."""
    if index is None:
        message = f"{who}: expected index, the number of each of {n} samples in the data set, got None"
        raise ConfigError(message)
    if is_array(index) and library(index) != "numpy":
        message = f"{who}: expected index as a NumPy array or a list, got one of {library(index)}: keep it on the host"
        raise NamespaceError(message)
    try:
        numbers = np.asarray(index)
    except ValueError:  # rows of different lengths
        numbers = np.zeros(())
    if numbers.shape != (n,):
        message = f"{who}: expected index of shape ({n},), a number for each sample, got {numbers.shape}"
        raise ShapeError(message)
    if numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= 2**63:
        message = f"{who}: expected index of integers of at least 0, got {numbers.dtype} from {min(numbers.tolist())}"
        raise ConfigError(message)
    return numbers.astype(np.int64, copy=False)
