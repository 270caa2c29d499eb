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
    cuda("dropout.cu", "dropout on a GPU: a word at the threshold is dropped", "bool keep = word(c, j) >= threshold", "bool keep = word(c, j) > threshold"),
    cuda("dropout.py", "dropout on a GPU: the last block is left out", "-(-(start % 8 + count) // 8)", "-(-count // 8)"),
    cuda("dropout.cu", "mask of dropout on a GPU: a word at the threshold is dropped", "mask[entry - start] = word(c, j) >= threshold",
         "mask[entry - start] = word(c, j) > threshold"),
    cuda("dropout.cu", "mask of dropout on a GPU: the first block begins with the first entry", "mask[entry - start] = word",
         "mask[entry % count] = word"),
    cuda("dropout.py", "mask of dropout on a GPU: channels before places", "empty((x.shape[0], *x.shape[2:], x.shape[1]) if images else x.shape, bool)",
         "empty(x.shape, bool)"),
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
    cuda("sums.cu", "sums on a GPU: added in the dtype of the rows", "double sum = 0.0;", "Number sum = 0;"),
    cuda("sums.cu", "sums on a GPU: a slab begins where the one before does", "o % step; i <", "o % columns; i <"),
    cuda("sums.cu", "sums on a GPU: matrices are added together", "stop = (matrix + 1) * rows", "stop = (matrix + 2) * rows"),
    cuda("sums.cu", "sums on a GPU: the scale is left out", "sum * scale /", "sum /"),
    cuda("sums.py", "sums on a GPU: what threads leave stays unadded", "return x\n\n\ndef total", "return x[:, :1]\n\n\ndef total"),
    cuda("sums.py", "sums on a GPU: many slabs are added by one thread", "while count > FEW and", "if count > 2**40 and"),
    cuda("sums.py", "sums on a GPU: the columns count for nothing", "min(count // EACH, MANY // others)", "count // EACH"),
    cuda("norm.cu", "batch norm on a GPU: squares of the numbers themselves", "first - first == 0.0 ? first", "first != first ? first"),
    cuda("norm.cu", "batch norm on a GPU: an infinity is near the others", "first - first == 0.0 ? first : 0.0", "first"),
    cuda("norm.cu", "batch norm on a GPU: deviations in the dtype of x", "sum += d;\n        square += d * d;",
         "sum += (Number)d;\n        square += (Number)d * (Number)d;"),
    cuda("norm.cu", "batch norm on a GPU: squares about the first row", "(square - sum * off) / rows", "square / rows"),
    cuda("norm.cu", "batch norm on a GPU: some slabs' squares are left out", "(part * 2 + 1) * channels", "(part + 1) * channels"),
    cuda("norm.cu", "batch norm on a GPU: what rounding the mean leaves is lost", "-rest(mean[c]) * scale", "0.0 * scale"),
    cuda("norm.cu", "batch norm on a GPU: dw as if the rounded mean were it", "along = sums[channels + c] - off * sum", "along = sums[channels + c]"),
    cuda("norm.cu", "batch norm on a GPU: dx as if the rounded mean were it", "((sum - off * along) * share)", "(sum * share)"),
    cuda("norm.cu", "batch norm on a GPU: fixed statistics have a gradient", "fixed ? dy[i] :", "false ? dy[i] :"),
    cuda("norm.cu", "batch norm on a GPU: scaled before the parts are taken away", "- (x[i] - rounded) * shrunk * slope", "- (x[i] - rounded) * (shrunk * slope)"),
    cuda("norm.py", "batch norm on a GPU: a weight is read where its neighbour lies", "np.uintp(0) if a is None else rows(a)",
         "np.uintp(0) if a is None else (a if a.base is None else a.base)"),
    cuda("norm.py", "batch norm on a GPU: the last rows are left out", "-(-x.size // channels // EACH) * channels", "x.size // channels // EACH * channels"),
    cuda("norm.py", "batch norm on a GPU: one slab stands for all", "sums = few_rows(sums)", "sums = few_rows(sums)[:, :1]"),
    cuda("avg_pool.cu", "mean pooling on a GPU: the border beyond the padding counts", "(stop < end ? stop : end)", "stop"),
    cuda("avg_pool.cu", "mean pooling on a GPU: the border before the image counts", "(first > -before ? first : -before)", "first"),
    cuda("avg_pool.cu", "mean pooling on a GPU: the border is the next row", "if (i >= 0 && i < h && j >= 0 && j < w) sum", "if (i >= 0 && i < h) sum"),
    cuda("avg_pool.cu", "mean pooling on a GPU: windows between two strides get a gradient", "across < 0 || across % sw ||", "across < 0 ||"),
    cuda("avg_pool.cu", "mean pooling on a GPU: windows that are not there give a gradient", "row >= rows) continue", "row > rows) continue"),
    cuda("avg_pool.cu", "mean pooling on a GPU: multiplied by counts", "sum * ((Number)1 / (Number)entries)", "sum / (Number)entries"),
    cuda("avg_pool.cu", "global mean on a GPU: the gradient of another sample", "o / channels / places * channels", "o / channels % places * channels"),
    cuda("avg_pool.py", "mean pooling on a GPU: left and top exchanged", "(top, _, left, _), (above", "(left, _, top, _), (above"),
    cuda("avg_pool.py", "mean pooling on a GPU: what counts below ends above", "above, h + below", "above, h + above"),
    cuda("avg_pool.py", "global mean on a GPU: divided by the height twice", "divisor=float(h * w)", "divisor=float(h * h)"),
    cuda("adaptive_pool.cu", "adaptive pooling on a GPU: windows do not overlap", "(i + 1) * size + windows - 1", "(i + 1) * size"),
    cuda("adaptive_pool.cu", "adaptive pooling on a GPU: means added in float32", "double sum = 0.0;", "Number sum = 0;"),
    cuda("adaptive_pool.cu", "adaptive pooling on a GPU: a window's gradient shared out by the axis", "(Number)(stop(i, size, windows) - first(i, size, windows))",
         "(Number)(stop(k, windows, size) - first(k, windows, size))"),
    cuda("adaptive_pool.cu", "adaptive pooling on a GPU: of equal entries the last wins", "entry > best ||", "entry >= best ||"),
    cuda("adaptive_pool.cu", "adaptive pooling on a GPU: of NaN the last wins", "entry != entry && best == best", "entry != entry"),
    cuda("adaptive_pool.cu", "adaptive pooling on a GPU: places count from the image's edge", "= place - a;", "= place;"),
    cuda("adaptive_pool.py", "adaptive pooling on a GPU: heights before widths", "for axis in (WIDTH, HEIGHT):\n        size", "for axis in (HEIGHT, WIDTH):\n        size"),
    cuda("adaptive_pool.py", "adaptive pooling on a GPU: places in long windows are bytes", "longest < 256", "longest < 10**6"),
    cuda("memory.py", "memory of a GPU: what the call held stays", "    traceback.clear_frames(error.__traceback__)", "    pass"),
    cuda("memory.py", "memory of a GPU: the pool keeps its blocks", "    pool.free_all_blocks()\n", ""),
    cuda("memory.py", "memory of a GPU: every error is CuPy's", 'not in ("cupy", "cupy_backends")', '== ""'),
    cuda("memory.py", "memory of a GPU: all that is free is taken for enough", "samples * free // (2 * taken)",
         "samples * free // taken"),
]

MUTANTS = _ALL if COMPILER else []
