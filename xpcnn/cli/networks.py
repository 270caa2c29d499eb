"""The networks that have a name on the command line, and how each is made for a data set."""

from collections.abc import Callable
from typing import NamedTuple

from xpcnn import models
from xpcnn.backend import Device
from xpcnn.errors import ConfigError, XpcnnError
from xpcnn.models import Model, Sequential

__all__ = ["NETWORKS", "make", "name_of"]

Shape = tuple[int, ...]


class Network(NamedTuple):
    """A function that makes a network, and the shape of its inputs: (1, 28, 28), (C, 32, 32), or any."""

    build: Callable[..., Sequential]
    channels: int | None = None
    size: tuple[int, int] | None = None


NETWORKS = {
    "deepnotes": Network(models.deepnotes, 1, (28, 28)),
    "keras_mnist": Network(models.keras_mnist, 1, (28, 28)),
    "lenet5": Network(models.lenet5, 1, (28, 28)),
    "torch_mnist": Network(models.torch_mnist, 1, (28, 28)),
    "fashion_small": Network(models.fashion_small, 1, (28, 28)),
    "fashion": Network(models.fashion, 1, (28, 28)),
    "small_vgg": Network(models.small_vgg),
    "resnet9": Network(models.resnet9, size=(32, 32)),
    "resnet18": Network(models.resnet18),
    "resnet50": Network(models.resnet50),
}


def make(
    name: str,
    shape: Shape,
    num_classes: int = 10,
    *,
    seed: int = 0,
    device: str | Device = "cpu",
    dtype: str = "float32",
) -> Sequential:
    """
    A network for images of a shape.

    Parameters
    ----------
    name : str
        Of :data:`NETWORKS`.
    shape : (C, H, W)
        Of one image. A network for a larger size is made for that: the images are to be padded.
    num_classes : int
    seed : int
    device : str or Device
    dtype : str

    Raises
    ------
    ConfigError
        If the network does not take such images.

    Examples
    --------
    >>> make("resnet9", (1, 28, 28)).input_shape
    (1, 32, 32)
    """
    build, channels, size = NETWORKS[name]
    if channels not in (None, shape[0]) or (size and (shape[1] > size[0] or shape[2] > size[1])):
        wanted = f"({channels or 'C'}, {size[0]}, {size[1]})" if size else "(C, H, W)"
        message = f"{name}: expected images of shape {wanted} or smaller, got {shape}"
        raise ConfigError(message)
    if channels is not None:
        return build(seed=seed, device=device, dtype=dtype)
    options = {"in_channels": shape[0], "num_classes": num_classes, "seed": seed, "device": device, "dtype": dtype}
    return build(**options) if size else build(input_shape=shape, **options)


def name_of(model: Model) -> str | None:
    """
    Which of :data:`NETWORKS` a model is, by its layers; None: another one.

    Examples
    --------
    >>> name_of(models.lenet5(seed=3))
    'lenet5'
    """
    shape = model.input_shape
    if shape is None or len(shape) != 3:
        return None
    for name in NETWORKS:
        try:
            if repr(make(name, shape, *model.output_shape(shape))) == repr(model):
                return name
        except (XpcnnError, TypeError):  # for other images, or not for classes
            continue
    return None
