"""
Kernels for CuPy arrays, in CUDA C: the files ``*.cu`` beside this one, and what launches them.

They answer in place of the generic bodies in ``xpcnn.ops`` unless ``XPCNN_KERNELS=generic`` turns them off. CuPy
compiles them when they are called first, and keeps the result on disk. Nothing here imports CuPy before that.
"""

from . import cross_entropy as cross_entropy  # its kernels register themselves
from . import dropout as dropout
from . import pool as pool
