"""
Kernels in CUDA C, run without a GPU: compiled as C++, and called once for each thread of each block.

`Cupy` stands in for the module ``cupy``, with NumPy's arrays, so that what launches a kernel is run as well.
"""

import ctypes
import functools
import hashlib
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

COMPILER = shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")

# What a kernel finds on a GPU. A kernel whose threads work together would need more.
SHIM = """
#include <cmath>
using std::exp;
using std::floor;
using std::log;
using std::nan;
using std::expm1;
using std::fabs;
using std::log1p;
using std::pow;
using std::sqrt;
using std::tanh;
#define __global__
#define __device__ static inline
typedef unsigned long long shim_u64;
static struct { unsigned x, y, z; } blockIdx, threadIdx, blockDim, gridDim;
static inline shim_u64 __umul64hi(shim_u64 a, shim_u64 b) { return (shim_u64)(((unsigned __int128)a * b) >> 64); }
extern "C" void shim_place(unsigned block, unsigned thread, unsigned threads, unsigned blocks) {
    blockIdx.x = block; threadIdx.x = thread; blockDim.x = threads; gridDim.x = blocks;
}
"""

COMMAND = [COMPILER, "-std=c++17", "-O1", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-ffp-contract=off", "-fPIC"]


@functools.cache
def _library(code: str, options: tuple[str, ...], folder: Path) -> ctypes.CDLL:
    name = hashlib.sha256(repr((code, options)).encode()).hexdigest()[:16]
    text, built = folder / f"{name}.cpp", folder / f"{name}.so"
    text.write_text(code)
    flags = [o for o in options if o.startswith("-D")]
    command = [*COMMAND, *flags, "-include", str(_shim(folder)), "-shared", str(text), "-o", str(built)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(built))


@functools.cache
def _shim(folder: Path) -> Path:
    """The shim as a header, compiled: reading cmath takes longer than a kernel."""
    header = folder / "shim.hpp"
    header.write_text(SHIM)
    subprocess.run([*COMMAND, "-x", "c++-header", str(header), "-o", f"{header}.gch"], check=True)
    return header


class Cupy(SimpleNamespace):
    """As much of CuPy as the launchers need."""

    def __init__(self, folder: Path) -> None:
        self.launched: list[str] = []
        cuda = SimpleNamespace(Device=lambda: "cpu")  # as NumPy's arrays call it
        same = {name: getattr(np, name) for name in ("asarray", "ascontiguousarray")}
        super().__init__(empty=self._empty, **same, cuda=cuda, folder=folder)
        self.empty_like = lambda a, dtype=None: self._filled(np.empty_like(a, dtype))

    @staticmethod
    def _empty(shape, dtype):
        return Cupy._filled(np.empty(shape, dtype))

    @staticmethod
    def _filled(a):
        a[...] = np.frombuffer(b"\xab" * a.itemsize, a.dtype)[0]  # nobody may count on zeros
        return a

    def RawKernel(self, code, name, options):
        library = _library(code, options, self.folder)

        def call(grid, block, args):
            self.launched.append(name)
            for a in args:
                assert not isinstance(a, np.ndarray) or a.flags.c_contiguous
            function = getattr(library, name)
            passed = [_argument(a) for a in args]
            for i in range(grid[0]):
                for j in range(block[0]):
                    library.shim_place(i, j, block[0], grid[0])
                    function(*passed)

        return call


def _argument(a):
    if isinstance(a, np.ndarray) and a.dtype.names:  # a struct, which CuPy passes by value
        assert a.size == 1
        assert a.nbytes <= 4096

        class Struct(ctypes.Structure):
            _fields_ = (("words", ctypes.c_uint64 * (a.nbytes // 8)),)

        return Struct.from_buffer_copy(a.tobytes())
    if isinstance(a, np.ndarray):
        return ctypes.c_void_p(a.ctypes.data)
    assert isinstance(a, np.generic), f"expected an array or NumPy's scalar, got {a!r}"
    return np.ctypeslib.as_ctypes_type(a.dtype)(a.item())


def generic(call):
    """What a function gives with all kernels turned off."""
    with pytest.MonkeyPatch.context() as patch, np.errstate(invalid="ignore"):
        patch.setenv("XPCNN_KERNELS", "generic")
        return call()
