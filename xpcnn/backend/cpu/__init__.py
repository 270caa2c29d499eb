"""
Kernels for NumPy arrays: threads, memory that is used again, and layers computed tile by tile.

They answer in place of the generic bodies in ``xpcnn.ops`` unless ``XPCNN_KERNELS=generic`` turns them off.

To read: `threads`, `memory` and `caches` (what all stand on); `nodes` (what a layer is here, with the simple ones);
`tiles` (how a run of them is computed); then the layers with more to them: `windows` and `winograd` (the two ways of
`conv`), `pool`, `norm`, `linear`. Beside the tiles: `ops` (functions of ``xpcnn.ops``, for a layer called alone),
`products` and `elementwise` (large arrays, in parts), `update` (optimizers). docs/performance.md explains it all.
"""

from xpcnn.backend.registry import accelerates

from . import ops as ops  # its kernels register themselves
from .caches import level2
from .conv import Convolution
from .elementwise import add
from .linear import Linear
from .memory import Arena, Scratch
from .nodes import Dropout, Flatten, Node, ReLU, Tile, channels_first, channels_last
from .norm import BatchNorm
from .pool import MaxPool, MaxPoolPairs
from .products import matmul
from .threads import get_num_threads, set_num_threads, single_threaded_blas, spread
from .tiles import Run, suits
from .update import in_pieces

__all__ = [
    "Arena",
    "BatchNorm",
    "Convolution",
    "Dropout",
    "Flatten",
    "Linear",
    "MaxPool",
    "MaxPoolPairs",
    "Node",
    "ReLU",
    "Run",
    "Scratch",
    "Tile",
    "add",
    "channels_first",
    "channels_last",
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
