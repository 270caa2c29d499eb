"""Plans: what tells them from one another, what is left out, and what is measured and kept."""

import ctypes
import json
import os

import numpy as np
import pytest

from tests.backend.cuda import fake_cudnn
from xpcnn import ops
from xpcnn.backend import cuda
from xpcnn.backend.cuda.cudnn import choices, conv, plans
from xpcnn.backend.cuda.cudnn.plans import Tensor
from xpcnn.errors import ConfigError

SIZES = (1, 1, 3, 3), (1, 1, 2, 2)


def convolve(gpu, shape=SIZES[0], **options):
    return ops.conv2d(gpu.upload(np.ones(shape, "float32")), gpu.upload(np.ones(SIZES[1], "float32")), **options)


def test_a_plan_is_made_once_for_each_kind(gpu):
    for _ in range(2):
        convolve(gpu)
        convolve(gpu, shape=(2, 1, 3, 3))
        convolve(gpu, padding=1)
        with cuda.computing(cuda.Options(allow_tf32=True)):
            convolve(gpu)
        with cuda.computing(cuda.Options(deterministic=True)):
            convolve(gpu)
    assert len(gpu.cudnn.graphs) == 5


def test_plans_are_forgotten_in_the_end():
    assert plans._plan.cache_info().maxsize == plans.PLANS


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        (cuda.Options(), {"TENSOR_CORE", "DOWN_CONVERT_INPUTS"}),
        (cuda.Options(allow_tf32=True), set()),
        (cuda.Options(allow_tf32=True, deterministic=True), {"NONDETERMINISTIC"}),
    ],
)
def test_options_leave_plans_out(gpu, options, left_out):
    with cuda.computing(options):
        convolve(gpu)
    (graph,) = gpu.cudnn.graphs
    assert {note.name for note in graph.left_out} == left_out
    assert graph.most == plans.WORKSPACE


