"""Layers: parameters and buffers, each class a thin shell over one op; and the losses at the end of a network."""

from .activations import LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from .base import Cache, Cost, Layer
from .conv import Conv1d, Conv2d, ConvTranspose2d
from .dropout import Dropout
from .flatten import Flatten
from .linear import Linear
from .losses import MSE, Loss, SoftmaxCrossEntropy, get_loss
from .merge import Add, Concatenate, Merge, Multiply
from .norm import BatchNorm1d, BatchNorm2d
from .padding import ReflectionPad2d, ReplicationPad2d, ZeroPad2d
from .penalties import L1, L2
from .pool import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    MaxPool2d,
)
from .upsample import Upsample

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
    "Cache",
    "Concatenate",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Cost",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Loss",
    "MaxPool2d",
    "Merge",
    "Multiply",
    "ReLU",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Sigmoid",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Tanh",
    "Upsample",
    "ZeroPad2d",
    "get_loss",
]
