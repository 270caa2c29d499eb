"""Array libraries as fixtures, and settings that make every run the same."""

import pytest
from hypothesis import HealthCheck, settings

from tests.namespaces import IDS, make_space
from xpcnn.errors import DeviceUnavailable

# slow examples are the machine's business, not the code's
settings.register_profile(
    "xpcnn", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("xpcnn")

_MARKS = {"torch": pytest.mark.oracle, "cupy": pytest.mark.gpu}


def _space(name):
    try:
        return make_space(name)
    except DeviceUnavailable as error:
        pytest.skip(str(error))
    except ImportError as error:
        pytest.skip(f"{name} is not installed ({error})")


@pytest.fixture(scope="session", params=[pytest.param(name, marks=_MARKS.get(name, ())) for name in IDS])
def space(request):
    """Each array library in turn."""
    return _space(request.param)


@pytest.fixture(scope="session")
def cpu():
    return _space("numpy")


@pytest.fixture(scope="session")
def strict():
    return _space("strict")


@pytest.fixture(scope="module")
def accelerated():
    """Kernels on, for tests that are about them, even where all others are made without (XPCNN_KERNELS=generic)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XPCNN_KERNELS", raising=False)
        yield


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A folder for kernels as C++, each compiled once."""
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture
def gpu(built):
    """A GPU that is not there: see `tests.backend.cuda.fake_gpu`."""
    from tests.backend.cuda.installed import installed  # not before it is needed
    from tests.backend.cuda.on_cpu import COMPILER

    if COMPILER is None:
        pytest.skip("no C++ compiler is installed (g++ or clang++)")
    with installed(built) as found:
        yield found