@pytest.fixture
def clock(gpu, monkeypatch, tmp_path):
    """Plans that take as long as is said, and a folder to keep what was measured."""
    seconds = {0: 3.0, 1: 1.0, 2: 2.0}
    now = [0.0]

    class Event:
        def record(self):
            self.at = now[0]

        def synchronize(self):
            gpu.waits += 1

    gpu.cuda.Event = Event
    gpu.cuda.get_elapsed_time = lambda start, stop: stop.at - start.at
    run = fake_cudnn.Graph.execute_plan_at_index

    def execute(self, pointers, workspace, index, handle):
        run(self, pointers, workspace, index, handle)
        now[0] += seconds[index]

    monkeypatch.setattr(fake_cudnn.Graph, "execute_plan_at_index", execute)
    monkeypatch.setenv("XPCNN_AUTOTUNE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    choices._gpu.cache_clear()
    yield seconds
    choices._gpu.cache_clear()


def kept(tmp_path):
    (path,) = tmp_path.rglob("*.json")
    assert path.name == "A-GPU-that-is-not-there-91900.json"
    return json.loads(path.read_text())


def test_the_fastest_plan_is_found_kept_and_taken_again(gpu, clock, tmp_path):
    assert convolve(gpu).host.tolist() == [[[[4.0, 4.0], [4.0, 4.0]]]]
    # plan 1 is faster, but left out: it rounds to TF32
    assert list(kept(tmp_path).values()) == ["other_conv"]
    measured = gpu.waits
    plans._plan.cache_clear()
    convolve(gpu)
    assert gpu.waits == measured
    assert gpu.cudnn.graphs[-1].built == {2}
    with cuda.computing(cuda.Options(allow_tf32=True)):
        convolve(gpu)
    assert sorted(kept(tmp_path).values()) == ["other_conv", "tensor_core_conv"]
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_plan_that_is_known_no_more_is_measured_anew(gpu, clock, tmp_path):
    convolve(gpu)
    (path,) = tmp_path.rglob("*.json")
    path.write_text(json.dumps({key: "gone" for key in kept(tmp_path)}))
    plans._plan.cache_clear()
    convolve(gpu)
    assert list(kept(tmp_path).values()) == ["other_conv"]


@pytest.mark.parametrize("text", ["{", "[]", '"no"', "\xff"])
def test_a_damaged_file_is_measured_anew(gpu, clock, tmp_path, text):
    convolve(gpu)
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(text.encode("latin-1"))
    plans._plan.cache_clear()
    assert convolve(gpu).host.max() == 4.0
    assert list(kept(tmp_path).values()) == ["other_conv"]


@pytest.mark.parametrize("place", ["no home", "read-only"])
def test_without_a_place_to_keep_it_all_goes_on(gpu, clock, tmp_path, monkeypatch, place):
    if place == "no home":
        monkeypatch.setenv("XDG_CACHE_HOME", "")
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    else:
        (tmp_path / "xpcnn").write_text("a file where the folder should be")
    assert convolve(gpu).host.max() == 4.0
    assert not list(tmp_path.rglob("*.json"))


def test_plans_that_do_not_run_are_left_to_cudnns_own_choice(gpu, clock, monkeypatch, tmp_path):
    def fail(self, *args, **kwargs):
        message = "CUDNN_STATUS_EXECUTION_FAILED"
        raise RuntimeError(message)

    monkeypatch.setattr(fake_cudnn.Graph, "execute_plan_at_index", fail)
    with pytest.raises(RuntimeError, match="EXECUTION_FAILED"):
        convolve(gpu)
    assert not list(tmp_path.rglob("*.json"))


def test_autotune_takes_two_words(monkeypatch):
    for word, expected in (("", False), ("0", False), ("1", True)):
        monkeypatch.setenv("XPCNN_AUTOTUNE", word)
        assert choices.tuning() is expected
    monkeypatch.setenv("XPCNN_AUTOTUNE", "yes")
    with pytest.raises(ConfigError, match="XPCNN_AUTOTUNE: expected '1' or nothing, got 'yes'"):
        choices.tuning()


# The real frontend, where it is installed: graphs are built and asked for support, for a GPU that a text describes.

H100 = {
    "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "regsPerBlock": 65536,
    "multiProcessorCount": 132, "warpSize": 32, "maxSharedMemoryPerBlock": 49152,
    "maxSharedMemoryPerBlockOptin": 232448,
    "reservedSharedMemoryPerBlock": 1024, "maxRegistersPerSM": 65536, "maxCtasPerSM": 32, "maxThreadsPerBlock": 1024,
    "maxThreadsPerSM": 2048, "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1, "smClockRateKHz": 1980000,
    "memClockRateKHz": 2619000, "l2CacheSize": 52428800, "deviceName": "NVIDIA H100", "deviceVer": 900,
    "driverVer": 13000,
    "cudaDeviceId": 0, "totalGlobalMem": 85000000000,
}  # fmt: skip


def images(n, c, h, w, dtype):
    return Tensor((n, c, h, w), (h * w * c, 1, w * c, c), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("channels", [1, 3, 20])
@pytest.mark.parametrize("stride", [1, 2])
def test_cudnn_has_plans_for_our_graphs(dtype, channels, stride):
    cudnn = plans.frontend()
    if cudnn is None:
        pytest.skip("cuDNN does not load: pip install nvidia-cudnn-cu13 nvidia-cudnn-frontend==1.24.1 cuda-pathfinder")
    size = (16 + 2 - 3) // stride + 1
    x, y = images(8, channels, 16, 16, dtype), images(8, 32, size, size, dtype)
    w, b = images(32, channels, 3, 3, dtype), Tensor((1, 32, 1, 1), (32, 1, 1, 1), dtype)
    settings = (1, 1), (1, 1), (stride, stride), (1, 1)
    for build, tensors in [
        (conv.forward, (x, w, y)),
        (conv.forward, (x, w, b, y)),
        (conv.forward_relu, (x, w, b, y)),
        (conv.input_gradient, (y, w, x)),
        (conv.weight_gradient, (y, x, w)),
    ]:
        assert count(cudnn, build, tensors, settings) > 0


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("channels", [1, 3, 20])
def test_cudnn_has_plans_that_it_compiles_for_sums(dtype, channels):
    cudnn = plans.frontend()
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        pytest.skip(f"plans that are compiled while running need the driver's library ({error})")
    if cudnn is None:
        pytest.skip("cuDNN does not load")
    x, y = images(8, channels, 16, 16, dtype), images(8, 32, 16, 16, dtype)
    w, b = images(32, channels, 3, 3, dtype), Tensor((1, 32, 1, 1), (32, 1, 1, 1), dtype)
    settings = (1, 1), (1, 1), (1, 1), (1, 1)
    for build, tensors in [
        (conv.forward_relu, (x, w, y)),
        (conv.forward_add, (x, w, b, y, y)),
        (conv.forward_add_relu, (x, w, b, y, y)),
    ]:
        assert count(cudnn, build, tensors, settings) > 0


def count(cudnn, build, tensors, settings):
    """How many plans there are for the GPU that is described."""
    dtype, gpu = tensors[-1].dtype, cudnn.create_device_properties(json.dumps(H100))
    graph = cudnn.pygraph(**plans.types(dtype), device_property=gpu)
    plans.describe(graph, build, tensors, settings)
    graph.validate()
    graph.build_operation_graph()
    graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
    return graph.get_execution_plan_count()
