"""Small ready-made networks for 28x28 grey images."""

from typing import Any

from xpcnn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Tanh

from .options import check_options
from .sequential import Sequential

__all__ = ["deepnotes", "keras_mnist", "lenet5", "torch_mnist"]

SHAPE = (1, 28, 28)


def deepnotes(**options: Any) -> Sequential:
    """
    The network of the tutorial "Implementing CNN" (deepnotes.io, "Classify MNIST"): 202,738 parameters.

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
    >>> sum(p.size for p in deepnotes().params.values())
    202738
    """
    check_options("deepnotes", options, SHAPE)
    return Sequential(
        Conv2d(1, 16, 5, padding=2),
        ReLU(),
        MaxPool2d(2),
        Conv2d(16, 32, 5, padding=2),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(32 * 7 * 7, 120),
        ReLU(),
        Linear(120, 10),
        input_shape=SHAPE,
        **options,
    )


def keras_mnist(**options: Any) -> Sequential:
    """
    The network of Keras' example "Simple MNIST convnet": 34,826 parameters.

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
    >>> sum(p.size for p in keras_mnist().params.values())
    34826
    """
    check_options("keras_mnist", options, SHAPE)
    return Sequential(
        Conv2d(1, 32, 3),
        ReLU(),
        MaxPool2d(2),
        Conv2d(32, 64, 3),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Dropout(0.5),
        Linear(64 * 5 * 5, 10),
        input_shape=SHAPE,
        **options,
    )


def lenet5(**options: Any) -> Sequential:
    """
    LeNet-5 as it is usually taught: 61,706 parameters.

    Parameters
    ----------
    **options
        ``device``, ``dtype`` and ``seed`` of `Sequential`.

    Returns
    -------
    model : Sequential
        (N, 1, 28, 28) to scores (N, 10).

    Notes
    -----
    After LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition", section
    II.B and figure 2, with today's simplifications: padding for their 32x32 images, plain tanh and means for scaled
    tanh and trained subsampling, every map of C3 linked to all of S2, scores for distances to drawn characters.

    Examples
    --------
    >>> sum(p.size for p in lenet5().params.values())
    61706
    """
    check_options("lenet5", options, SHAPE)
    return Sequential(
        Conv2d(1, 6, 5, padding=2, init="xavier_uniform"),
        Tanh(),
        AvgPool2d(2),
        Conv2d(6, 16, 5, init="xavier_uniform"),
        Tanh(),
        AvgPool2d(2),
        Flatten(),
        Linear(16 * 5 * 5, 120, init="xavier_uniform"),
        Tanh(),
        Linear(120, 84, init="xavier_uniform"),
        Tanh(),
        Linear(84, 10, init="xavier_uniform"),
        input_shape=SHAPE,
        **options,
    )


def torch_mnist(**options: Any) -> Sequential:
    """
    The network of PyTorch's example "Basic MNIST": 1,199,882 parameters.

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
    >>> sum(p.size for p in torch_mnist().params.values())
    1199882
    """
    check_options("torch_mnist", options, SHAPE)
    return Sequential(
        Conv2d(1, 32, 3),
        ReLU(),
        Conv2d(32, 64, 3),
        ReLU(),
        MaxPool2d(2),
        Dropout(0.25),
        Flatten(),
        Linear(64 * 12 * 12, 128),
        ReLU(),
        Dropout(0.5),
        Linear(128, 10),
        input_shape=SHAPE,
        **options,
    )
