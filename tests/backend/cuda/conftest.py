"""Kernels that CuPy would compile and launch, on this machine."""

import pytest

from tests.backend.cuda.on_cpu import COMPILER, Cupy
from tests.namespaces import make_space
from xpcnn.backend import registry
from xpcnn.backend.cuda import launch
from xpcnn.errors import DeviceUnavailable


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """A folder for kernels as C++, each compiled once."""
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture
def cupy(monkeypatch, kernels):
    """A module `cupy` whose kernels run on the CPU."""
    if COMPILER is None:
        pytest.skip("no C++ compiler is installed (g++ or clang++)")
    fake = Cupy(kernels)
    monkeypatch.setattr(launch, "cupy", lambda: fake)
    monkeypatch.setattr(launch, "address", lambda a: a.ctypes.data)
    launch._kernel.cache_clear()
    launch.compiled.cache_clear()
    yield fake
    launch._kernel.cache_clear()
    launch.compiled.cache_clear()


@pytest.fixture
def answering(cupy, monkeypatch):
    """The same, and CuPy's kernels answer for NumPy's arrays: so ops find them as they do on a GPU."""
    for (op, library), function in tuple(registry._kernels.items()):
        if library == "cupy":
            monkeypatch.setitem(registry._kernels, (op, "numpy"), function)
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    return cupy


@pytest.fixture
def space_of_cupy():
    """CuPy's arrays on a GPU, with the kernels on."""
    try:
        space = make_space("cupy")
    except DeviceUnavailable as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XPCNN_KERNELS", raising=False)
        yield space
