"""
A GPU that is not there: CuPy's arrays, streams and captured graphs, played by NumPy.

`Gpu` stands in for the module ``cupy``. Its arrays are nobody's but CuPy's to the library: kernels in CUDA C answer for
them (run by `on_cpu`), and so do cuDNN and cuBLAS, played by `fake_cudnn` and `fake_blas`. What is done while a stream
captures is written down and not done, as on a GPU, and what a capture refuses raises: copies to and from the host, and
CuPy's own matrix product. Memory that nobody has written holds garbage.
"""

import contextlib
import operator
from types import SimpleNamespace

import numpy as np

from tests.backend.cuda.on_cpu import Cupy
from xpcnn.backend import Device

GARBAGE = 0xAB


class Gpu(Cupy):
    """The module ``cupy``, and what it counts: `waits` for the device, and the tasks that were `done`."""

    def __init__(self, folder):
        super().__init__(folder)
        self.waits = 0  # times that the host waited for the device
        self.tasks: list | None = None  # of the graph that is captured
        self.done: list[str] = []  # names of what ran, in order
        self.unrehearsed: set[str] = set()  # what was captured without having run: its kernel would be loaded then
        self.fail_at: str | None = None  # a task that cannot be captured
        self.native = Native(self)
        self.xp = Namespace(self)
        self.default_pool = MemoryPool()
        self.pool = self.default_pool
        null = Stream(self, ptr=0)
        self.stream = null
        self.cuda = SimpleNamespace(
            Device=lambda index=0: self.native,
            MemoryPool=lambda allocator=None: MemoryPool(allocator),
            Memory=Memory,
            MemoryPointer=lambda memory, offset: memory,
            Stream=lambda non_blocking=False: Stream(self),
            get_current_stream=lambda: self.stream,
            using_allocator=self._using_allocator,
            runtime=SimpleNamespace(
                getDevice=lambda: 0,
                getDeviceProperties=lambda index: {"name": b"A GPU that is not there"},
                driverGetVersion=lambda: 13000,
                runtimeGetVersion=lambda: 12090,
            ),
        )
        self.cuda.Event = lambda **options: Event(self)
        self.cuda.alloc_pinned_memory = bytearray
        self.free = 1 << 30
        self.cuda.runtime.memGetInfo = lambda: (self.free, 1 << 31)
        self.xp.cuda = self.cuda
        self.lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=self._as_strided))
        self.float32, self.float64 = np.float32, np.float64
        self.empty = self.make_empty
        self.ascontiguousarray = self.xp.ascontiguousarray
        self.asarray, self.empty_like = self.xp.asarray, lambda x, dtype=None: like(self, x, dtype or x.dtype)
        self.matmul, self.take = self._matmul, self.xp.take
        self.get_default_memory_pool = lambda: self.default_pool
        self.device = Device("cuda:0", self.xp, self.native)

    def __deepcopy__(self, memo):
        return self

    # What every operation goes through.

    def do(self, name, task):
        """Run a task that writes into memory, or write it down."""
        if self.tasks is None:
            self.done.append(name)
            task()
        else:
            if name == self.fail_at:
                message = f"{name} is not captured"
                raise NotImplementedError(message)
            self.tasks.append((name, task))
            if name not in self.done:
                self.unrehearsed.add(name)

    def call(self, name, function, *args, **kwargs):
        """The result of a function, as an array of this GPU."""
        given, named = unwrapped(args), {key: unwrapped(value) for key, value in kwargs.items()}
        with np.errstate(all="ignore"):
            found = function(*given, **named)
        if isinstance(found, (tuple, list)):
            message = f"{name}: several results are not played"
            raise NotImplementedError(message)
        arrays = [a for a in flat(given) if isinstance(a, np.ndarray)]
        if any(found is a for a in arrays):
            return ndarray(self, found)
        is_view = isinstance(found, np.ndarray) and found.base is not None
        if is_view and any(np.may_share_memory(found, a) for a in arrays):
            return ndarray(self, found)
        out = self.memory(np.shape(found), found.dtype)

        def task():
            with np.errstate(all="ignore"):
                out[...] = function(*given, **named)

        self.do(name, task)
        return ndarray(self, out)

    def memory(self, shape, dtype):
        """Memory in C order; while a graph is captured, it is the graph's."""
        out = np.empty(shape, dtype)
        out.reshape(-1).view(np.uint8)[...] = GARBAGE
        if self.tasks is not None:
            self.pool.kept.append(out)
            self.pool.malloc(out.nbytes)
        return out

    def wait(self, what):
        """The host looks at numbers."""
        if self.tasks is not None:
            message = f"{what}: refused while a graph is captured"
            raise RuntimeError(message)
        self.waits += 1

    def make_empty(self, shape, dtype):
        return ndarray(self, self.memory(shape, dtype))

    def upload(self, host, dtype=None):
        self.wait("a copy from the host")
        self.waits -= 1  # which does not wait for the device
        return ndarray(self, np.array(host, dtype=dtype, order="C"))

    def _as_strided(self, x, shape, strides):
        return ndarray(self, np.lib.stride_tricks.as_strided(x.host, shape, strides))

    def _matmul(self, a, b):
        if self.tasks is not None:
            message = "cuBLAS does not support stream capture"
            raise NotImplementedError(message)
        return self.call("matmul", np.matmul, a, b)

    def RawKernel(self, code, name, options):
        run = super().RawKernel(code, name, options)

        def launch(grid, block, args):
            given = [a.host if isinstance(a, ndarray) else a for a in args]
            self.do(name, lambda: run(grid, block, given))

        return launch

    @contextlib.contextmanager
    def _using_allocator(self, malloc):
        before, self.pool = self.pool, malloc.__self__
        try:
            yield
        finally:
            self.pool = before


