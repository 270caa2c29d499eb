"""Devices by name, and what each way of having no GPU says: with a CuPy made up for the purpose."""

import importlib.machinery
import logging
import sys
import types

import pytest

from xpcnn.backend import device as module
from xpcnn.backend import resolve
from xpcnn.errors import ConfigError, DeviceUnavailable


class FakeArray:
    """Enough of an array for the probe; a step that is to fail fails."""

    def __init__(self, broken):
        self.broken = broken

    def _kernel(self, other):
        if "kernel" in self.broken:
            raise RuntimeError("nvrtc: error: failed to open libnvrtc-builtins.so\nsecond line")
        return self

    __mul__ = __add__ = __rmul__ = __radd__ = _kernel

    def __matmul__(self, other):
        if "gemm" in self.broken:
            raise ImportError("libcublas.so.13: cannot open shared object file")
        return self


def fake_cupy(broken=(), count=1, version="14.0.1"):
    """A module that answers the probe like CuPy on a machine where some things are broken."""
    cupy = types.ModuleType("cupy")
    cupy.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    cupy.__version__ = version

    def device_count():
        if "driver" in broken:
            raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
        if "no device" in broken:
            raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return count

    class Device:
        def __init__(self, index):
            self.id = index

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            return None

    def zeros(*args, **kwargs):
        if "memory" in broken:
            raise MemoryError("out of memory allocating 512 bytes")
        return FakeArray(broken)

    def stream():
        return types.SimpleNamespace(synchronize=lambda: None)

    cupy.cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(getDeviceCount=device_count), Device=Device, get_current_stream=stream
    )
    cupy.zeros = cupy.ones = zeros
    return cupy


@pytest.fixture
def install(monkeypatch):
    """Put a CuPy in the place of the real one, and forget what was probed before and after."""

    def put(cupy):
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        if cupy is not None:
            compat = types.ModuleType("array_api_compat.cupy")
            monkeypatch.setitem(sys.modules, "array_api_compat.cupy", compat)

    module._cuda.cache_clear()
    yield put
    module._cuda.cache_clear()


CAUSES = {
    "driver too old or none": (lambda: fake_cupy({"driver"}), "cuda", ["no CUDA driver answers", "nvidia-smi"]),
    "no device": (lambda: fake_cupy({"no device"}), "cuda", ["cudaErrorNoDevice", "nvidia-smi"]),
    "none visible": (lambda: fake_cupy(count=0), "cuda", ["no such index", "CUDA_VISIBLE_DEVICES"]),
    "index": (lambda: fake_cupy(count=2), "cuda:2", ["'cuda:2'", "no such index", "nvidia-smi -L"]),
    "too old": (lambda: fake_cupy(version="13.6.0"), "cuda", ["CuPy 13.6.0 is too old", "pip install 'xpcnn[cuda13]'"]),
    "memory": (lambda: fake_cupy({"memory"}), "cuda", ["no memory can be had", "nvidia-smi"]),
    "kernel": (lambda: fake_cupy({"kernel"}), "cuda", ["kernel compile", "nvrtc", "pip install 'cupy-cuda13x[ctk]'"]),
    "gemm": (lambda: fake_cupy({"gemm"}), "cuda", ["GEMM", "libcublas.so.13", "pip install 'cupy-cuda13x[ctk]'"]),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_has_its_text_and_its_mending(cause, install):
    cupy, name, parts = CAUSES[cause]
    install(cupy())
    with pytest.raises(DeviceUnavailable) as caught:
        resolve(name)
    text = str(caught.value)
    assert all(part in text for part in parts), text
    assert "\n" not in text and len(text) < 600
    assert isinstance(caught.value, RuntimeError)


def test_the_texts_differ(install):
    texts = set()
    for make, name, _ in CAUSES.values():
        module._cuda.cache_clear()
        install(make())
        with pytest.raises(DeviceUnavailable) as caught:
            resolve(name)
        texts.add(str(caught.value).partition(": ")[2])
    assert len(texts) == len(CAUSES)


class Refusing:
    """A finder that says cupy is not there, or breaks when it is imported."""

    def __init__(self, error):
        self.error = error

    def find_spec(self, name, path=None, target=None):
        if name == "cupy":
            if self.error is None:
                raise ModuleNotFoundError("No module named 'cupy'", name="cupy")
            return importlib.machinery.ModuleSpec("cupy", self)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, loaded):
        raise self.error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ImportError("libcudart.so.13: cannot open shared object file"), "CuPy does not import"),
        (ModuleNotFoundError("No module named 'fastrlock'", name="fastrlock"), "CuPy does not import"),
        (OSError("broken"), "CuPy does not import"),
    ],
)
def test_a_broken_cupy_is_not_a_missing_one(error, text, install, monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refusing(error), *sys.meta_path])
    with pytest.raises(DeviceUnavailable, match=text) as caught:
        resolve("cuda")
    assert str(error) in str(caught.value)
    assert "pip install 'xpcnn[cuda13]'" in str(caught.value)


def test_no_cupy(install, monkeypatch):
    """Nowhere on the path, which is how it is after `pip install xpcnn`."""
    real = importlib.util.find_spec
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "cupy" else real(name, *a))
    monkeypatch.setattr(sys, "meta_path", [Refusing(None), *sys.meta_path])
    with pytest.raises(DeviceUnavailable, match="CuPy is not installed") as caught:
        resolve("cuda")
    assert "pip install 'xpcnn[cuda13]'" in str(caught.value)


def test_cupy_switched_off_in_sys_modules(install):
    install(None)
    with pytest.raises(DeviceUnavailable, match="CuPy"):
        resolve("cuda")


def test_a_gpu_that_works(install):
    install(fake_cupy(count=2))
    assert resolve("cuda").name == "cuda:0"
    assert resolve("cuda:1").name == "cuda:1"
    assert resolve("auto").name == "cuda:0"
    assert resolve("cuda") is resolve("cuda"), "probed once"


def test_auto_falls_back_with_one_line_in_the_log(install, caplog):
    install(fake_cupy({"driver"}))
    with caplog.at_level(logging.INFO, logger="xpcnn"):
        assert resolve("auto").name == "cpu"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "auto: using cpu" in caplog.text and "no CUDA driver answers" in caplog.text


def test_that_auto_finds_no_cupy_is_no_warning(install, caplog):
    install(None)
    with caplog.at_level(logging.INFO, logger="xpcnn"):
        assert resolve("auto").name == "cpu"
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "CuPy is not installed" in caplog.text


def test_only_auto_falls_back(install):
    install(fake_cupy({"driver"}))
    assert resolve("cpu").name == "cpu"
    for _ in range(2):
        with pytest.raises(DeviceUnavailable, match="no CUDA driver answers"):
            resolve("cuda")


@pytest.mark.parametrize("name", ["gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "", None, 0, "cuda:0 "])
def test_other_names_raise(name):
    with pytest.raises(ConfigError, match="expected 'cpu', 'cuda', 'cuda:N' or 'auto', got"):
        resolve(name)


def test_a_device_is_its_own_name():
    assert resolve(resolve("cpu")) is resolve("cpu")
    assert str(resolve("cpu")) == "cpu"
