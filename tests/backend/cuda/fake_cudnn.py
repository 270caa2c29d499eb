"""cuDNN's frontend as far as plans use it, computing with NumPy in the memory that its pointers name."""

import ctypes
from enum import Enum
from types import SimpleNamespace

import numpy as np

from xpcnn.backend import Device


class NotSupported(Exception):
    """As the frontend's, which is no RuntimeError."""


class DataType(Enum):
    FLOAT = "float32"
    HALF = "float16"
    BFLOAT16 = "bfloat16"


class Note(Enum):
    TENSOR_CORE = 1
    DOWN_CONVERT_INPUTS = 2
    NONDETERMINISTIC = 3


class Policy(Enum):
    HEURISTICS_CHOICE = 0
    ALL = 1


class Mode(Enum):
    A = 0
    FALLBACK = 1


class Tensor:
    def __init__(self, shape=None, strides=None, dtype=None, value=None):
        self.shape, self.strides, self.dtype, self.value = shape, strides, dtype, value
        self.uid, self.output = None, False

    def set_output(self, output):
        self.output = output
        return self

    def set_data_type(self, dtype):
        self.dtype = dtype
        return self

    def set_dim(self, shape):
        self.shape = shape
        return self

    def set_stride(self, strides):
        self.strides = strides
        return self

    def set_uid(self, uid):
        self.uid = uid
        return self


def at(pointer, tensor):
    """The memory that a tensor names, as an array."""
    size = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    dtype = np.dtype(Device("cpu", np, "cpu").dtype(tensor.dtype.value))
    buffer = (ctypes.c_char * (size * dtype.itemsize)).from_address(pointer)
    flat = np.frombuffer(buffer, dtype)
    strides = [s * dtype.itemsize for s in tensor.strides]
    return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=True)


class Cudnn(SimpleNamespace):
    """
    The module ``cudnn``.

    A graph has three plans, of which ``slow`` may be left out by the note TENSOR_CORE; `refused` holds operations that
    have none.
    """

    __version__ = "1.24.1"
    cudnnGraphNotSupportedError = NotSupported
    data_type, numerical_note, build_plan_policy, heur_mode = DataType, Note, Policy, Mode

    def __init__(self, gpu):
        self.gpu, self.refused, self.graphs, self.streams, self.handles = gpu, set(), [], {}, 0
        self.pygraph = lambda **options: Graph(self, **options)

    def backend_version(self):
        return 91900

    def create_handle(self):
        self.handles += 1
        return self.handles

    def set_stream(self, handle, stream):
        self.streams[handle] = stream


