"""Layers: parameters and buffers, each class a thin shell over one op; and the losses at the end of a network."""

from .activations import ELU, SELU, LeakyReLU, ReLU, Sigmoid, Softplus, Tanh
from .base import Cache, Cost, Layer
from .conv import Conv1d, Conv2d, ConvTranspose2d
from .dropout import Dropout, Dropout2d
from .flatten import Flatten
from .gated import GELU, HardSwish, Hardswish, Mish, SiLU
from .group_norm import GroupNorm, InstanceNorm2d
from .layer_norm import LayerNorm
from .linear import Linear
from .local_response_norm import LocalResponseNorm
from .losses import (
    MSE,
    BCEWithLogitsLoss,
    FocalLoss,
    HuberLoss,
    L1Loss,
    Loss,
    NLLLoss,
    SigmoidFocalLoss,
    SmoothL1Loss,
    SoftmaxCrossEntropy,
    get_loss,
)
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
from .prelu import PReLU
from .softmax import LogSoftmax, Softmax
from .upsample import Upsample

__all__ = [
    "ELU",
    "GELU",
    "L1",
    "L2",
    "MSE",
    "SELU",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "Add",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Cache",
    "Concatenate",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Cost",
    "Dropout",
    "Dropout2d",
    "Flatten",
    "FocalLoss",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "GroupNorm",
    "HardSwish",
    "Hardswish",
    "HuberLoss",
    "InstanceNorm2d",
    "L1Loss",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "Loss",
    "MaxPool2d",
    "Merge",
    "Mish",
    "Multiply",
    "NLLLoss",
    "PReLU",
    "ReLU",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "SiLU",
    "Sigmoid",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Softplus",
    "Tanh",
    "Upsample",
    "ZeroPad2d",
    "get_loss",
]
