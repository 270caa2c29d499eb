"""
The mathematics: pure functions on arrays of any library, forward and backward side by side, with the derivation.

Nothing here has state. An op takes arrays and returns new ones of the same library, device and dtype.
"""

from .activations import (
    add_relu,
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    tanh,
    tanh_backward,
)
from .adaptive_pool import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
    adaptive_shape,
    global_max_pool2d,
    global_max_pool2d_backward,
)
from .conv import conv2d, conv2d_backward, conv2d_shape
from .conv1d import conv1d, conv1d_backward, conv1d_shape
from .conv_norm import conv2d_norm
from .conv_transpose import conv_transpose2d, conv_transpose2d_backward, conv_transpose2d_shape
from .dropout import dropout, dropout2d, dropout2d_backward, dropout_backward
from .elu import elu, elu_backward, selu, selu_backward
from .erfcx import erfcx
from .gated import hardswish, hardswish_backward, mish, mish_backward, silu, silu_backward
from .gelu import gelu, gelu_backward
from .group_norm import group_norm, group_norm_backward
from .layer_norm import layer_norm, layer_norm_backward
from .linear import linear, linear_backward
from .local_response_norm import local_response_norm, local_response_norm_backward
from .losses import (
    bce_with_logits,
    focal,
    huber,
    l1,
    mse,
    nll,
    sigmoid_focal,
    smooth_l1,
    softmax_cross_entropy,
)
from .merge import (
    add,
    add_backward,
    concatenate,
    concatenate_backward,
    concatenate_shape,
    multiply,
    multiply_backward,
    multiply_shape,
)
from .norm import batch_norm, batch_norm_backward, batch_statistics, moved
from .padding import (
    padded_shape,
    reflection_pad2d,
    reflection_pad2d_backward,
    replication_pad2d,
    replication_pad2d_backward,
    zero_pad2d,
    zero_pad2d_backward,
)
from .pool import (
    avg_pool2d,
    avg_pool2d_backward,
    global_avg_pool2d,
    global_avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from .pool_windows import pool_shape
from .prelu import prelu, prelu_backward
from .softmax import log_softmax, log_softmax_backward, softmax, softmax_backward
from .softplus import softplus, softplus_backward
from .upsample import upsample2d, upsample2d_backward, upsample2d_shape
from .windows import windows, windows_adjoint

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "adaptive_shape",
    "add",
    "add_backward",
    "add_relu",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_statistics",
    "bce_with_logits",
    "concatenate",
    "concatenate_backward",
    "concatenate_shape",
    "conv1d",
    "conv1d_backward",
    "conv1d_shape",
    "conv2d",
    "conv2d_backward",
    "conv2d_norm",
    "conv2d_shape",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose2d_shape",
    "dropout",
    "dropout2d",
    "dropout2d_backward",
    "dropout_backward",
    "elu",
    "elu_backward",
    "erfcx",
    "focal",
    "gelu",
    "gelu_backward",
    "global_avg_pool2d",
    "global_avg_pool2d_backward",
    "global_max_pool2d",
    "global_max_pool2d_backward",
    "group_norm",
    "group_norm_backward",
    "hardswish",
    "hardswish_backward",
    "huber",
    "l1",
    "layer_norm",
    "layer_norm_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "local_response_norm",
    "local_response_norm_backward",
    "log_softmax",
    "log_softmax_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "mish",
    "mish_backward",
    "moved",
    "mse",
    "multiply",
    "multiply_backward",
    "multiply_shape",
    "nll",
    "padded_shape",
    "pool_shape",
    "prelu",
    "prelu_backward",
    "reflection_pad2d",
    "reflection_pad2d_backward",
    "relu",
    "relu_backward",
    "replication_pad2d",
    "replication_pad2d_backward",
    "selu",
    "selu_backward",
    "sigmoid",
    "sigmoid_backward",
    "sigmoid_focal",
    "silu",
    "silu_backward",
    "smooth_l1",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softplus",
    "softplus_backward",
    "tanh",
    "tanh_backward",
    "upsample2d",
    "upsample2d_backward",
    "upsample2d_shape",
    "windows",
    "windows_adjoint",
    "zero_pad2d",
    "zero_pad2d_backward",
]
