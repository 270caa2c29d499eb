"""Losses as objects: ``value, dlogits = loss(logits, target)``."""

from .base import Loss
from .binary import BCEWithLogitsLoss, SigmoidFocalLoss
from .classes import FocalLoss, NLLLoss, SoftmaxCrossEntropy
from .names import get_loss
from .regression import MSE, HuberLoss, L1Loss, SmoothL1Loss

__all__ = [
    "MSE",
    "BCEWithLogitsLoss",
    "FocalLoss",
    "HuberLoss",
    "L1Loss",
    "Loss",
    "NLLLoss",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "SoftmaxCrossEntropy",
    "get_loss",
]
