"""
The mathematics: pure functions on arrays of any library, forward and backward side by side, with the derivation.

Nothing here has state. An op takes arrays and returns new ones of the same library, device and dtype.
"""

from .activations import (
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
from .conv_transpose import conv_transpose2d, conv_transpose2d_backward, conv_transpose2d_shape
from .dropout import dropout, dropout_backward
from .linear import linear, linear_backward
from .losses import mse, softmax_cross_entropy
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
from .norm import batch_norm, batch_norm_backward, batch_statistics
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
from .softmax import log_softmax, log_softmax_backward, softmax, softmax_backward
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
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_statistics",
    "concatenate",
    "concatenate_backward",
    "concatenate_shape",
    "conv1d",
    "conv1d_backward",
    "conv1d_shape",
    "conv2d",
    "conv2d_backward",
    "conv2d_shape",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose2d_shape",
    "dropout",
    "dropout_backward",
    "global_avg_pool2d",
    "global_avg_pool2d_backward",
    "global_max_pool2d",
    "global_max_pool2d_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "mse",
    "multiply",
    "multiply_backward",
    "multiply_shape",
    "padded_shape",
    "pool_shape",
    "reflection_pad2d",
    "reflection_pad2d_backward",
    "relu",
    "relu_backward",
    "replication_pad2d",
    "replication_pad2d_backward",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
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
