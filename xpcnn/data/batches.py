"""
Cutting arrays into batches, in an order that depends on nothing but the seed and the epoch.

Each epoch has its own permutation, a pure function of (seed, epoch): any epoch can be recomputed without the ones
before it, and every array library sees the same order.
"""

from collections.abc import Iterator

import numpy as np

from xpcnn.backend import Array, Key, array_namespace, device_like, device_of, permutation, take
from xpcnn.errors import ConfigError, DeviceMismatchError, ShapeError
from xpcnn.settings import count

from .augment.base import Transform

__all__ = ["batches", "order"]


def order(n: int, seed: int = 0, epoch: int = 0) -> np.ndarray:
    """
    The order in which an epoch visits `n` samples.

    Parameters
    ----------
    n : int, at least 1
    seed : int, 0 to 2**64 - 1
    epoch : int, 0 or more

    Returns
    -------
    indices : ndarray, int64, shape (n,)
        A permutation of 0 to n - 1, drawn with ``Key(seed, "shuffle", step=epoch)``.

    Raises
    ------
    ConfigError
        If an argument is not in its range.

    Examples
    --------
    >>> sorted(order(5, seed=1, epoch=2).tolist())
    [0, 1, 2, 3, 4]
    >>> bool((order(50, epoch=0) == order(50, epoch=1)).all())
    False
    """
    n = count("order", "n", n)
    epoch = count("order", "epoch", epoch, least=0)
    return permutation(n, Key(seed, "shuffle", step=epoch))


def batches(
    x: Array,
    y: Array,
    batch_size: int,
    seed: int = 0,
    epoch: int = 0,
    *,
    shuffle: bool = True,
    drop_last: bool = False,
    first_batch: int = 0,
    augment: Transform | None = None,
) -> Iterator[tuple[Array, Array]]:
    """
    One epoch of samples and labels, batch by batch.

    Batch ``i`` holds the samples ``order(N, seed, epoch)[i * batch_size : (i + 1) * batch_size]``.

    Parameters
    ----------
    x : array, shape (N, ...)
    y : array, shape (N, ...)
        Of the same library and device as `x`, whichever these are: the order is moved there once, and nothing waits
        for the device.
    batch_size : int, at least 1
    seed, epoch : int
        Which order; the same pair always gives the same batches.
    shuffle : bool
        False takes the samples as they lie, in slices that share the memory of `x` and `y`.
    drop_last : bool
        Leave out the last batch if it is smaller than the others.
    first_batch : int, 0 or more
        Number of the batch to begin with: of an epoch that was cut off, say.
    augment : Transform, optional
        What :mod:`xpcnn.data.augment` offers: carried out on each batch where it lies, by (seed, epoch, number of the
        sample). So a sample is changed alike whatever the order and the batch size.

    Returns
    -------
    pairs : iterator of (x_batch, y_batch)
        ``ceil(N / batch_size)`` of them, or ``floor`` with `drop_last`.

    Raises
    ------
    ConfigError
        If `batch_size`, `seed` or `epoch` is not in its range, or `drop_last` would leave nothing.
    ShapeError
        If there is no sample, or not one label for each.
    NamespaceError, DeviceMismatchError
        If `x` and `y` belong to different libraries or devices.
    DtypeError, LabelError
        And others, if `augment` cannot take such samples and labels.

    Examples
    --------
    >>> x, y = np.zeros((5, 1, 2, 2)), np.arange(5)
    >>> [y_batch.tolist() for _, y_batch in batches(x, y, 2, shuffle=False)]
    [[0, 1], [2, 3], [4]]
    """
    array_namespace(x, y)
    batch_size = count("batches", "batch_size", batch_size)
    first = count("batches", "first_batch", first_batch, least=0)
    if x.ndim == 0 or y.ndim == 0:
        message = f"batches: expected x and y with samples along axis 0, got shapes {tuple(x.shape)}, {tuple(y.shape)}"
        raise ShapeError(message)
    n = x.shape[0]
    if y.shape[0] != n:
        message = f"batches: expected as many labels as samples, got {n} samples and {y.shape[0]} labels"
        raise ShapeError(message)
    if n == 0:
        message = f"batches: expected at least one sample, got x of shape {tuple(x.shape)}"
        raise ShapeError(message)
    if device_of(x) != device_of(y):
        message = f"batches: expected x and y on one device, got {device_of(x)} and {device_of(y)}: move one of them"
        raise DeviceMismatchError(message)
    if drop_last and n < batch_size:
        message = (
            f"batches: expected batch_size of at most {n}, the number of samples, got {batch_size}: "
            "drop_last would leave no batch"
        )
        raise ConfigError(message)
    # drawn, and so checked, even where it is not needed: a bad seed is an error in either case
    indices = order(n, seed, epoch)
    stop = n - n % batch_size if drop_last else n
    starts = range(first * batch_size, stop, batch_size)
    parts = _shuffled(x, y, indices, batch_size, starts) if shuffle else _slices(x, y, batch_size, starts)
    if augment is None:
        return ((x_batch, y_batch) for _, x_batch, y_batch in parts)
    if not isinstance(augment, Transform):
        message = f"batches: expected augment to be a transform such as Compose([RandomCrop(28, 2)]), got {augment!r}"
        raise ConfigError(message)
    augment.expect(x, y)
    return (augment(x_batch, y_batch, index, seed=seed, epoch=epoch) for index, x_batch, y_batch in parts)


Numbered = tuple[np.ndarray, Array, Array]


def _shuffled(x: Array, y: Array, indices: np.ndarray, batch_size: int, starts: range) -> Iterator[Numbered]:
    """Numbers of the samples, on the host, and the samples and labels themselves."""
    moved = device_like(x).asarray(indices)
    for start in starts:
        end = min(start + batch_size, starts.stop)
        chosen = moved[start:end]
        yield indices[start:end], take(x, chosen), take(y, chosen)


def _slices(x: Array, y: Array, batch_size: int, starts: range) -> Iterator[Numbered]:
    for start in starts:
        end = min(start + batch_size, starts.stop)
        yield np.arange(start, end), x[start:end, ...], y[start:end, ...]
