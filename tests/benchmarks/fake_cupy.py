"""What `benchmarks.gpu.probe` calls of CuPy and of cuDNN's frontend, on NumPy: a capture notes what is called."""

import sys
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np


class FakeCupy:
    """NumPy's functions, and of ``cupy.cuda`` what is needed; `said` has the names of what was called."""

    def __init__(self):
        self.said = []
        self.capturing = None
        runtime = SimpleNamespace(
            deviceSynchronize=lambda: self.said.append("wait"),
            driverGetVersion=lambda: 13000,
            runtimeGetVersion=lambda: 12090,
            getDeviceProperties=lambda i: {
                "name": b"A GPU", "multiProcessorCount": 132, "totalGlobalMem": 2**37, "l2CacheSize": 50 * 2**20,
            },
        )  # fmt: skip
        self.cuda = SimpleNamespace(
            runtime=runtime, Event=FakeEvent, get_elapsed_time=lambda a, b: 6400.0, Stream=lambda **_: FakeStream(self),
            get_current_stream=lambda: SimpleNamespace(ptr=7),
        )  # fmt: skip

    def __getattr__(self, name):
        return getattr(np, name)

    def zeros(self, *args, **options):
        return np.zeros(*args, **options).view(Placed)

    def empty(self, *args, **options):
        return np.empty(*args, **options).view(Placed)

    def RawKernel(self, source, name):
        assert f"void {name}(" in source

        def start(grid, block, args):
            if self.capturing is None:
                self.said.append("kernel")
            else:
                self.capturing.append("kernel")

        return start


class Placed(np.ndarray):
    """An array that says where it lies."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)


class FakeEvent:
    def record(self):
        pass


class FakeStream:
    def __init__(self, cupy):
        self.cupy = cupy

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def synchronize(self):
        assert self.cupy.capturing is None

    def begin_capture(self):
        self.cupy.capturing = []

    def end_capture(self):
        kernels, self.cupy.capturing = self.cupy.capturing, None
        return SimpleNamespace(launch=lambda stream: self.cupy.said.append(("graph", len(kernels))))


class FakeCudnn:
    """The frontend: a graph that takes three tensors, and is built before it is executed."""

    data_type = SimpleNamespace(FLOAT="float")
    heur_mode = SimpleNamespace(A=0, FALLBACK=1)
    build_plan_policy = SimpleNamespace(HEURISTICS_CHOICE=0)

    def __init__(self):
        self.said = []

    def create_handle(self):
        return 5

    def set_stream(self, *, handle, stream):
        self.said.append(("stream", handle, stream))

    def backend_version(self):
        return 91900

    def create_device_properties(self, device):
        return SimpleNamespace(serialize=lambda: b"{}")

    def pygraph(self, **_):
        return self

    def tensor(self, *, dim, stride, data_type, uid):
        # channels-last: the stride of a channel is 1, and they fill the memory without a gap
        _, c, h, w = dim
        assert stride == [c * h * w, 1, w * c, c]
        return self

    def conv_fprop(self, **_):
        return self

    def set_output(self, flag):
        return self

    def set_data_type(self, kind):
        return self

    def set_uid(self, uid):
        return self

    def get_workspace_size(self):
        return 0

    def execute(self, places, workspace, handle):
        assert sorted(places) == [1, 2, 3] and all(isinstance(ptr, int) for ptr in (*places.values(), workspace))
        self.said.append("execute")

    def __getattr__(self, name):
        if name in ("validate", "build_operation_graph", "create_execution_plans", "check_support", "build_plans"):
            return lambda *_: self.said.append(name)
        raise AttributeError(name)


@contextmanager
def installed(monkeypatch):
    """CuPy and the frontend are these."""
    cupy, cudnn = FakeCupy(), FakeCudnn()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cupy", cupy)
        patch.setitem(sys.modules, "cudnn", cudnn)
        yield cupy, cudnn
