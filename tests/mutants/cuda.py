"""Bugs in the kernels for CuPy arrays; they are noticed where a C++ compiler can run them on the CPU."""

from tests.backend.cuda.on_cpu import COMPILER
from tests.mutants.mutant import Mutant

TESTS = "tests/backend/cuda/test_"


def cuda(file: str, bug: str, old: str, new: str) -> Mutant:
    return Mutant(bug, f"backend/cuda/{file}", old, new, f"{TESTS}{file.partition('.')[0]}.py")


_ALL = [
    Mutant("explain: kernels of the way back at inference", "models/execution.py", "if self.train and kernel(f", "if kernel(f",
           TESTS + "explain.py"),
    cuda("dropout.cu", "dropout on a GPU: a round too few", "round < 10", "round < 9"),
    cuda("dropout.cu", "dropout on a GPU: the upper half of a word first", "j % 2 ? c[j / 2] >> 32", "j % 2 == 0 ? c[j / 2] >> 32"),
    cuda("dropout.cu", "dropout on a GPU: a word at the threshold is dropped", "word >= threshold", "word > threshold"),
    cuda("dropout.py", "dropout on a GPU: the last block is left out", "-(-(start % 8 + x.size) // 8)", "-(-x.size // 8)"),
    cuda("pool.cu", "pooling on a GPU: of equal entries the last wins", "entry > best ||", "entry >= best ||"),
    cuda("pool.cu", "pooling on a GPU: a NaN is passed over", "(entry != entry && i + j > 0)", "false"),
    cuda("pool.cu", "pooling on a GPU: windows between two strides get a gradient", "down < 0 || down % sh ||", "down < 0 ||"),
    cuda("pool.cu", "pooling on a GPU: dilation of the width for the height", "y - (i64)i * dh", "y - (i64)i * dw"),
    cuda("pool.py", "pooling on a GPU: places in large windows are bytes", "<= 256 else np.int32", "<= 10**6 else np.int32"),
    cuda("cross_entropy.cu", "cross-entropy on a GPU: the largest score is not taken off", "Number largest = z[0];",
         "Number largest = 0 * z[0];"),
    cuda("cross_entropy.cu", "cross-entropy on a GPU: a label out of range counts", ": known ? (Number)1", ": true ? (Number)1"),
    cuda("cross_entropy.cu", "cross-entropy on a GPU: ignored labels have a gradient", "d[k] = p * q -", "d[k] = p -"),
    cuda("cross_entropy.py", "cross-entropy on a GPU: labels are taken for 64 bits", "target.astype(np.int64)", "target"),
    cuda("memory.py", "memory of a GPU: what the call held stays", "    traceback.clear_frames(error.__traceback__)", "    pass"),
    cuda("memory.py", "memory of a GPU: the pool keeps its blocks", "    pool.free_all_blocks()\n", ""),
    cuda("memory.py", "memory of a GPU: every error is CuPy's", 'not in ("cupy", "cupy_backends")', '== ""'),
    cuda("memory.py", "memory of a GPU: all that is free is taken for enough", "samples * free // (2 * taken)",
         "samples * free // taken"),
]

MUTANTS = _ALL if COMPILER else []
