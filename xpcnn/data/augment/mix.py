"""
Transforms that mix two samples, images and labels alike: mixup and cutmix.

The labels that come out are distributions over the classes, shape (N, K), which cross-entropy takes as they are.
"""

import math
from typing import final

import numpy as np

from xpcnn.backend import Array, accelerated, array_namespace, is_host, take, to_numpy
from xpcnn.errors import ConfigError, LabelError, ShapeError
from xpcnn.settings import count, number

from .base import Batch, Transform, moved
from .erase import boxes
from .move import whole

__all__ = ["CutMix", "MixUp", "partners", "symmetric_beta"]


def symmetric_beta(u: Array, v: Array, alpha: float) -> Array:
    """
    Numbers of the distribution Beta(alpha, alpha) from two uniform ones each.

    Parameters
    ----------
    u, v : float64 arrays, shape (N,)
        Uniform in [0, 1).
    alpha : float, above 0

    Returns
    -------
    share : array, shape (N,)
        In [0, 1].

    Notes
    -----
    With ``c = cos(2 pi v)`` and ``w = 1 - u``::

        share = 1/2 + sign(c) / 2 / sqrt(1 + 1 / ((w**(-1/alpha) - 1) c**2))

    No rejection, so that each sample needs two numbers and no more. Source: Devroye (1996), "Random variate
    generation in one line of code", the symmetric beta; it rests on Bailey's polar method for Student's t.

    Examples
    --------
    >>> symmetric_beta(np.asarray([0.75]), np.asarray([0.0]), 0.5).round(4).tolist()
    [0.9841]
    """
    xp = array_namespace(u)
    c = xp.cos(2.0 * math.pi * v)
    with np.errstate(over="ignore", divide="ignore"):  # the ends, 0 and 1, are where they should be
        square = xp.expm1(-xp.log1p(-u) / alpha) * c * c
        return 0.5 + xp.where(c < 0.0, -0.5, 0.5) / xp.sqrt(1.0 + 1.0 / square)


def partners(u: Array) -> Array:
    """
    For each sample of a batch, the place of the one that it is mixed with.

    Parameters
    ----------
    u : float64 array, shape (N,)
        One number of each sample's own.

    Returns
    -------
    place : int64 array, shape (N,)
        A permutation without fixed points, unless N = 1.

    Notes
    -----
    In the order of their numbers, each is mixed with the next, and the last with the first. So the pairs depend on
    which samples are in the batch, but not on how they are ordered.

    Examples
    --------
    >>> partners(np.asarray([0.2, 0.9, 0.5])).tolist()
    [2, 0, 1]
    """
    if (fast := accelerated("partners", u)) is not None:
        return fast
    xp = array_namespace(u)
    order = xp.argsort(u, stable=True)
    rank = xp.argsort(order, stable=True)
    return xp.take(xp.roll(order, -1), rank, axis=0)


class _Mix(Transform):
    on_device = True

    def __init__(self, alpha: float = 1.0, num_classes: int | None = None) -> None:
        self.alpha = number(self, "alpha", alpha, above=0)
        self.num_classes = None if num_classes is None else count(self, "num_classes", num_classes)

    def check(self, shape: tuple[int, ...], y: Array | None) -> tuple[int, ...]:
        who, k = type(self).__name__, self.num_classes
        if y is None:
            message = f"{who}: expected y, since labels are mixed as images are, got None"
            raise LabelError(message)
        xp = array_namespace(y)
        if not xp.isdtype(y.dtype, "integral"):
            if y.ndim != 2 or not xp.isdtype(y.dtype, "real floating") or (k is not None and y.shape[1] != k):
                wanted = f"(N, {'K' if k is None else k})"
                message = f"{who}: expected class numbers (N,), or distributions {wanted}, got y of shape {y.shape}"
                raise ShapeError(message)
        elif y.ndim != 1:
            message = f"{who}: expected class numbers of shape (N,), got y of shape {tuple(y.shape)}"
            raise ShapeError(message)
        elif k is None:
            message = f"{who}: expected num_classes for labels that are numbers: give it, as in {who}(num_classes=10)"
            raise ConfigError(message)
        elif is_host(y):
            labels = to_numpy(y)
            if labels.min() < 0 or labels.max() >= k:
                message = f"{who}: expected labels from 0 to {k - 1}, got labels from {labels.min()} to {labels.max()}"
                raise LabelError(message)
        return shape

    def _distributions(self, x: Array, y: Array) -> Array:
        """The labels as distributions, shape (N, K), in the dtype of the images."""
        xp = array_namespace(x)
        if y.ndim == 2:
            return xp.astype(y, x.dtype)
        classes = xp.arange(self.num_classes, dtype=y.dtype, device=x.device)
        return xp.astype(xp.expand_dims(y, axis=1) == xp.expand_dims(classes, axis=0), x.dtype)


