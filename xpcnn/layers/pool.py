"""Pooling layers."""

import math
from collections.abc import Sequence
from typing import final

from xpcnn import ops
from xpcnn.backend import Array
from xpcnn.ops.adaptive_windows import OutputSize, output_pair, place_bytes
from xpcnn.ops.checks import check_images
from xpcnn.ops.geometry import pair, plain
from xpcnn.settings import flag

from .base import Cache, Cost, Layer

__all__ = ["AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "AvgPool2d", "GlobalAvgPool2d", "GlobalMaxPool2d", "MaxPool2d"]

Size = int | Sequence[int]


@final
class MaxPool2d(Layer):
    """
    Largest entry of each window; the mathematics is in :func:`xpcnn.ops.max_pool2d`.

    Parameters
    ----------
    kernel_size : int or pair (height, width), pixels
    stride : int or pair, pixels
        Default: the kernel size.
    padding : int, pair or four (left, right, top, bottom), pixels
        At most half the kernel.
    dilation : int or pair, pixels
    ceil_mode : bool
        Round the number of windows up.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> MaxPool2d(2).output_shape((16, 28, 28))
    (16, 14, 14)
    """

    narrow = ("x", "y")

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
    ) -> None:
        _check_settings(type(self).__name__, kernel_size, stride, padding, dilation)
        self.kernel_size, self.stride, self.padding = plain(kernel_size), plain(stride), plain(padding)
        self.dilation, self.ceil_mode = plain(dilation), flag(self, "ceil_mode", ceil_mode)

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y, index = ops.max_pool2d(x, **self.config())
        return y, self.keep(y, index, tuple(x.shape)) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        index, shape = self.recall(dy, cache)
        return ops.max_pool2d_backward(dy, index, shape, **self.config()), {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return ops.pool_shape(type(self).__name__, (1, *input_shape), **self.config())[1:]

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        place = 1 if math.prod(pair("MaxPool2d", "kernel_size", self.kernel_size)) <= 256 else 4  # bytes, see the op
        return Cost(extra=math.prod(self.output_shape(input_shape)) * place)


@final
class AvgPool2d(Layer):
    """
    Mean of each window; the mathematics is in :func:`xpcnn.ops.avg_pool2d`.

    Parameters
    ----------
    kernel_size : int or pair (height, width), pixels
    stride : int or pair, pixels
        Default: the kernel size.
    padding : int, pair or four (left, right, top, bottom), pixels
        Zeros, at most half the kernel.
    ceil_mode : bool
        Round the number of windows up.
    count_include_pad : bool
        Whether the padding's zeros count as entries.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> AvgPool2d(2).output_shape((16, 28, 28))
    (16, 14, 14)
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        _check_settings(type(self).__name__, kernel_size, stride, padding, 1)
        self.kernel_size, self.stride, self.padding = plain(kernel_size), plain(stride), plain(padding)
        self.ceil_mode = flag(self, "ceil_mode", ceil_mode)
        self.count_include_pad = flag(self, "count_include_pad", count_include_pad)

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = ops.avg_pool2d(x, **self.config())
        return y, self.keep(y, tuple(x.shape)) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (shape,) = self.recall(dy, cache)
        return ops.avg_pool2d_backward(dy, shape, **self.config()), {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        geometry = (self.kernel_size, self.stride, self.padding, 1, self.ceil_mode)
        return ops.pool_shape(type(self).__name__, (1, *input_shape), *geometry)[1:]


def _check_settings(who: str, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size) -> None:
    """Raise `ConfigError` at construction: an image as large as the windows' reach shows every bad setting."""
    kernel, step = pair(who, "kernel_size", kernel_size), pair(who, "dilation", dilation)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, step, strict=True)]
    ops.pool_shape(who, (1, 1, *reach), kernel_size, stride, padding, dilation)


@final
class GlobalAvgPool2d(Layer):
    """
    Mean of each channel over the image, (N, C, H, W) to (N, C); see :func:`xpcnn.ops.global_avg_pool2d`.

    Examples
    --------
    >>> GlobalAvgPool2d().output_shape((512, 4, 4))
    (512,)
    """

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = ops.global_avg_pool2d(x)
        return y, self.keep(y, tuple(x.shape)) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (shape,) = self.recall(dy, cache)
        return ops.global_avg_pool2d_backward(dy, shape), {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_images(type(self).__name__, (1, *input_shape))
        return (input_shape[0],)


@final
class GlobalMaxPool2d(Layer):
    """
    Largest entry of each channel over the image, (N, C, H, W) to (N, C); see :func:`xpcnn.ops.global_max_pool2d`.

    Examples
    --------
    >>> GlobalMaxPool2d().output_shape((512, 4, 4))
    (512,)
    """

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y, places = ops.global_max_pool2d(x)
        return y, self.keep(y, places, tuple(x.shape)) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        places, shape = self.recall(dy, cache)
        return ops.global_max_pool2d_backward(dy, places, shape), {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_images(type(self).__name__, (1, *input_shape))
        return (input_shape[0],)

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(extra=_bytes_of_places(input_shape, (1, 1)))


@final
class AdaptiveAvgPool2d(Layer):
    """
    Means of windows that share the image out evenly; the mathematics is in :func:`xpcnn.ops.adaptive_avg_pool2d`.

    Parameters
    ----------
    output_size : int or pair (height, width), pixels
        None in a pair keeps the size of the image.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> AdaptiveAvgPool2d(7).output_shape((512, 9, 12))
    (512, 7, 7)
    """

    def __init__(self, output_size: OutputSize) -> None:
        output_pair(type(self).__name__, output_size)
        self.output_size = plain(output_size)

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y = ops.adaptive_avg_pool2d(x, self.output_size)
        return y, self.keep(y, tuple(x.shape)) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        (shape,) = self.recall(dy, cache)
        return ops.adaptive_avg_pool2d_backward(dy, shape, self.output_size), {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return ops.adaptive_shape(type(self).__name__, (1, *input_shape), self.output_size)[1:]


@final
class AdaptiveMaxPool2d(Layer):
    """
    Largest entries of windows that share the image out evenly; see :func:`xpcnn.ops.adaptive_max_pool2d`.

    Parameters
    ----------
    output_size : int or pair (height, width), pixels
        None in a pair keeps the size of the image.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> AdaptiveMaxPool2d((7, None)).output_shape((512, 9, 12))
    (512, 7, 12)
    """

    def __init__(self, output_size: OutputSize) -> None:
        output_pair(type(self).__name__, output_size)
        self.output_size = plain(output_size)

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, Cache | None]:
        y, places = ops.adaptive_max_pool2d(x, self.output_size)
        return y, self.keep(y, places, tuple(x.shape)) if train else None

    def backward(self, dy: Array, cache: Cache | None) -> tuple[Array, dict[str, Array]]:
        places, shape = self.recall(dy, cache)
        return ops.adaptive_max_pool2d_backward(dy, places, shape, self.output_size), {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return ops.adaptive_shape(type(self).__name__, (1, *input_shape), self.output_size)[1:]

    def cost(self, input_shape: tuple[int, ...], itemsize: int) -> Cost:
        return Cost(extra=_bytes_of_places(input_shape, self.output_shape(input_shape)[1:]))


def _bytes_of_places(input_shape: tuple[int, ...], out: tuple[int, ...]) -> int:
    """What the places of the maxima take: the columns (C, H, OW) and the rows (C, OH, OW)."""
    c, h, w = input_shape
    oh, ow = out
    return c * ow * (h * place_bytes(w, ow) + oh * place_bytes(h, oh))
