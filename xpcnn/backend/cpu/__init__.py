"""
Kernels for NumPy arrays: threads, memory that is used again, and layers computed tile by tile.

They answer in place of the generic bodies in ``xpcnn.ops`` unless ``XPCNN_KERNELS=generic`` turns them off.
"""

from xpcnn.backend.registry import accelerates

from . import ops as ops  # its kernels register themselves
from .caches import level2
from .conv import Convolution
from .elementwise import add
from .linear import Linear
from .memory import Arena, Scratch
from .nodes import Dropout, Flatten, MaxPool, MaxPoolPairs, Node, ReLU, Tile
from .norm import BatchNorm, FoldedNorm
from .products import matmul
from .threads import get_num_threads, set_num_threads, single_threaded_blas, spread
from .tiles import Frame, Run, suits
from .update import in_pieces

__all__ = [
    "Arena",
    "BatchNorm",
    "Convolution",
    "Dropout",
    "Flatten",
    "FoldedNorm",
    "Frame",
    "Linear",
    "MaxPool",
    "MaxPoolPairs",
    "Node",
    "ReLU",
    "Run",
    "Scratch",
    "Tile",
    "add",
    "get_num_threads",
    "in_pieces",
    "level2",
    "matmul",
    "set_num_threads",
    "single_threaded_blas",
    "spread",
    "suits",
]

accelerates("run", "numpy")(Run)
accelerates("update", "numpy")(in_pieces)
