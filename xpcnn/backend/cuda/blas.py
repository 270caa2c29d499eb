"""
Products of matrices by cuBLAS, with a handle of our own.

CuPy's product is cuBLAS, too, but CuPy refuses it while a graph is captured, because cuBLAS might then ask for memory.
With a workspace of its own it does not.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import logging
import threading
from typing import Any

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from . import launch
from .launch import address, empty, rows
from .options import options

__all__: list[str] = []  # found by its name in the registry

log = logging.getLogger("xpcnn")

WORKSPACE = 32 << 20  # bytes; what NVIDIA's documentation asks for on Hopper
# cudaDataType of the numbers, cublasComputeType_t of the sums
_TYPES = {"float32": (0, 68), "float64": (1, 70), "float16": (2, 68), "bfloat16": (14, 68)}
_TF32 = 77
_DEFAULT_ALGORITHM = -1
_INT, _POINTER, _SIZE = ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t
_GEMM = [
    *(_POINTER, _INT, _INT, _INT, _INT, _INT, _POINTER, _POINTER, _INT, _INT),
    *(_POINTER, _INT, _INT, _POINTER, _POINTER, _INT, _INT, _INT, _INT),
]
_handles = threading.local()
# One for each device and stream, where kernels follow one another: it outlives the thread, as a captured graph does.
_workspaces: dict[tuple[int, int], Array] = {}


@accelerates("narrow_matmul", "cupy")
@accelerates("matmul", "cupy")
def matmul(a: Array, b: Array) -> Array:
    """
    Product of two matrices.

    Parameters
    ----------
    a : array, shape (M, K)
    b : array, shape (K, N)
        Either may be the transposed view of a matrix in C order.

    Returns
    -------
    c : array, shape (M, N), in C order
        ``c[m, n] = sum_k a[m, k] b[k, n]``, with sums in float32 where the numbers have 16 bits.

    Raises
    ------
    RuntimeError
        If cuBLAS fails.
    """
    here = a.device == launch.cupy().cuda.Device()
    if not here or a.dtype.name not in _TYPES or a.dtype != b.dtype or 0 in (*a.shape, *b.shape) or library() is None:
        return launch.cupy().matmul(a, b)
    (m, k), n = a.shape, b.shape[1]
    a, a_turned, a_width = _readable(a)
    b, b_turned, b_width = _readable(b)
    c = empty((m, n), a.dtype)
    kind, sums = _TYPES[a.dtype.name]
    if a.dtype.name == "float32" and options().allow_tf32:
        sums = _TF32
    scale = ctypes.c_double if a.dtype.name == "float64" else ctypes.c_float
    one, zero = ctypes.byref(scale(1.0)), ctypes.byref(scale(0.0))
    # cuBLAS counts down columns: what it sees is the transposed of each matrix, and c.T = b.T a.T
    first, second = (address(b), kind, b_width), (address(a), kind, a_width)
    _check(
        library().cublasGemmEx(
            *(_handle(), b_turned, a_turned, n, m, k, one, *first, *second, zero),
            *(address(c), kind, n, sums, _DEFAULT_ALGORITHM),
        ),
        "a product of matrices",
    )
    return c


def _readable(a: Array) -> tuple[Array, int, int]:
    """A matrix in C order, or one whose transposed is; whether it is the second; and the numbers in a row of it."""
    if a.flags.f_contiguous and not a.flags.c_contiguous:
        return a, 1, a.shape[0]
    return rows(a), 0, a.shape[1]


@functools.cache
def library() -> Any:
    """The library cuBLAS; None, said once in the log, where it does not load."""
    try:
        load = importlib.import_module("cuda.pathfinder").load_nvidia_dynamic_lib
        return declared(ctypes.CDLL(load("cublas").abs_path))
    except Exception as error:  # whatever a broken installation raises; CuPy then says what it misses itself
        log.warning("cuda: products by CuPy, since cuBLAS does not load by itself (%s)", error)
        return None


def declared(found: Any) -> Any:
    """The library, told what its functions take."""
    found.cublasGemmEx.argtypes = _GEMM
    found.cublasCreate_v2.argtypes = [_POINTER]
    found.cublasSetStream_v2.argtypes = [_POINTER, _POINTER]
    found.cublasSetWorkspace_v2.argtypes = [_POINTER, _POINTER, _SIZE]
    return found


def _handle() -> ctypes.c_void_p:
    """cuBLAS' handle of this thread for the current GPU, on the current stream."""
    cuda = launch.cupy().cuda
    device, stream = cuda.runtime.getDevice(), cuda.get_current_stream().ptr
    known: dict[int, list[Any]] = vars(_handles).setdefault("known", {})
    if device not in known:
        made = ctypes.c_void_p()
        _check(library().cublasCreate_v2(ctypes.byref(made)), "cublasCreate")
        known[device] = [made, None]
    found = known[device]
    if (device, stream) not in _workspaces:
        _workspaces[device, stream] = empty((WORKSPACE,), "uint8")
        found[1] = None
    if found[1] != stream:
        room = _workspaces[device, stream]
        _check(library().cublasSetStream_v2(found[0], stream), "cublasSetStream")
        # another stream takes the workspace away
        _check(library().cublasSetWorkspace_v2(found[0], address(room), WORKSPACE), "cublasSetWorkspace")
        found[1] = stream
    return found[0]


def forget(stream: int) -> None:
    """Give back the workspace of a stream on which nothing will be computed any more."""
    for key in [key for key in _workspaces if key[1] == stream]:
        del _workspaces[key]


def _check(status: int, what: str) -> None:
    if status:
        message = f"cuBLAS: {what} failed with status {status}"
        raise RuntimeError(message)
