"""Residual networks."""

from typing import Any

from xpcnn.layers import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Layer, Linear, MaxPool2d, ReLU
from xpcnn.settings import count

from .blocks import Residual
from .options import check_options
from .sequential import Sequential
from .vgg import conv_bn_relu

__all__ = ["resnet9", "resnet18"]


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
    check_options("resnet18", options)
    size = 32 if small_images else 224
    options.setdefault("input_shape", (in_channels, size, size))
    if small_images:
        layers: list[Layer] = conv_bn_relu(in_channels, 64)
    else:
        stem = Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        layers = [stem, BatchNorm2d(64), ReLU(), MaxPool2d(3, stride=2, padding=1)]
    channels = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [*_basic_block(channels, width, stride), *_basic_block(width, width, 1)]
        channels = width
    return Sequential(*layers, GlobalAvgPool2d(), Linear(512, num_classes), **options)


def _basic_block(in_channels: int, out_channels: int, stride: int) -> list[Layer]:
    body = Sequential(
        *conv_bn_relu(in_channels, out_channels, stride),
        Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        BatchNorm2d(out_channels),
    )
    shortcut = None
    if stride != 1 or in_channels != out_channels:
        project = Conv2d(in_channels, out_channels, 1, stride, bias=False)
        shortcut = Sequential(project, BatchNorm2d(out_channels))
    return [Residual(body, shortcut), ReLU()]
