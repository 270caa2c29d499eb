"""
Array libraries and devices: the only room, beside the data sets, that knows NumPy and CuPy by name.

Everything above it computes through ``xp = array_namespace(x)``.
"""

from . import cpu as cpu
from . import cuda as cuda  # its kernels register themselves
from . import special as special  # its kernels register themselves
from .device import Device, device_like, is_host, resolve
from .host import filled, filters_last, is_hollow, is_undrawn, undrawn
from .namespace import Array, Namespace, array_namespace, device_of, is_array, is_writeable, library, to_numpy
from .precision import NARROW, cast, is_floating, is_narrow, narrow_dtype, overflow_allowed
from .random import Key, keep_mask, normal, permutation, sample_uniform, uniform
from .registry import accelerated, generic_only, kernel
from .strided import strided_windows
from .taking import take
from .undone import undone_unless

__all__ = [
    "NARROW",
    "Array",
    "Device",
    "Key",
    "Namespace",
    "accelerated",
    "array_namespace",
    "cast",
    "cpu",
    "cuda",
    "device_like",
    "device_of",
    "filled",
    "filters_last",
    "generic_only",
    "is_array",
    "is_floating",
    "is_hollow",
    "is_host",
    "is_narrow",
    "is_undrawn",
    "is_writeable",
    "keep_mask",
    "kernel",
    "library",
    "narrow_dtype",
    "normal",
    "overflow_allowed",
    "permutation",
    "resolve",
    "sample_uniform",
    "strided_windows",
    "take",
    "to_numpy",
    "undone_unless",
    "undrawn",
    "uniform",
]
