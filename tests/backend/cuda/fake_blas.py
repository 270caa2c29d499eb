"""The functions of cuBLAS that we call, in C, with the signatures of its header."""

import ctypes
import functools
import subprocess

import numpy as np

from tests.backend.cuda.on_cpu import COMPILER
from xpcnn.backend import Device
from xpcnn.backend.cuda import blas

SOURCE = """
#include <cstddef>
template <class T, class S>
static int gemm(int ta, int tb, int m, int n, int k, S alpha, const T *a, int lda, const T *b, int ldb, S beta, T *c,
                int ldc) {
    for (int j = 0; j < n; ++j)
        for (int i = 0; i < m; ++i) {
            double sum = 0.0;
            for (int l = 0; l < k; ++l)
                sum += (double)(ta ? a[l + (size_t)i * lda] : a[i + (size_t)l * lda]) *
                       (tb ? b[j + (size_t)l * ldb] : b[l + (size_t)j * ldb]);
            T *out = c + i + (size_t)j * ldc;
            *out = (T)(alpha * sum + (beta == 0 ? 0 : beta * *out));
        }
    return 0;
}
static int handles, stream_set, workspace_set;
extern "C" int cublasCreate_v2(void **handle) { *handle = &handles; stream_set = workspace_set = 0; return 0; }
extern "C" int cublasSetStream_v2(void *handle, void *stream) { stream_set = 1; workspace_set = 0; return 0; }
extern "C" int cublasSetWorkspace_v2(void *handle, void *workspace, size_t size) {
    workspace_set = workspace != nullptr && size >= (32u << 20);
    return 0;
}
extern "C" int cublasGemmEx(void *handle, int transa, int transb, int m, int n, int k, const void *alpha, const void *A,
                            int Atype, int lda, const void *B, int Btype, int ldb, const void *beta, void *C, int Ctype,
                            int ldc, int computeType, int algo) {
    if (handle != &handles || !stream_set || !workspace_set || algo != -1 || Atype != Btype || Btype != Ctype) return 7;
    if (lda < (transa ? k : m) || ldb < (transb ? n : k) || ldc < m) return 7;
    if (Atype == 0 && (computeType == 68 || computeType == 77))
        return gemm<float, float>(transa, transb, m, n, k, *(const float *)alpha, (const float *)A, lda,
                                  (const float *)B, ldb, *(const float *)beta, (float *)C, ldc);
    if (Atype == 1 && computeType == 70)
        return gemm<double, double>(transa, transb, m, n, k, *(const double *)alpha, (const double *)A, lda,
                                    (const double *)B, ldb, *(const double *)beta, (double *)C, ldc);
    return 15;
}
"""


@functools.cache
def load(folder) -> ctypes.CDLL:
    text, built = folder / "cublas.cpp", folder / "libcublas.so"
    text.write_text(SOURCE)
    command = [COMPILER, "-std=c++17", "-O1", "-shared", "-fPIC", str(text), "-o", str(built)]
    subprocess.run(command, check=True, timeout=120)
    return ctypes.CDLL(str(built))


class Cublas:
    """The library, whose products are a GPU's tasks."""

    def __init__(self, gpu, folder):
        self.gpu, self.c, self.products = gpu, blas.declared(load(folder)), []
        self.cublasCreate_v2, self.cublasSetStream_v2 = self.c.cublasCreate_v2, self.c.cublasSetStream_v2
        self.cublasSetWorkspace_v2 = self.c.cublasSetWorkspace_v2

    def cublasGemmEx(self, *args):
        self.products.append(args[-2])  # how sums are made
        status = []
        gemm = narrow_gemm if args[8] in NARROW else self.c.cublasGemmEx
        self.gpu.do("gemm", lambda: status.append(gemm(*args)))
        return status[0] if status else 0


NARROW = {2: "float16", 14: "bfloat16"}


def narrow_gemm(_, ta, tb, m, n, k, alpha, a, kind, lda, b, b_kind, ldb, beta, c, c_kind, ldc, sums, algorithm):
    """The same product of 16 bits, which C++ has no types for; sums are float32."""
    if not kind == b_kind == c_kind or (sums, algorithm) != (68, -1):
        return 7
    first = columns(a, kind, (k, m) if ta else (m, k), lda).astype(np.float32)
    second = columns(b, kind, (n, k) if tb else (k, n), ldb).astype(np.float32)
    columns(c, kind, (m, n), ldc)[...] = (first.T if ta else first) @ (second.T if tb else second)
    return 0


def columns(address, kind, shape, width):
    """A matrix that lies column by column, so many numbers from one to the next."""
    dtype = Device("cpu", np, "cpu").dtype(NARROW[kind])
    buffer = (ctypes.c_char * (np.dtype(dtype).itemsize * width * shape[1])).from_address(address)
    return np.frombuffer(buffer, dtype).reshape(shape[1], width)[:, : shape[0]].T
