"""
Convolution by cuDNN, NVIDIA's library, through its Python frontend.

Both are optional: where they are missing, or have no plan for what is asked, the generic body answers.
"""

from . import conv as conv  # its kernels register themselves
from .conv import folding_pays as folding_pays
from .library import versions as versions
