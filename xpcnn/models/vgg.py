"""A small network in the style of VGG."""

from typing import Any

from xpcnn.layers import BatchNorm2d, Conv2d, GlobalAvgPool2d, Layer, Linear, MaxPool2d, ReLU

from .options import check_options
from .sequential import Sequential

__all__ = ["conv_bn_relu", "small_vgg"]


def conv_bn_relu(in_channels: int, out_channels: int, stride: int = 1) -> list[Layer]:
    """A 3x3 convolution without bias (batch norm has one), batch norm, ReLU."""
    return [
        Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
        BatchNorm2d(out_channels),
        ReLU(),
    ]


def small_vgg(in_channels: int = 3, num_classes: int = 10, **options: Any) -> Sequential:
    """
    Six 3x3 convolutions with batch norm in three stages of 32, 64 and 128 channels, then a global mean.

    Parameters
    ----------
    in_channels, num_classes : int
    **options
        ``device``, ``dtype``, ``seed`` and ``input_shape`` of `Sequential`; the shape is 32x32 unless given.

    Returns
    -------
    model : Sequential
        (N, in_channels, H, W) to scores (N, num_classes).

    Notes
    -----
    After Simonyan and Zisserman (2015), with batch norm for dropout and a global mean for the large Linear layers.

    Examples
    --------
    >>> small_vgg().output_shape((3, 32, 32))
    (10,)
    """
    check_options("small_vgg", options)
    options.setdefault("input_shape", (in_channels, 32, 32))
    layers: list[Layer] = []
    channels = in_channels
    for width in (32, 64, 128):
        layers += [*conv_bn_relu(channels, width), *conv_bn_relu(width, width)]
        if width < 128:
            layers.append(MaxPool2d(2))
        channels = width
    return Sequential(*layers, GlobalAvgPool2d(), Linear(128, num_classes), **options)