class Graph:
    plans = ("eager_conv", "tensor_core_conv", "other_conv")

    def __init__(self, cudnn, io_data_type, intermediate_data_type, compute_data_type, handle):
        assert compute_data_type is intermediate_data_type is DataType.FLOAT
        self.cudnn, self.inputs, self.result, self.left_out, self.built = cudnn, {}, None, set(), None
        self.words = []
        cudnn.graphs.append(self)

    def tensor(self, dim, stride, data_type, uid):
        made = Tensor(dim, stride, data_type)
        made.value, self.inputs[uid] = (lambda found: found[uid]), made
        return made

    def _put(self, word, compute, *inputs):
        if word in self.cudnn.refused:
            message = f"{word} is refused"
            raise NotSupported(message)
        self.words.append(word)
        self.result = Tensor(value=lambda found: compute(*[i.value(found) for i in inputs]))
        return self.result

    def conv_fprop(self, image, weight, pre_padding, post_padding, stride, dilation):
        def compute(x, w):
            return conv(x, w, pre_padding, post_padding, stride, dilation)

        self.shapes = image.shape, weight.shape
        return self._put("conv_fprop", compute, image, weight)

    def conv_dgrad(self, loss, filter, pre_padding, post_padding, stride, dilation):
        def compute(dy, w):
            return gradients(self.result.shape, dy, w, pre_padding, post_padding, stride, dilation)

        return self._put("conv_dgrad", compute, loss, filter)

    def conv_wgrad(self, image, loss, pre_padding, post_padding, stride, dilation):
        def compute(x, dy):
            return weight_gradient(self.result.shape, x, dy, pre_padding, post_padding, stride, dilation)

        return self._put("conv_wgrad", compute, image, loss)

    def bias(self, input, bias):
        return self._put("bias", lambda y, b: y + b, input, bias)

    def add(self, a, b):
        return self._put("add", lambda a, b: a + b, a, b)

    def relu(self, input):
        return self._put("relu", lambda y: np.maximum(y, 0.0), input)

    def validate(self):
        assert self.result.output and self.result.uid not in self.inputs
        for t in (*self.inputs.values(), self.result):
            assert len(t.shape) == len(t.strides) and all(n > 0 for n in t.shape)
            if len(t.shape) == 4:  # channels last is what this is about
                _n, c, _h, _w = t.shape
                assert t.strides[1] == 1 or c == 1, "expected channels last"

    def build_operation_graph(self):
        pass

    def create_execution_plans(self, modes):
        assert modes == [Mode.A, Mode.FALLBACK]

    def deselect_numeric_notes(self, notes):
        self.left_out.update(notes)

    def deselect_workspace_greater_than(self, size):
        self.most = size

    def check_support(self):
        pass

    def get_execution_plan_count(self):
        return len(self.plans)

    def get_plan_name_at_index(self, index):
        return self.plans[index]

    def _lacks(self, index):
        return Note.TENSOR_CORE in self.left_out and "tensor_core" in self.plans[index]

    def build_plans(self, policy):
        self.built = {0} if policy is Policy.HEURISTICS_CHOICE else {i for i in range(3) if not self._lacks(i)}

    def build_plan_at_index(self, index):
        if self._lacks(index):
            message = "plan is left out"
            raise RuntimeError(message)
        self.built = {index}

    def get_workspace_size(self):
        return 64

    def get_workspace_size_plan_at_index(self, index):
        return 32 * index

    def execute(self, pointers, workspace, handle):
        self.execute_plan_at_index(pointers, workspace, min(self.built), handle)

    def execute_plan_at_index(self, pointers, workspace, index, handle):
        if index not in self.built:
            message = "plan was not built"
            raise RuntimeError(message)
        gpu = self.cudnn.gpu
        assert self.cudnn.streams[handle] == gpu.stream.ptr, "on another stream"
        assert all(type(p) is int and p % 16 == 0 for p in pointers.values()) and type(workspace) is int

        def task():
            found = {uid: at(pointers[uid], t).astype(np.float64) for uid, t in self.inputs.items()}
            at(pointers[self.result.uid], self.result)[...] = self.result.value(found)

        gpu.do(self.words[0] + ("+" if self.words[1:] else "") + "+".join(self.words[1:]), task)


# Convolution by its definition: a loop over the taps.


def _taps(shape, kernel, stride, dilation, places):
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i * dilation[0], i * dilation[0] + stride[0] * (places[0] - 1) + 1, stride[0])
            cols = slice(j * dilation[1], j * dilation[1] + stride[1] * (places[1] - 1) + 1, stride[1])
            yield i, j, rows, cols


def _padded(x, before, behind):
    return np.pad(x, ((0, 0), (0, 0), (before[0], behind[0]), (before[1], behind[1])))


def _groups(x, w):
    return x.shape[1] // w.shape[1]


def conv(x, w, before, behind, stride, dilation):
    x, g = _padded(x, before, behind), _groups(x, w)
    sizes = zip(x.shape[2:], w.shape[2:], stride, dilation, strict=True)
    places = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in sizes]
    y = np.zeros((x.shape[0], w.shape[0], *places))
    for part in range(g):
        o, c = (slice(part * n // g, (part + 1) * n // g) for n in (w.shape[0], x.shape[1]))
        for i, j, rows, cols in _taps(x.shape, w.shape[2:], stride, dilation, places):
            y[:, o] += np.einsum("nchw,oc->nohw", x[:, c, rows, cols], w[o, :, i, j])
    return y


def gradients(shape, dy, w, before, behind, stride, dilation):
    g = shape[1] // w.shape[1]
    dx = _padded(np.zeros(shape), before, behind)
    for part in range(g):
        o, c = (slice(part * n // g, (part + 1) * n // g) for n in (w.shape[0], shape[1]))
        for i, j, rows, cols in _taps(dx.shape, w.shape[2:], stride, dilation, dy.shape[2:]):
            dx[:, c, rows, cols] += np.einsum("nohw,oc->nchw", dy[:, o], w[o, :, i, j])
    return dx[:, :, before[0] : before[0] + shape[2], before[1] : before[1] + shape[3]]


def weight_gradient(shape, x, dy, before, behind, stride, dilation):
    x, g = _padded(x, before, behind), x.shape[1] // shape[1]
    dw = np.zeros(shape)
    for part in range(g):
        o, c = (slice(part * n // g, (part + 1) * n // g) for n in (shape[0], x.shape[1]))
        for i, j, rows, cols in _taps(x.shape, shape[2:], stride, dilation, dy.shape[2:]):
            dw[o, :, i, j] = np.einsum("nohw,nchw->oc", dy[:, o], x[:, c, rows, cols])
    return dw
