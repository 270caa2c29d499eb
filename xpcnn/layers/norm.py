"""Batch normalization layers."""

import math
from typing import final

from xpcnn import ops
from xpcnn.backend import Array, Key, array_namespace, filled
from xpcnn.errors import ShapeError
from xpcnn.ops.checks import check_shape, common_beside
from xpcnn.settings import count, flag, number

from .base import Cache, Cost, Layer

__all__ = ["BatchNorm1d", "BatchNorm2d", "standardized_cost"]


def standardized_cost(input_shape: tuple[int, ...], rows: int, itemsize: int, affine: bool) -> Cost:
    """Of a layer that keeps a sample's rows standardized: its output, or beside it where it is scaled and shifted."""
    size = math.prod(input_shape)
    statistics = 3 * rows
    extra = statistics + size if affine else statistics
    return Cost(keeps_output=not affine, extra=extra * itemsize, workspace=size * itemsize)


class _BatchNorm(Layer):
    """What the batch normalizations share; the ranks they take differ."""

    rectifies = True
    _axes: tuple[str, ...]  # what may follow the channels, one letter an axis

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        who = type(self).__name__
        self.num_features = count(who, "num_features", num_features)
        self.eps = number(who, "eps", eps, above=0)
        # None is a plain average
        self.momentum = None if momentum is None else number(who, "momentum", momentum, least=0, most=1)
        self.affine = flag(who, "affine", affine)
        self.track_running_stats = flag(who, "track_running_stats", track_running_stats)

    def init_params(self, key: Key) -> dict[str, Array]:
        channels = (self.num_features,)
        return {"weight": filled(channels, 1.0), "bias": filled(channels, 0.0)} if self.affine else {}

    def init_buffers(self) -> dict[str, Array]:
        if not self.track_running_stats:
            return {}
        channels = (self.num_features,)
        return {
            "running_mean": filled(channels, 0.0),
            "running_var": filled(channels, 1.0),
            "num_batches_tracked": filled((), 0, "int64"),
        }

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        who = type(self).__name__
        w, b = self.params.get("weight"), self.params.get("bias")
        common_beside(who, x, weight=w, running_mean=self.buffers.get("running_mean"))
        self._check_shape(x.shape)
        fixed = self.is_fixed()
        if (train and not fixed) or not self.track_running_stats:
            mean, var = ops.batch_statistics(x, who, exact=True)
        else:
            mean, var = self.buffers["running_mean"], self.buffers["running_var"]
        y = ops.batch_norm(x, mean, var, w, b, eps=self.eps, relu=self.rectified, who=who)
        if not train:
            return y, None
        if self.track_running_stats and not fixed:
            self.track(mean, var, math.prod(x.shape) // x.shape[1])
        return y, self.keep(y, x, mean, var, fixed)

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        x, mean, var, fixed = self.recall(dy, cache)
        w, b = self.params.get("weight"), self.params.get("bias") if self.rectified else None
        settings = {"eps": self.eps, "fixed": fixed, "relu": self.rectified, "who": type(self).__name__}
        dx, dw, db = ops.batch_norm_backward(dy, x, mean, var, w, b, **settings)
        return dx, {"weight": dw, "bias": db} if self.affine else {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self._check_shape((1, *input_shape))
        return tuple(input_shape)

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(keeps_input=True, workspace=math.prod(input_shape) * itemsize)

    def min_batch(self, input_shape: tuple[int, ...]) -> int:
        return 2 if math.prod(input_shape[1:]) == 1 and not self.is_fixed() else 1

    def is_fixed(self) -> bool:
        """Whether the running statistics are frozen: then they normalize in training, too."""
        return {"running_mean", "running_var"} <= self.frozen

    def track(self, mean: Array, var: Array, count: int) -> None:
        """
        Move the running statistics towards the batch's: ``r <- (1 - momentum) r + momentum * batch``.

        The variance tracked is the unbiased one. ``momentum=None`` keeps the plain average over all batches.
        """
        buffers, xp = self.buffers, array_namespace(mean)
        seen = buffers["num_batches_tracked"] + 1
        momentum = 1.0 / xp.astype(seen, mean.dtype) if self.momentum is None else self.momentum
        self._move(mean, var, count, momentum)
        buffers["num_batches_tracked"] = xp.asarray(seen)

    def _move(self, mean: Array, var: Array, count: int, momentum: float | Array) -> None:
        buffers = self.buffers
        for name, batch, factor in (("running_mean", mean, 1.0), ("running_var", var, count / (count - 1))):
            buffers[name] = ops.moved(buffers[name], batch, momentum, factor)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        who = type(self).__name__
        ranks = sorted({2 + len(axes) for axes in self._axes})
        if len(shape) not in ranks:
            wanted = " or ".join(f"({', '.join(('N', str(self.num_features), *axes))})" for axes in self._axes)
            message = f"{who}: expected x of shape {wanted}, got {tuple(shape)}"
            raise ShapeError(message)
        hint = ""
        if len(shape) == 4 and shape[3] == self.num_features != shape[1]:
            hint = f"channels come first; permute to {(shape[0], shape[3], shape[1], shape[2])}"
        letters = next(axes for axes in self._axes if 2 + len(axes) == len(shape))
        check_shape(who, "x", shape, ("N", self.num_features, *letters), hint)


@final
class BatchNorm2d(_BatchNorm):
    """
    Batch normalization of images, per channel; the mathematics is in :func:`xpcnn.ops.batch_norm`.

    In training with the statistics of the batch, which also move the running averages; at inference with these, and in
    training too where a model's ``freeze`` has frozen them.

    Parameters
    ----------
    num_features : int
        Channels C of x (N, C, H, W).
    eps : float, > 0
        Added to the variance, inside the root.
    momentum : float from 0 to 1, or None
        Share of the new batch in the running averages (1 - momentum in Keras' meaning); None averages all batches
        evenly.
    affine : bool
        Learn a scale and a shift.
    track_running_stats : bool
        Keep running averages; without them inference uses the batch's own statistics, too.

    Attributes
    ----------
    params : ``weight``, ``bias`` of shape (C,)
    buffers : ``running_mean``, ``running_var`` of shape (C,), ``num_batches_tracked``
        The variance tracked is the unbiased one, as in PyTorch.

    Raises
    ------
    ConfigError
    ShapeError
        In training also when there is only one value per channel.

    Examples
    --------
    >>> BatchNorm2d(16).output_shape((16, 8, 8))
    (16, 8, 8)
    """

    narrow = ("x", "y")
    _axes = ("HW",)


@final
class BatchNorm1d(_BatchNorm):
    """
    Batch normalization of features (N, C), or of sequences (N, C, L); otherwise as `BatchNorm2d`.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats
        As in `BatchNorm2d`.

    Examples
    --------
    >>> BatchNorm1d(16).output_shape((16,))
    (16,)
    """

    narrow = ("x", "y")
    _axes = ("", "L")
