"""
Kernels for CuPy arrays: CUDA C in the files ``*.cu`` beside this one, cuDNN and cuBLAS, and what launches them.

They answer in place of the generic bodies in ``xpcnn.ops`` unless ``XPCNN_KERNELS=generic`` turns them off. CuPy
compiles the former when they are called first, and keeps the result on disk. Nothing here imports CuPy before that.
"""

from . import adaptive_pool as adaptive_pool  # its kernels register themselves
from . import avg_pool as avg_pool
from . import bias as bias
from . import blas as blas
from . import cross_entropy as cross_entropy
from . import cudnn as cudnn
from . import draws as draws
from . import dropout as dropout
from . import elementwise as elementwise
from . import loss_scale as loss_scale
from . import norm as norm
from . import pool as pool
from . import ranks as ranks
from . import sampling as sampling
from . import sums as sums
from . import take as take
from . import tally as tally
from . import update as update
from .graph import Graph as Graph
from .graph import Room as Room
from .memory import free_memory as free_memory
from .options import Options as Options
from .options import computing as computing
from .options import options as options
from .update import traceable as traceable
