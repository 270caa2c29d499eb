"""What works on this machine, and what does not."""

import numpy as np
import pytest

import xpcnn as library
from xpcnn.backend import resolve
from xpcnn.cli import machine, selftest
from xpcnn.errors import DeviceUnavailable

GOOD = {"gradients": {"ok": True, "text": "fine", "seconds": 0.1}}
BAD = {"gradients": {"ok": False, "text": "Conv2d: off by 1", "seconds": 0.1}}


@pytest.fixture
def quick(monkeypatch):
    """Let the self test have a result without being run."""

    def arrange(result):
        monkeypatch.setattr(selftest, "check", lambda device: result)

    arrange(GOOD)
    return arrange


@pytest.fixture
def no_gpu(monkeypatch):
    def raise_it(name):
        if name == "cuda":
            raise DeviceUnavailable("device 'cuda:0': CuPy is not installed: pip install it")
        return resolve(name)

    monkeypatch.setattr(machine, "resolve", raise_it)


def test_the_self_test_passes_on_the_cpu():
    results = selftest.check(resolve("cpu"))
    assert {name: fact["ok"] for name, fact in results.items()} == {"gradients": True, "training": True}, results


def test_the_self_test_finds_a_wrong_gradient(monkeypatch):
    from xpcnn.layers import Linear

    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    backward = Linear.backward
    monkeypatch.setattr(Linear, "backward", lambda self, dy, cache: (backward(self, dy, cache)[0] * 2.0, {}))
    result = selftest.check(resolve("cpu"))["gradients"]
    assert not result["ok"]
    assert "GradientError" in result["text"]


def test_the_self_test_finds_training_that_goes_another_way(monkeypatch):
    from xpcnn.layers import ReLU

    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    backward = ReLU.backward
    monkeypatch.setattr(ReLU, "backward", lambda self, dy, cache: (backward(self, dy, cache)[0] * 0.9, {}))
    result = selftest.check(resolve("cpu"))["training"]
    assert not result["ok"]
    assert "expected" in result["text"]


def test_the_self_test_finds_a_wrong_kernel(monkeypatch):
    from xpcnn.backend import cpu

    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    backward = cpu.ReLU.backward
    monkeypatch.setattr(cpu.ReLU, "backward", lambda self, dy, *rest: backward(self, dy * 0.9, *rest))
    assert not selftest.check(resolve("cpu"))["training"]["ok"]


def test_it_reports_versions_blas_gpu_folders_and_variables(xpcnn, quick, no_gpu, monkeypatch, tmp_path):
    monkeypatch.setenv("XPCNN_DATA_DIR", str(tmp_path / "data"))
    result = xpcnn("doctor")
    assert result.code == 0
    text = " ".join(result.out.split())
    for words in [
        f"xpcnn {library.__version__} in ",
        f"numpy {np.__version__}",
        "safetensors ",
        "BLAS ",
        "thread(s)",
        "usable",
        "CuPy is not installed: pip install it",
        f"{tmp_path / 'cache' / 'xpcnn'}: not there yet, will be made",
        f"{tmp_path / 'data'}: not there yet",
        f"XPCNN_DATA_DIR {tmp_path / 'data'}",
        "XPCNN_OFFLINE 1",
        "gradients ok: fine",
    ]:
        assert words in text
    assert result.last == "the CPU works; no GPU that works"


def test_it_reports_threads_cache_and_kernels(xpcnn, quick, no_gpu, monkeypatch):
    monkeypatch.setattr(machine.cpu, "level2", lambda: 1280 * 1024)
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    monkeypatch.delenv("XPCNN_NUM_THREADS", raising=False)
    try:
        library.set_num_threads(None)
        usable = machine.processor()["usable"]
        assert f"  threads        {usable} (from usable cores)" in xpcnn("doctor").lines
        library.set_num_threads(usable + 1)
        assert f"  threads        {usable + 1} (from set_num_threads)" in xpcnn("doctor").lines
        monkeypatch.setenv("XPCNN_NUM_THREADS", "7")
        assert f"  threads        {usable + 1} (from set_num_threads)" in xpcnn("doctor").lines
        library.set_num_threads(None)
        monkeypatch.setenv("XPCNN_KERNELS", "generic")
        text = xpcnn("doctor").lines
    finally:
        library.set_num_threads(None)
    assert "  threads        7 (from $XPCNN_NUM_THREADS)" in text
    assert "  level 2 cache  1,280 KiB" in text
    assert "  kernels        generic ($XPCNN_KERNELS); slower" in text
    monkeypatch.delenv("XPCNN_KERNELS")
    assert "  kernels        accelerated" in xpcnn("doctor").lines


def test_json_holds_the_findings(xpcnn, quick, no_gpu):
    found = xpcnn("doctor", "--json").json
    assert (found["ok"], found["problems"]) == (True, [])
    assert found["packages"]["numpy"] == {"version": np.__version__, "ok": True}
    assert found["gpu"]["ok"] is False
    assert found["self_test"] == {"cpu": GOOD}
    assert found["processor"]["usable"] >= 1
    assert found["processor"]["threads"] == library.get_num_threads()
    assert found["datasets"]["mnist-mini"].endswith("mnist_mini")
    assert set(found["environment"]) == set(machine.VARIABLES)