class Memory:
    """Asked of the device, and given back when nobody holds it."""

    def __init__(self, size):
        self.size = size


class MemoryPool:
    """Everything that was made with it stays until somebody frees it, as graphs expect."""

    def __init__(self, allocator=None):
        self.kept, self.blocks, self.allocator = [], [], allocator

    def malloc(self, size):
        if self.allocator is not None:
            self.blocks.append(self.allocator(size))

    def free_all_blocks(self):
        self.kept.clear()
        self.blocks.clear()

    def used_bytes(self):
        return 0

    def free_bytes(self):
        return 0

    def get_limit(self):
        return 0


class Native:
    """A device."""

    id, mem_info = 0, (3 << 30, 4 << 30)

    def __init__(self, gpu):
        self.gpu = gpu

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def __eq__(self, other):
        return isinstance(other, Native)

    def __hash__(self):
        return 0

    def __deepcopy__(self, memo):
        return self


class Event:
    """A place in the queue of a stream."""

    def __init__(self, gpu):
        self.gpu, self.place = gpu, None

    def record(self, stream=None):
        stream = stream or self.gpu.stream
        self.place = stream, len(stream.queue)

    def synchronize(self):
        if self.place is not None:
            self.place[0].run(self.place[1])


class Stream:
    """
    Work on the stream that kernels are on runs at once, in the order of the calls.

    Copies on another one run as late as they may: when somebody waits for them.
    """

    count = 0

    def __init__(self, gpu, ptr=None):
        Stream.count += 1
        self.gpu, self.ptr = gpu, Stream.count if ptr is None else ptr
        self.queue, self.ran = [], 0

    def put(self, task):
        self.queue.append(task)

    def run(self, until):
        while self.ran < until:
            self.ran += 1
            self.queue[self.ran - 1]()

    def wait_event(self, event):
        """This stream's further work comes behind the event; the streams of kernels are never behind."""
        if event.place is not None and event.place[0] is not self:
            event.synchronize()

    def __enter__(self):
        self.before, self.gpu.stream = self.gpu.stream, self
        return self

    def __exit__(self, *error):
        self.gpu.stream = self.before

    def begin_capture(self):
        assert self.ptr, "the default stream cannot capture"
        assert self.gpu.tasks is None, "captured already"
        self.gpu.tasks = []

    def end_capture(self):
        tasks, self.gpu.tasks = self.gpu.tasks, None
        return Graph(self.gpu, tasks)

    def synchronize(self):
        self.run(len(self.queue))
        self.gpu.wait("synchronize")


