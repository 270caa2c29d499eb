"""Networks with batch norm for 28x28 grey images that are harder than digits."""

from typing import Any

from xpcnn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU

from .options import check_options
from .sequential import Sequential
from .vgg import conv_bn_relu

__all__ = ["fashion", "fashion_small"]

SHAPE = (1, 28, 28)


def fashion_small(**options: Any) -> Sequential:
    """
    Four convolutions of 32 to 64 channels with batch norm, and one linear layer: 110,410 parameters.

    Parameters
    ----------
    **options
        ``device``, ``dtype`` and ``seed`` of `Sequential`.

    Returns
    -------
    model : Sequential
        (N, 1, 28, 28) to scores (N, 10).

    Examples
    --------
    >>> sum(p.size for p in fashion_small().params.values())
    110410
    """
    return _network("fashion_small", (32, 48), (64, 64), 0.4, options)


def fashion(**options: Any) -> Sequential:
    """
    Four convolutions of 32 to 128 channels with batch norm, and one linear layer: 303,338 parameters.

    Parameters
    ----------
    **options
        ``device``, ``dtype`` and ``seed`` of `Sequential`.

    Returns
    -------
    model : Sequential
        (N, 1, 28, 28) to scores (N, 10).

    Examples
    --------
    >>> sum(p.size for p in fashion().params.values())
    303338
    """
    return _network("fashion", (32, 64), (128, 128), 0.5, options)


def _network(
    who: str, pooled: tuple[int, int], wide: tuple[int, int], p: float, options: dict[str, Any]
) -> Sequential:
    """Two convolutions with pooling, to 7x7 pixels, and two without; then all pixels of all channels count."""
    check_options(who, options, SHAPE)
    layers: list[Layer] = []
    channels = 1
    for width in pooled:
        # pooled before the norm: a quarter of the work, and the maximum of what comes out is the same where the scale
        # of the norm is positive
        conv = Conv2d(channels, width, 3, padding=1, bias=False)
        layers += [conv, MaxPool2d(2), BatchNorm2d(width), ReLU()]
        channels = width
    for width in wide:
        layers += conv_bn_relu(channels, width)
        channels = width
    return Sequential(
        *layers, Dropout(p), Flatten(), Linear(channels * 7 * 7, 10), input_shape=SHAPE, **options
    )
