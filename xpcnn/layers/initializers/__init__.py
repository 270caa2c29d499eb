"""
Initial weights: the distributions of Glorot, He and LeCun, orthogonal matrices, and constants.

The first three choose the variance of the weights so that signals keep their size from layer to layer: Glorot and
Bengio for the mean of the two directions and a linear activation, He et al. for the forward direction and ReLU, which
throws half of the variance away, LeCun et al. for the forward direction and an activation of slope 1 (SELU wants it).
A weight of shape ``(out, in)`` sums over ``fan_in = in`` inputs and feeds ``fan_out = out`` outputs; one of shape
``(O, C/groups, kh, kw)`` sums over ``fan_in = C/groups * kh * kw``, and is counted with ``fan_out = O * kh * kw`` as in
PyTorch.

Each is a function ``(shape, key) -> array``, float64 and drawn on the host, so that the numbers are the same for every
device and dtype. By name, a value follows a colon: ``"constant:0.5"``, ``"orthogonal:1.414"``. A name is text, so a
model file keeps it whole.
"""

from .constants import constant, ones, zeros
from .fan_in import fans
from .matrices import orthogonal
from .names import Initializer, get
from .scaled import (
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    torch_default,
    xavier_normal,
    xavier_uniform,
)

__all__ = [
    "Initializer",
    "constant",
    "fans",
    "get",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "torch_default",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]