class Graph:
    def __init__(self, gpu, tasks):
        self.gpu, self.tasks = gpu, tasks

    def launch(self, stream=None):
        assert self.gpu.tasks is None
        for name, task in self.tasks:
            self.gpu.done.append(name)
            task()
        self.gpu.done.append("graph")

    def upload(self, stream=None):
        pass


class Namespace:
    """``array_api_compat.cupy``."""

    __name__ = "array_api_compat.cupy"

    def __init__(self, gpu):
        self._gpu = gpu

    def __deepcopy__(self, memo):
        return self

    def __getattr__(self, name):
        found = getattr(np, name)
        if isinstance(found, type) or not callable(found):
            return found  # a dtype or a number
        if name in ("isdtype", "finfo", "iinfo", "result_type", "broadcast_shapes", "errstate"):
            return lambda *args, **kwargs: found(*[a.dtype if isinstance(a, ndarray) else a for a in args], **kwargs)

        def function(*args, device=None, **kwargs):
            return self._gpu.call(name, found, *args, **kwargs)

        return function

    def asarray(self, obj, dtype=None, device=None, copy=None):
        if isinstance(obj, ndarray):
            same = dtype is None or obj.dtype == dtype
            return obj if same and not copy else self._gpu.call("copy", np.array, obj, dtype=dtype)
        if isinstance(obj, np.generic):
            obj = np.asarray(obj)
        return self._gpu.upload(obj, dtype)

    def astype(self, x, dtype, copy=True):
        return x if x.dtype == dtype and not copy else self._gpu.call("astype", np.array, x, dtype=dtype)

    def empty(self, shape, dtype=None, device=None):
        return self._gpu.make_empty(shape, dtype)

    def zeros_like(self, x, dtype=None, device=None):
        return self._filled_like(x, 0, dtype)

    def ones_like(self, x, dtype=None, device=None):
        return self._filled_like(x, 1, dtype)

    def _filled_like(self, x, value, dtype):
        made = like(self._gpu, x, dtype or x.dtype)
        made.fill(value)
        return made

    def matmul(self, a, b):
        return self._gpu.matmul(a, b)

    def take(self, x, indices, axis=None):
        # while a graph is captured, indices are garbage
        mode = "raise" if self._gpu.tasks is None else "clip"
        return self._gpu.call("take", np.take, x, indices, axis=axis, mode=mode)

    def concat(self, arrays, axis=0):
        return self._joined("concat", np.concat, arrays, axis)

    def stack(self, arrays, axis=0):
        return self._joined("stack", np.stack, arrays, axis)

    def _joined(self, name, function, arrays, axis):
        if self._gpu.tasks is not None and len(arrays) > 8:
            message = f"{name}: CuPy copies the addresses of more than 8 arrays from the host"
            raise RuntimeError(message)
        return self._gpu.call(name, function, list(arrays), axis=axis)


def like(gpu, x, dtype):
    """As CuPy makes them: in the memory order of x."""
    order = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
    memory = gpu.memory([x.shape[axis] for axis in order], dtype)
    return ndarray(gpu, memory.transpose([order.index(axis) for axis in range(x.ndim)]))


