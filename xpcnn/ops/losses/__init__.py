"""Losses: the value and the gradient at the network's output, in one go."""

from .binary import bce_with_logits
from .cross_entropy import cross_entropy_total, nll, softmax_cross_entropy
from .focal import focal, sigmoid_focal
from .regression import huber, l1, mse, smooth_l1
from .targets import check_target

__all__ = [
    "bce_with_logits",
    "check_target",
    "cross_entropy_total",
    "focal",
    "huber",
    "l1",
    "mse",
    "nll",
    "sigmoid_focal",
    "smooth_l1",
    "softmax_cross_entropy",
]