def test_quiet_says_nothing_and_leaves_the_gpu_alone(xpcnn, quick, monkeypatch):
    monkeypatch.setattr(machine, "gpu", lambda: pytest.fail("the GPU was examined"))
    result = xpcnn("doctor", "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert xpcnn("doctor", "--quiet", "--json").json["gpu"]["ok"] is None


def test_a_failed_self_test_exits_1_and_is_named(xpcnn, quick, no_gpu):
    quick(BAD)
    result = xpcnn("doctor")
    assert result.code == 1
    assert result.lines[-2:] == ["the CPU does NOT work:", "  self test, gradients: Conv2d: off by 1"]
    quiet = xpcnn("doctor", "--quiet")
    assert (quiet.code, quiet.lines) == (1, ["self test, gradients: Conv2d: off by 1"])


def test_a_package_that_does_not_import_exits_1_and_says_how_to_get_it(xpcnn, quick, no_gpu, monkeypatch):
    monkeypatch.setattr(machine, "NEEDED", ("numpy", "no-such-package"))
    result = xpcnn("doctor")
    assert result.code == 1
    assert result.last.startswith("  no-such-package: ModuleNotFoundError")
    assert result.last.endswith("pip install no-such-package")


def test_a_gpu_that_works_is_tested_and_does_not_decide_the_exit_code(xpcnn, monkeypatch):
    class Fake:
        name = "cuda:0"

    monkeypatch.setattr(machine, "gpu", lambda: ({"ok": True, "text": "cuda:0: a GPU"}, Fake()))
    monkeypatch.setattr(selftest, "check", lambda device: GOOD)
    assert xpcnn("doctor").last == "the CPU works, and the GPU too"
    monkeypatch.setattr(selftest, "check", lambda device: BAD if device.name == "cuda:0" else GOOD)
    result = xpcnn("doctor")
    assert (result.code, result.last) == (0, "the CPU works; no GPU that works")
    assert "gradients  FAILED: Conv2d: off by 1" in result.out


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("XPCNN_NUM_THREADS", "an integer from 1 to 1024"), ("XPCNN_KERNELS", "'generic' or nothing")],
)
def test_a_wrong_variable_is_marked_in_a_whole_report_and_exits_1(xpcnn, no_gpu, monkeypatch, name, wanted):
    library.set_num_threads(None)
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    monkeypatch.setenv(name, "abc")
    result = xpcnn("doctor")
    assert (result.code, result.err) == (1, "")
    text = " ".join(result.out.split())
    assert f" {name} abc: WRONG ({machine.VARIABLES[name]})" in text
    assert result.lines[-2] == "the CPU works, but not with these variables:"
    assert result.last.startswith(f"  {name}: expected {wanted}, got 'abc'")
    # all else is told as it is without the variable
    for words in ("numpy ", "level 2 cache ", "kernels accelerated", "gradients ok", "training ok", "GPU "):
        assert words in text
    assert "FAILED" not in text
    quiet = xpcnn("doctor", "--quiet")
    assert (quiet.code, quiet.lines) == (1, [result.last.strip()])
    json = xpcnn("doctor", "--quiet", "--json")
    assert json.code == 1 and f'"{name}": "abc"' in json.out
    # and is as wrong as before in the end
    assert xpcnn("gradcheck").code == 2


def test_two_wrong_variables_are_both_named(xpcnn, quick, no_gpu, monkeypatch):
    library.set_num_threads(None)
    monkeypatch.setenv("XPCNN_NUM_THREADS", "abc")
    monkeypatch.setenv("XPCNN_KERNELS", "foo")
    quick(BAD)
    assert "the CPU does NOT work:" in xpcnn("doctor").lines
    quick(GOOD)
    result = xpcnn("doctor", "--quiet")
    assert [line.partition(":")[0] for line in result.lines] == ["XPCNN_KERNELS", "XPCNN_NUM_THREADS"]


def test_folders_are_told_apart(tmp_path):
    (tmp_path / "file").touch()
    texts = {name: machine._folder(tmp_path / name)["text"] for name in (".", "new/deep", "file", "file/below")}
    assert texts == {
        ".": "writable",
        "new/deep": "not there yet, will be made",
        "file": "not a folder",
        "file/below": "not there, and cannot be made",
    }


def test_the_folder_of_the_system_is_only_read(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "SYSTEM", tmp_path / "datasets")
    assert machine.folders()["system"]["text"] == "not there; only read"
    machine.SYSTEM.mkdir()
    assert machine.folders()["system"]["text"] in ("writable", "read-only")


def test_nothing_is_written(xpcnn, quick, no_gpu, here, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    assert xpcnn("doctor").code == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_gpu_is_named_with_its_driver_and_libraries(gpu, monkeypatch):
    monkeypatch.setattr(machine, "resolve", lambda name: gpu.device)
    facts, device = machine.gpu()
    assert device is gpu.device
    assert facts["text"] == "cuda:0: A GPU that is not there, 3.0 of 4.0 GiB free"
    assert (facts["driver"], facts["runtime"]) == ("for CUDA 13.0", "CUDA 12.9")
    assert facts["cudnn"] == "9.19.0, frontend 1.24.1"


def test_a_wrong_word_for_autotune_is_a_problem(monkeypatch):
    monkeypatch.setenv("XPCNN_AUTOTUNE", "maybe")
    assert "got 'maybe'" in machine.wrong_variables()["XPCNN_AUTOTUNE"]