class ndarray:
    """An array on this GPU."""

    __array_priority__ = 1000

    def __init__(self, gpu, host):
        self.gpu, self.host = gpu, host

    def __array_namespace__(self, api_version=None):
        return self.gpu.xp

    def __array__(self, *args, **kwargs):
        message = "CuPy's arrays do not become NumPy's by themselves"
        raise TypeError(message)

    shape = property(lambda self: self.host.shape)
    strides = property(lambda self: self.host.strides)
    dtype = property(lambda self: self.host.dtype)
    ndim = property(lambda self: self.host.ndim)
    size = property(lambda self: self.host.size)
    nbytes = property(lambda self: self.host.nbytes)
    itemsize = property(lambda self: self.host.itemsize)
    flags = property(lambda self: self.host.flags)
    device = property(lambda self: self.gpu.native)
    T = property(lambda self: ndarray(self.gpu, self.host.T))
    mT = property(lambda self: ndarray(self.gpu, self.host.mT))
    data = property(lambda self: SimpleNamespace(ptr=self.host.ctypes.data))

    def __len__(self):
        return len(self.host)

    def __deepcopy__(self, memo):
        return ndarray(self.gpu, self.host.copy())

    def __matmul__(self, other):
        return self.gpu.matmul(self, other)

    def get(self):
        self.gpu.wait("get")
        return self.host.copy()

    def __float__(self):
        self.gpu.wait("float")
        return float(self.host)

    def __int__(self):
        self.gpu.wait("int")
        return int(self.host)

    __index__ = __int__

    def __bool__(self):
        self.gpu.wait("bool")
        return bool(self.host)

    def item(self):
        self.gpu.wait("item")
        return self.host.item()

    def tolist(self):
        self.gpu.wait("tolist")
        return self.host.tolist()

    def __getitem__(self, index):
        assert not isinstance(index, (ndarray, np.ndarray, list)), "this would read an index from the device"
        return self.gpu.call("getitem", operator.getitem, self, index)

    def __setitem__(self, index, value):
        given = unwrapped(value)
        assert not isinstance(given, np.ndarray) or isinstance(value, ndarray), "a copy from the host"
        self.gpu.do("setitem", lambda: operator.setitem(self.host, index, given))

    def set(self, host, stream=None):
        assert self.host.flags.c_contiguous and host.flags.c_contiguous
        assert self.gpu.tasks is None and stream is not None, "a copy that the host waits for"
        stream.put(lambda: np.copyto(self.host, host))

    def fill(self, value):
        self.gpu.do("fill", lambda: self.host.fill(value))

    def copy(self):
        return self.gpu.call("copy", np.array, self)

    def astype(self, dtype, copy=True):
        return self if self.dtype == dtype and not copy else self.gpu.call("astype", np.array, self, dtype=dtype)

    def reshape(self, *shape):
        return self.gpu.call("reshape", np.reshape, self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes):
        return ndarray(self.gpu, self.host.transpose(*axes))

    def sum(self, **options):
        return self.gpu.call("sum", np.sum, self, **options)

    def view(self, dtype):
        return ndarray(self.gpu, self.host.view(dtype))

    __hash__ = object.__hash__


ndarray.__module__ = "cupy"


def unwrapped(value):
    if isinstance(value, ndarray):
        return value.host
    if isinstance(value, (tuple, list)):
        return type(value)(unwrapped(v) for v in value)
    return value


def flat(values):
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from flat(value)
        else:
            yield value


def _operators():
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge", "eq", "ne",
                 "and_", "or_", "xor", "lshift", "rshift"):  # fmt: skip
        word, function = name.strip("_"), getattr(operator, name)
        changing = getattr(operator, f"i{word}", None)

        def plain(self, other, function=function, word=word):
            assert not isinstance(other, np.ndarray), "CuPy's and NumPy's arrays do not mix"
            return self.gpu.call(word, function, self, other)

        def turned(self, other, function=function, word=word):
            assert not isinstance(other, np.ndarray), "CuPy's and NumPy's arrays do not mix"
            return self.gpu.call(word, function, other, self)

        def in_place(self, other, function=changing, word=word):
            given = unwrapped(other)

            def task():
                with np.errstate(all="ignore"):
                    function(self.host if self.host.ndim else self.host[...], given)

            self.gpu.do(f"i{word}", task)
            return self

        setattr(ndarray, f"__{word}__", plain)
        if word not in ("lt", "le", "gt", "ge", "eq", "ne"):
            setattr(ndarray, f"__r{word}__", turned)
            setattr(ndarray, f"__i{word}__", in_place)
    for name in ("neg", "pos", "abs", "invert"):
        function = getattr(operator, name)
        setattr(ndarray, f"__{name}__", lambda self, function=function, name=name: self.gpu.call(name, function, self))


_operators()
