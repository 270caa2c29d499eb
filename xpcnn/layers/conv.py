"""The convolution layers: along images, along sequences, and transposed."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, final

from xpcnn import ops
from xpcnn.backend import Array, Key, filled, filters_last
from xpcnn.errors import ConfigError
from xpcnn.ops.conv_transpose import output_pads
from xpcnn.ops.geometry import pads, pair, plain, sides, single
from xpcnn.settings import count, flag

from . import initializers
from .base import Cache, Cost, Layer

__all__ = ["Conv1d", "Conv2d", "ConvTranspose2d"]

Size = int | Sequence[int]


class _Convolution(Layer):
    """What the three share: channels, groups and parameters, and the way to their op."""

    spares_input_grad = True
    narrow = ("x", "params", "y")

    stride: Any
    padding: Any
    dilation: Any
    _op: Callable[..., Array]
    _op_backward: Callable[..., tuple[Any, Array, Array]]
    _op_shape: Callable[..., tuple[int, ...]]

    def _learns(
        self, in_channels: int, out_channels: int, groups: int, bias: bool, init: initializers.Initializer | str
    ) -> None:
        """Check and keep what is common to all constructors."""
        self.in_channels = count(self, "in_channels", in_channels)
        self.out_channels = count(self, "out_channels", out_channels)
        self.groups = count(self, "groups", groups)
        for name, value in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if value % self.groups:
                message = f"{type(self).__name__}: expected groups to divide {name}={value}, got groups={self.groups}"
                raise ConfigError(message)
        self.bias = flag(self, "bias", bias)
        initializers.get(init)
        self.init = init

    @abstractmethod
    def _weight_shape(self) -> tuple[int, ...]:
        """Shape of the weights."""

    def _settings(self) -> dict[str, Any]:
        """What the op is told beside arrays."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    def init_params(self, key: Key) -> dict[str, Array]:
        weight = initializers.get(self.init)(self._weight_shape(), key.child("weight"))
        params = {"weight": filters_last(weight) if weight.ndim == 4 else weight}
        if self.bias:
            params["bias"] = filled((self.out_channels,), 0.0)
        return params

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        rectify = {"relu": True} if self.rectified else {}
        y = self._op(x, self.params["weight"], self.params.get("bias"), **self._settings(), **rectify)
        return y, self.keep(y, x, y if rectify else None) if train else None

    def backward(
        self, dy: Array, cache: Cache | None, *, input_grad: bool = True
    ) -> tuple[Array | None, dict[str, Array]]:
        x, y = self.recall(dy, cache)
        if y is not None:
            dy = ops.relu_backward(dy, y)
        dx, dw, db = self._op_backward(dy, x, self.params["weight"], input_grad=input_grad, **self._settings())
        return dx, {"weight": dw, "bias": db} if self.bias else {"weight": dw}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return self._op_shape((1, *input_shape), self._weight_shape(), **self._settings())[1:]

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        # every place meets every weight; its window has as many entries as it meets of one filter, in each group
        places = math.prod(self._places(input_shape)[1:])
        filters, *window = self._weight_shape()
        macs = places * filters * math.prod(window)
        return Cost(macs, keeps_input=True, workspace=places * math.prod(window) * self.groups * itemsize)

    def _places(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the images whose pixels each stand for a window: the output, but the input of a transposed one."""
        return self.output_shape(input_shape)


@final
class Conv2d(_Convolution):
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

    rectifies = True
    _op = staticmethod(ops.conv2d)
    _op_backward = staticmethod(ops.conv2d_backward)
    _op_shape = staticmethod(ops.conv2d_shape)

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
        self._learns(in_channels, out_channels, groups, bias, init)
        self.kernel_size = pair(who, "kernel_size", kernel_size)
        self.stride, self.dilation = pair(who, "stride", stride), pair(who, "dilation", dilation)
        pads(who, padding, self.kernel_size, self.stride, self.dilation)
        self.padding = plain(padding)

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)


@final
class Conv1d(_Convolution):
    """
    One-dimensional convolution of sequences (N, C, L); the mathematics is in :func:`xpcnn.ops.conv1d`.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int, entries
    padding : int, pair (left, right), "same" or "valid"
        Zeros around the sequence. ``"same"`` keeps its length and needs stride 1;
        ``(dilation * (kernel_size - 1), 0)`` makes a causal convolution.
    groups : int
        ``groups=in_channels`` makes a depthwise convolution.
    bias : bool
    init : str or callable
        Initializer of the weights, see :mod:`xpcnn.layers.initializers`. Biases start at zero.

    Attributes
    ----------
    params : ``weight`` of shape (O, C / groups, K), ``bias`` of shape (O,)

    Raises
    ------
    ConfigError
        If a size is not positive, a padding negative, or `groups` does not divide both channel counts.

    Examples
    --------
    >>> Conv1d(2, 16, 5, stride=2, padding=2).output_shape((2, 100))
    (16, 50)
    """

    _op = staticmethod(ops.conv1d)
    _op_backward = staticmethod(ops.conv1d_backward)
    _op_shape = staticmethod(ops.conv1d_shape)

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
        self._learns(in_channels, out_channels, groups, bias, init)
        self.kernel_size = single(who, "kernel_size", kernel_size)
        self.stride, self.dilation = single(who, "stride", stride), single(who, "dilation", dilation)
        sides(who, padding, self.kernel_size, self.stride, self.dilation)
        self.padding = plain(padding)

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels // self.groups, self.kernel_size)


@final
class ConvTranspose2d(_Convolution):
    """
    Two-dimensional transposed convolution, which enlarges images; the mathematics is in
    :func:`xpcnn.ops.conv_transpose2d`.

    It undoes the shapes of a ``Conv2d(out_channels, in_channels, ...)`` with the same settings, not its values.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or pair (height, width), pixels
    stride, dilation : int or pair (height, width), pixels
        ``stride=2`` doubles height and width, roughly.
    padding : int, pair (height, width), four (left, right, top, bottom), "same" or "valid"
        Pixels cropped off the output. ``"same"`` keeps the image's size and needs stride 1.
    output_padding : int or pair (height, width), pixels
        Added to the output's size at the bottom and right; less than the stride or the dilation.
    groups : int
    bias : bool
    init : str or callable
        Initializer of the weights, see :mod:`xpcnn.layers.initializers`; as in PyTorch their fan_in is
        ``out_channels / groups * KH * KW``. Biases start at zero.

    Attributes
    ----------
    params : ``weight`` of shape (C, O / groups, KH, KW), ``bias`` of shape (O,)

    Raises
    ------
    ConfigError
        If a size is not positive, a padding negative, `output_padding` too large, or `groups` does not divide both
        channel counts.

    Examples
    --------
    >>> ConvTranspose2d(16, 3, 4, stride=2, padding=1).output_shape((16, 14, 14))
    (3, 28, 28)
    """

    _op = staticmethod(ops.conv_transpose2d)
    _op_backward = staticmethod(ops.conv_transpose2d_backward)
    _op_shape = staticmethod(ops.conv_transpose2d_shape)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        *,
        init: initializers.Initializer | str = "he_normal",
    ) -> None:
        who = type(self).__name__
        self._learns(in_channels, out_channels, groups, bias, init)
        self.kernel_size = pair(who, "kernel_size", kernel_size)
        self.stride, self.dilation = pair(who, "stride", stride), pair(who, "dilation", dilation)
        pads(who, padding, self.kernel_size, self.stride, self.dilation)
        self.padding = plain(padding)
        self.output_padding = output_pads(output_padding, self.stride, self.dilation)

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"output_padding": self.output_padding}

    def _places(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.output_shape(input_shape)
        return input_shape