@final
class MixUp(_Mix):
    """
    Each sample a weighted mean of itself and another one of the batch.

    Parameters
    ----------
    alpha : float, above 0
        Of the distribution Beta(alpha, alpha) of the weights. The paper takes 0.1 to 0.4 on ImageNet and 1 on CIFAR.
    num_classes : int, optional
        K; needed where labels are class numbers.

    Raises
    ------
    ConfigError
        Also at the call, if class numbers come without `num_classes`; `ShapeError`, `LabelError` if `y` is neither
        class numbers (N,) nor distributions (N, K). On a GPU the range of class numbers is not read.

    Notes
    -----
    With share s and partner m of each sample n, drawn for it alone and for the batch (see :func:`partners`)::

        x'[n] = s[n] x[n] + (1 - s[n]) x[m[n]]
        y'[n] = s[n] y[n] + (1 - s[n]) y[m[n]]

    Source: Zhang, Cisse, Dauphin and Lopez-Paz (2018), "mixup: beyond empirical risk minimization", equation 1 of the
    introduction. Their program, and torchvision's, draw one share for a batch; here each sample has its own. The share
    is a function of (seed, epoch, index); the partner, besides, of which samples are in the batch, but not of their
    order. A batch of one sample is mixed with itself, which changes nothing.

    Examples
    --------
    >>> x, y = MixUp(num_classes=2)(np.ones((2, 1, 4, 4)), np.asarray([0, 1]), index=[0, 1])
    >>> y.sum(axis=1).tolist()
    [1.0, 1.0]
    """

    draws = 3

    def apply(self, x: Array, y: Array | None, u: Array) -> Batch:
        other = moved(partners(u[:, 0]), x)
        share = moved(symmetric_beta(u[:, 1], u[:, 2], self.alpha), x)
        soft = self._distributions(x, y)
        mixed = _blend(soft, take(soft, other), share[:, None])
        return _blend(x, take(x, other), share[:, None, None, None]), mixed


@final
class CutMix(_Mix):
    """
    Each sample with a box of another one of the batch in its place.

    Parameters
    ----------
    alpha : float, above 0
        Of the distribution Beta(alpha, alpha) of the share that stays.
    num_classes : int, optional
        K; needed where labels are class numbers.

    Raises
    ------
    ConfigError, ShapeError, LabelError
        As :class:`MixUp`.

    Notes
    -----
    The box has half sides ``int(H sqrt(1 - s) / 2)`` and ``int(W sqrt(1 - s) / 2)`` about a pixel drawn uniformly, and
    ends at the border. Labels are mixed by the share of the pixels that really stay::

        y'[n] = t[n] y[n] + (1 - t[n]) y[m[n]],    t = 1 - (pixels of the box) / (H W)

    Source: Yun, Han, Oh, Chun, Choe and Yoo (2019), "CutMix: regularization strategy to train strong classifiers with
    localizable features", section 3.1; rounding as torchvision does it. Shares and partners as for :class:`MixUp`.

    Examples
    --------
    >>> x, y = CutMix(num_classes=2)(np.ones((2, 1, 4, 4)), np.asarray([0, 1]), index=[0, 1])
    >>> y.sum(axis=1).tolist()
    [1.0, 1.0]
    """

    draws = 5

    def apply(self, x: Array, y: Array | None, u: Array) -> Batch:
        xp = array_namespace(x)
        h, w = x.shape[2:]
        there = array_namespace(u)
        side = 0.5 * there.sqrt(1.0 - symmetric_beta(u[:, 1], u[:, 2], self.alpha))
        down, right = there.astype(side * h, there.int64), there.astype(side * w, there.int64)
        i, j = whole(u[:, 3], h), whole(u[:, 4], w)
        top, bottom = there.maximum(i - down, 0), there.minimum(i + down, h)
        left, right = there.maximum(j - right, 0), there.minimum(j + right, w)
        hidden = there.astype((bottom - top) * (right - left), there.float64)
        stays = moved(1.0 - hidden / (h * w), x)
        other = moved(partners(u[:, 0]), x)
        inside = boxes(x, top, bottom, left, right)
        soft = self._distributions(x, y)
        mixed = _blend(soft, take(soft, other), stays[:, None])
        return xp.where(inside, take(x, other), x), mixed


def _blend(a: Array, b: Array, share: Array) -> Array:
    return share * a + (1.0 - share) * b
