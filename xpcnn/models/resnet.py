"""Residual networks."""

from typing import Any

from xpcnn.layers import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Layer, Linear, MaxPool2d, ReLU
from xpcnn.settings import count

from .blocks import Residual
from .options import check_options
from .sequential import Sequential
from .vgg import conv_bn_relu

__all__ = ["resnet9", "resnet18", "resnet50"]


def resnet9(in_channels: int = 3, num_classes: int = 10, width: int = 64, **options: Any) -> Sequential:
    """
    Nine layers with weights, two residual blocks, for 32x32 images; 6,573,120 parameters for ten classes.

    Parameters
    ----------
    in_channels, num_classes : int
    width : int
        Channels of the first convolution; the others have 2, 4 and 8 times as many.
    **options
        ``device``, ``dtype`` and ``seed`` of `Sequential`.

    Returns
    -------
    model : Sequential
        (N, in_channels, 32, 32) to scores (N, num_classes).

    Notes
    -----
    After David Page, "How to train your ResNet" (2018), without the final scaling by 1/8.

    Examples
    --------
    >>> sum(p.size for p in resnet9().params.values())
    6573120
    """

    width = count("resnet9", "width", width)
    shape = (in_channels, 32, 32)
    check_options("resnet9", options, shape)

    def block(channels: int) -> Residual:
        return Residual(Sequential(*conv_bn_relu(channels, channels), *conv_bn_relu(channels, channels)))

    return Sequential(
        *conv_bn_relu(in_channels, width),
        *conv_bn_relu(width, 2 * width),
        MaxPool2d(2),
        block(2 * width),
        *conv_bn_relu(2 * width, 4 * width),
        MaxPool2d(2),
        *conv_bn_relu(4 * width, 8 * width),
        MaxPool2d(2),
        block(8 * width),
        MaxPool2d(4),
        Flatten(),
        Linear(8 * width, num_classes, bias=False),
        input_shape=shape,
        **options,
    )


def resnet18(in_channels: int = 3, num_classes: int = 10, small_images: bool = True, **options: Any) -> Sequential:
    """
    ResNet-18: eight basic blocks in four stages of 64 to 512 channels.

    Parameters
    ----------
    in_channels, num_classes : int
    small_images : bool
        For 32x32 images: a 3x3 convolution of stride 1 at the start. Else for 224x224: 7x7 of stride 2 and max pooling.
    **options
        ``device``, ``dtype``, ``seed`` and ``input_shape`` of `Sequential`.

    Returns
    -------
    model : Sequential
        (N, in_channels, H, W) to scores (N, num_classes).

    Notes
    -----
    He, Zhang, Ren and Sun (2016), table 1, with a projection where the shape changes (their option B).

    Examples
    --------
    >>> resnet18().output_shape((3, 32, 32))
    (10,)
    """
    layers: list[Layer] = _stem("resnet18", in_channels, small_images, options)
    channels = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [*_basic_block(channels, width, stride), *_basic_block(width, width, 1)]
        channels = width
    return Sequential(*layers, GlobalAvgPool2d(), Linear(512, num_classes), **options)


def resnet50(in_channels: int = 3, num_classes: int = 10, small_images: bool = True, **options: Any) -> Sequential:
    """
    ResNet-50: sixteen bottleneck blocks in four stages of 256 to 2048 channels.

    Parameters
    ----------
    in_channels, num_classes : int
    small_images : bool
        For 32x32 images: a 3x3 convolution of stride 1 at the start. Else for 224x224: 7x7 of stride 2 and max pooling.
    **options
        ``device``, ``dtype``, ``seed`` and ``input_shape`` of `Sequential`.

    Returns
    -------
    model : Sequential
        (N, in_channels, H, W) to scores (N, num_classes).

    Notes
    -----
    He, Zhang, Ren and Sun (2016), table 1, with a projection where the shape changes (their option B). As in PyTorch
    the 3x3 convolution of a block has its stride, in the paper the 1x1 before it.

    Examples
    --------
    >>> sum(p.size for p in resnet50(num_classes=1000, small_images=False).params.values())
    25557032
    """
    layers: list[Layer] = _stem("resnet50", in_channels, small_images, options)
    channels = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(blocks):
            layers += _bottleneck(channels, width, stride if i == 0 else 1)
            channels = 4 * width
    return Sequential(*layers, GlobalAvgPool2d(), Linear(2048, num_classes), **options)


def _stem(who: str, in_channels: int, small_images: bool, options: dict[str, Any]) -> list[Layer]:
    """What comes before the blocks; looks at the options, and puts the shape of an image into them."""
    check_options(who, options)
    size = 32 if small_images else 224
    options.setdefault("input_shape", (in_channels, size, size))
    if small_images:
        return conv_bn_relu(in_channels, 64)
    convolution = Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
    return [convolution, BatchNorm2d(64), ReLU(), MaxPool2d(3, stride=2, padding=1)]


def _bottleneck(in_channels: int, width: int, stride: int) -> list[Layer]:
    body = Sequential(
        *(Conv2d(in_channels, width, 1, bias=False), BatchNorm2d(width), ReLU()),
        *conv_bn_relu(width, width, stride),
        *(Conv2d(width, 4 * width, 1, bias=False), BatchNorm2d(4 * width)),
    )
    return [Residual(body, _projection(in_channels, 4 * width, stride)), ReLU()]


def _basic_block(in_channels: int, out_channels: int, stride: int) -> list[Layer]:
    body = Sequential(
        *conv_bn_relu(in_channels, out_channels, stride),
        Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        BatchNorm2d(out_channels),
    )
    return [Residual(body, _projection(in_channels, out_channels, stride)), ReLU()]


def _projection(in_channels: int, out_channels: int, stride: int) -> Sequential | None:
    """The shortcut of a block: none where it keeps the shape, else a 1x1 convolution that changes it."""
    if stride == 1 and in_channels == out_channels:
        return None
    return Sequential(Conv2d(in_channels, out_channels, 1, stride, bias=False), BatchNorm2d(out_channels))
