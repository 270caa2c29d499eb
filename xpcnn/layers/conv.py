"""The convolution layer."""

from collections.abc import Sequence
from typing import Any, final

from xpcnn import ops
from xpcnn.backend import Array, Key, filled
from xpcnn.errors import ConfigError
from xpcnn.ops.geometry import pads, pair, plain
from xpcnn.settings import count, flag

from . import initializers
from .base import Cache, Cost, Layer

__all__ = ["Conv2d"]

Size = int | Sequence[int]


@final
class Conv2d(Layer):
    """
    Two-dimensional convolution; the mathematics is in :func:`xpcnn.ops.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or pair (height, width), pixels
    stride, dilation : int or pair (height, width), pixels
    padding : int, pair (height, width), four (left, right, top, bottom), "same" or "valid"
        Zeros around the image, pixels. ``"same"`` keeps the image's size and needs stride 1.
    groups : int
        ``groups=in_channels`` makes a depthwise convolution.
    bias : bool
    init : str or callable
        Initializer of the weights, see :mod:`xpcnn.layers.initializers`. Biases start at zero.

    Attributes
    ----------
    params : ``weight`` of shape (O, C / groups, KH, KW), ``bias`` of shape (O,)

    Raises
    ------
    ConfigError
        If a size is not positive, a padding negative, or `groups` does not divide both channel counts.

    Examples
    --------
    >>> Conv2d(3, 16, 5, padding="same").output_shape((3, 32, 32))
    (16, 32, 32)
    """

    spares_input_grad = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        init: initializers.Initializer | str = "he_normal",
    ) -> None:
        who = type(self).__name__
        in_channels = count(who, "in_channels", in_channels)
        out_channels = count(who, "out_channels", out_channels)
        groups = count(who, "groups", groups)
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels)):
            if value % groups:
                message = f"{who}: expected groups to divide {name}={value}, got groups={groups}"
                raise ConfigError(message)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair(who, "kernel_size", kernel_size)
        self.stride, self.dilation = pair(who, "stride", stride), pair(who, "dilation", dilation)
        pads(who, padding, self.kernel_size, self.stride, self.dilation)
        self.padding = plain(padding)
        self.bias = flag(who, "bias", bias)
        initializers.get(init)
        self.init = init

    def init_params(self, key: Key) -> dict[str, Array]:
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        params = {"weight": initializers.get(self.init)(shape, key.child("weight"))}
        if self.bias:
            params["bias"] = filled((self.out_channels,), 0.0)
        return params

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = ops.conv2d(x, self.params["weight"], self.params.get("bias"), **self._settings())
        return y, self.keep(y, x) if train else None

    def backward(
        self, dy: Array, cache: Cache | None, *, input_grad: bool = True
    ) -> tuple[Array | None, dict[str, Array]]:
        (x,) = self.recall(dy, cache)
        dx, dw, db = ops.conv2d_backward(dy, x, self.params["weight"], input_grad=input_grad, **self._settings())
        return dx, {"weight": dw, "bias": db} if self.bias else {"weight": dw}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        weight = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        return ops.conv2d_shape((1, *input_shape), weight, **self._settings())[1:]

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        _, oh, ow = self.output_shape(input_shape)
        taps = self.kernel_size[0] * self.kernel_size[1] * self.in_channels
        columns = oh * ow * taps * itemsize
        macs = oh * ow * taps * (self.out_channels // self.groups)
        return Cost(macs, keeps_input=True, workspace=columns)

    def _settings(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }
