"""
xpcnn: convolutional networks for NumPy and CuPy, written once against the Python Array API.

>>> import xpcnn
>>> model = xpcnn.models.deepnotes()
>>> model.output_shape((1, 28, 28))
(10,)
"""

import logging as _logging

from . import errors, layers, models, ops, optimizers, training
from .data import datasets
from .layers import (
    L1,
    L2,
    MSE,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    Add,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Concatenate,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    Layer,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MaxPool2d,
    Multiply,
    ReflectionPad2d,
    ReLU,
    ReplicationPad2d,
    Sigmoid,
    Softmax,
    SoftmaxCrossEntropy,
    Tanh,
    Upsample,
    ZeroPad2d,
)
from .models import Concat, Graph, Residual, Sequential, SqueezeExcite, load, register
from .training import Callback, CSVLogger, EarlyStopping, History, ProgressBar, Trainer

__version__ = "0.1.0"

__all__ = [
    "L1",
    "L2",
    "MSE",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "Add",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "CSVLogger",
    "Callback",
    "Concat",
    "Concatenate",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "Graph",
    "History",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MaxPool2d",
    "Multiply",
    "ProgressBar",
    "ReLU",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "SoftmaxCrossEntropy",
    "SqueezeExcite",
    "Tanh",
    "Trainer",
    "Upsample",
    "ZeroPad2d",
    "datasets",
    "errors",
    "layers",
    "load",
    "models",
    "ops",
    "optimizers",
    "register",
    "training",
]

_logging.getLogger("xpcnn").addHandler(_logging.NullHandler())
