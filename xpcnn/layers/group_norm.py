"""Group normalization, and instance normalization, which has a group for each channel."""

import math
from typing import final

from xpcnn import ops
from xpcnn.backend import Array, Key, array_namespace, filled
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.ops.checks import check_shape, common
from xpcnn.settings import count, flag, number

from .base import Cache, Cost, Layer
from .norm import _BatchNorm, standardized_cost

__all__ = ["GroupNorm", "InstanceNorm2d"]


@final
class GroupNorm(Layer):
    """
    Normalize groups of channels of each sample, over all places; see :func:`xpcnn.ops.group_norm`.

    Parameters
    ----------
    num_groups : int
        How many groups the channels form; divides `num_channels`.
    num_channels : int
        Channels C of x (N, C) or (N, C, ...).
    eps : float, > 0
        Added to the variance, inside the root.
    affine : bool
        Learn a scale and a shift for each channel.

    Attributes
    ----------
    params : ``weight``, ``bias`` of shape (C,)

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> GroupNorm(4, 16).output_shape((16, 8, 8))
    (16, 8, 8)
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        self.num_groups = count(self, "num_groups", num_groups)
        self.num_channels = count(self, "num_channels", num_channels)
        if self.num_channels % self.num_groups:
            message = (
                f"GroupNorm: expected num_groups to divide num_channels={self.num_channels}, "
                f"got num_groups={self.num_groups}"
            )
            raise ConfigError(message)
        self.eps = number(self, "eps", eps, above=0)
        self.affine = flag(self, "affine", affine)

    def init_params(self, key: Key) -> dict[str, Array]:
        channels = (self.num_channels,)
        return {"weight": filled(channels, 1.0), "bias": filled(channels, 0.0)} if self.affine else {}

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        w, b = self.params.get("weight"), self.params.get("bias")
        common("GroupNorm", x=x, weight=w)
        self._check_shape(x.shape)
        y, state = ops.group_norm(x, self.num_groups, w, b, eps=self.eps)
        return y, self.keep(y, state) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (state,) = self.recall(dy, cache)
        dx, dw, db = ops.group_norm_backward(dy, state, self.params.get("weight"))
        return dx, {"weight": dw, "bias": db} if self.affine else {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self._check_shape((1, *input_shape))
        return tuple(input_shape)

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return standardized_cost(input_shape, self.num_groups, itemsize, self.affine)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        check_shape("GroupNorm", "x", shape, ("N", self.num_channels, *"HWDEF"[: max(len(shape) - 2, 0)]))


@final
class InstanceNorm2d(_BatchNorm):
    """
    Normalize each channel of each image; see :func:`xpcnn.ops.group_norm`, with as many groups as channels.

    Parameters
    ----------
    num_features : int
        Channels C of x (N, C, H, W).
    eps : float, > 0
        Added to the variance, inside the root.
    momentum : float from 0 to 1
        Share of the new batch in the running averages.
    affine : bool
        Learn a scale and a shift for each channel; unlike `BatchNorm2d` not unless asked for.
    track_running_stats : bool
        Keep running averages, and normalize by them at inference.

    Attributes
    ----------
    params : ``weight``, ``bias`` of shape (C,), if `affine`
    buffers : ``running_mean``, ``running_var`` of shape (C,), ``num_batches_tracked``, if `track_running_stats`
        They move towards the mean over the batch of each image's mean and unbiased variance. Nothing is counted, and
        no plain average can be had, as in PyTorch, whose ``momentum=None`` stands for 0 here.

    Raises
    ------
    ConfigError
    ShapeError
        Also where an image of one pixel would be normalized by itself.

    Examples
    --------
    >>> InstanceNorm2d(16).output_shape((16, 8, 8))
    (16, 8, 8)
    """

    _axes = ("HW",)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
    ) -> None:
        momentum = number(self, "momentum", momentum, least=0, most=1)
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        who, fixed = "InstanceNorm2d", self.is_fixed()
        w, b = self.params.get("weight"), self.params.get("bias")
        common(who, x=x, weight=w, running_mean=self.buffers.get("running_mean"))
        self._check_shape(x.shape)
        if self.track_running_stats and (fixed or not train):
            mean, var = self.buffers["running_mean"], self.buffers["running_var"]
            y = ops.batch_norm(x, mean, var, w, b, eps=self.eps, who=who)
            return y, self.keep(y, x, mean, var) if train else None
        self._check_pixels(x.shape)
        y, state = ops.group_norm(x, self.num_features, w, b, eps=self.eps, who=who)
        if self.track_running_stats:  # and in training, else the running ones would have been taken
            xp = array_namespace(x)
            mean, var = (xp.mean(xp.reshape(a, tuple(x.shape[:2])), axis=0) for a in (state.mean, state.var))
            self._move(mean, var, math.prod(x.shape[2:]), self.momentum)
        return y, self.keep(y, state) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        saved, w, who = self.recall(dy, cache), self.params.get("weight"), "InstanceNorm2d"
        if len(saved) == 1:
            dx, dw, db = ops.group_norm_backward(dy, *saved, w, who=who)
        else:  # normalized by frozen statistics
            x, mean, var = saved
            dx, dw, db = ops.batch_norm_backward(dy, x, mean, var, w, eps=self.eps, fixed=True, who=who)
        return dx, {"weight": dw, "bias": db} if self.affine else {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        out = super().output_shape(input_shape)
        if not self.track_running_stats:
            self._check_pixels((1, *input_shape))
        return out

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return standardized_cost(input_shape, self.num_features, itemsize, self.affine)

    def min_batch(self, input_shape: tuple[int, ...]) -> int:
        return 1

    def _check_pixels(self, shape: tuple[int, ...]) -> None:
        if math.prod(shape[2:]) == 1:
            message = (
                f"InstanceNorm2d: expected images of more than one pixel, got x of shape {tuple(shape)}: "
                "a single number is its own mean"
            )
            raise ShapeError(message)
