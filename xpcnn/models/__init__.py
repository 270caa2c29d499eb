"""Models: how layers are wired, saved and described; and ready-made networks."""

from .blocks import Concat, Residual
from .container import Container
from .fashion import fashion, fashion_small
from .files import load
from .graph import Graph
from .mnist import deepnotes, keras_mnist, lenet5, torch_mnist
from .model import Model
from .registry import register
from .resnet import resnet9, resnet18, resnet50
from .sequential import Sequential
from .squeeze_excite import SqueezeExcite
from .vgg import small_vgg

__all__ = [
    "Concat",
    "Container",
    "Graph",
    "Model",
    "Residual",
    "Sequential",
    "SqueezeExcite",
    "deepnotes",
    "fashion",
    "fashion_small",
    "keras_mnist",
    "lenet5",
    "load",
    "register",
    "resnet9",
    "resnet18",
    "resnet50",
    "small_vgg",
    "torch_mnist",
]
