"""The gradient certificate as a command."""

import json
import math
import sys

import pytest

from xpcnn import layers as L
from xpcnn.cli import gradcheck
from xpcnn.testing.certificate import Failure, Row, names


@pytest.fixture
def broken(monkeypatch):
    """Let a layer's gradients go through a function on their way out."""

    def arrange(cls, change):
        backward = cls.backward
        monkeypatch.setattr(cls, "backward", lambda self, dy, cache: change(self, *backward(self, dy, cache)))

    return arrange


def rows_of(result):
    """The table's rows by name."""
    return {line.split()[0]: line.split() for line in result.lines if line.endswith((" OK", " FAILED"))}


def test_everything_is_checked_and_told(xpcnn):
    result = xpcnn("gradcheck")
    assert (result.code, result.err) == (0, "")
    assert list(rows_of(result)) == names()
    assert all(row[-1] == "OK" for row in rows_of(result).values())
    arrays = sum(int(row[2]) for row in rows_of(result).values())
    assert result.last.startswith(f"{len(names())} layers and losses, {arrays} arrays: worst error ")
    assert result.last.endswith("; bar 1e-07")
    assert result.lines[0].startswith("xpcnn ") and "numpy " in result.lines[0]
    assert result.lines[1].startswith("namespace numpy, device cpu, ")


def test_the_kernels_in_use_are_named(xpcnn, monkeypatch):
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    assert "accelerated kernels" in xpcnn("gradcheck", "--only", "ReLU").out
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    assert "generic kernels" in xpcnn("gradcheck", "--only", "ReLU").out


def test_only_takes_names_in_any_case(xpcnn):
    result = xpcnn("gradcheck", "--only", "linear", "MSE")
    assert list(rows_of(result)) == ["Linear", "MSE"]
    assert result.last.startswith("2 layers and losses, 11 arrays")
    assert xpcnn("gradcheck", "--only", "MSE").last.startswith("MSE, 6 arrays")


def test_wrong_usage_is_one_line(fails):
    fails(2, "gradcheck", "--namespace", "jax", words=["'jax'", "numpy", "strict", "torch", "cupy"])
    fails(2, "gradcheck", "--only", "Conv2", words=["'Conv2'", "did you mean 'Conv2d'?"])
    fails(2, "gradcheck", "--only", "?", words=["there are Linear, "])
    fails(2, "gradcheck", "--only", words="--only")


@pytest.mark.parametrize(
    ("namespace", "module", "words"),
    [
        ("torch", "torch", ["namespace 'torch'", "pip install torch"]),
        ("strict", "array_api_strict", ["namespace 'strict'", "pip install array-api-strict"]),
    ],
)
def test_a_missing_library_is_one_line_and_exits_1(fails, monkeypatch, namespace, module, words):
    monkeypatch.setitem(sys.modules, module, None)
    fails(1, "gradcheck", "--namespace", namespace, words=words)


def test_cupy_without_a_gpu_says_what_is_missing(fails, monkeypatch):
    from xpcnn.backend import device
    from xpcnn.errors import DeviceUnavailable

    def no_gpu(_):
        raise DeviceUnavailable("device 'cuda:0': no CUDA driver answers: install it")

    monkeypatch.setattr(device, "_cuda", no_gpu)
    fails(1, "gradcheck", "--namespace", "cupy", words="no CUDA driver answers: install it")


def test_strict_is_as_strict_as_can_be_and_only_meanwhile(xpcnn, strict, broken):
    flags = strict.xp.get_array_api_strict_flags
    strict.xp.set_array_api_strict_flags(boolean_indexing=True)
    seen = []
    broken(L.ReLU, lambda self, dx, grads: seen.append((flags(), dx.device)) or (dx, grads))
    try:
        result = xpcnn("gradcheck", "--namespace", "strict", "--only", "ReLU")
        assert flags()["boolean_indexing"], "given back"
    finally:
        strict.xp.set_array_api_strict_flags(boolean_indexing=False)
    assert result.code == 0
    assert "namespace strict, device array_api_strict:device1" in result.lines[1]
    assert "array_api_strict " in result.lines[0]
    assert all(not f["boolean_indexing"] and not f["data_dependent_shapes"] for f, _ in seen)
    assert {str(device) for _, device in seen} == {"array_api_strict.Device('device1')"}


@pytest.mark.oracle
def test_torch_is_checked_on_its_own_arrays(xpcnn):
    torch = pytest.importorskip("torch")
    result = xpcnn("gradcheck", "--namespace", "torch", "--only", "Conv2d", "Upsample", "NLLLoss")
    assert result.code == 0
    assert f"torch {torch.__version__}" in result.lines[0]
    assert "namespace torch, device torch:cpu" in result.lines[1]


def test_a_wrong_gradient_is_shown_with_layer_setting_array_numbers_and_what_to_do(xpcnn, broken):
    def change(layer, dx, grads):
        return dx, {name: g * 1.001 if name == "weight" and not layer.bias else g for name, g in grads.items()}

    broken(L.Linear, change)
    result = xpcnn("gradcheck", "--only", "Linear", "ReLU")
    assert result.code == 1
    assert {name: row[-1] for name, row in rows_of(result).items()} == {"Linear": "FAILED", "ReLU": "OK"}
    assert rows_of(result)["Linear"][4] == "weight"
    assert result.out.count("\nFAILED ") == 1, "the setting with a bias is right"
    for words in [
        "FAILED Linear(5, 4, bias=False, init='xavier_uniform') of (3, 5)\n",
        "gradient of weight, shape (4, 5): along random direction ",
        "it gives ",
        "differences give ",
        "XPCNN_KERNELS=generic xpcnn gradcheck --only Linear\n",
        "xpcnn doctor",
    ]:
        assert words in result.out
    assert result.last.endswith(": FAILED: Linear")


def test_elsewhere_it_is_told_to_try_numpy_first(xpcnn, strict, broken):
    broken(L.Tanh, lambda self, dx, grads: (-dx, grads))
    result = xpcnn("gradcheck", "--namespace", "strict", "--only", "Tanh")
    assert result.code == 1
    assert "  xpcnn gradcheck --only Tanh\n    passes: it is strict or its device" in result.out
    assert "XPCNN_KERNELS=generic xpcnn gradcheck --only Tanh --namespace strict\n" in result.out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda self, dx, grads: (dx * math.nan, grads), "gradient of x, shape (3, 4, 5): "),
        (lambda self, dx, grads: (dx[:1], grads), "GradientError: Dropout: gradient of x: expected float64 of shape"),
        (lambda self, dx, grads: 1 // 0, "ZeroDivisionError: "),
        (lambda self, dx, grads: (dx * (1.0 + 1e-9), grads), "<A x, dy> and <x, A' dy> differ by "),
    ],
    ids=["nan", "shape", "error", "adjoint"],
)
def test_whatever_goes_wrong_is_a_result_and_not_the_end(xpcnn, broken, change, words):
    broken(L.Dropout, change)
    result = xpcnn("gradcheck", "--only", "Dropout", "Dropout2d")
    assert result.code == 1
    assert {name: row[-1] for name, row in rows_of(result).items()} == {"Dropout": "FAILED", "Dropout2d": "OK"}
    assert f"FAILED Dropout(p=0.2) of (3, 4, 5)\n  {words}" in result.out
    assert result.err == ""


def test_json_holds_the_results(xpcnn):
    result = xpcnn("gradcheck", "--json", "--only", "Linear", "MSE")
    found = result.json
    assert (found["ok"], found["namespace"], found["device"], found["arrays"]) == (True, "numpy", "cpu", 11)
    assert found["worst"]["error"] == max(row["error"] for row in found["results"]) < found["bar"] == 1e-7
    linear, mse = found["results"]
    assert (linear["name"], linear["settings"], linear["arrays"], linear["failures"]) == ("Linear", 2, 5, [])
    assert linear["adjoint"] < found["adjoint_bar"] and mse["adjoint"] is None
    assert "Linear" in result.err, "progress goes where it does not disturb"


def test_json_holds_the_failures(xpcnn, broken):
    broken(L.Tanh, lambda self, dx, grads: (dx * math.nan, grads))
    result = xpcnn("gradcheck", "--json", "--only", "Tanh")
    assert result.code == 1
    found = json.loads(result.out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    (row,) = found["results"]
    (failure,) = row["failures"]
    assert (found["ok"], row["ok"], failure["setting"], failure["array"]) == (False, False, "Tanh() of (3, 4, 5)", "x")
    assert isinstance(failure["expected"], float) and failure["got"] is None


def test_each_result_is_told_as_soon_as_it_is_known(xpcnn, monkeypatch, capsys):
    def slowly(device, only):
        for name in ("Linear", "ReLU"):
            yield Row(name, 1, 1, 1e-10, "x", None, ())
            assert f"{name} " in capsys.readouterr().out

    monkeypatch.setattr(gradcheck, "certificate", slowly)
    assert xpcnn("gradcheck", "--only", "Linear", "ReLU").code == 0


def test_a_failure_without_numbers_is_shown_too(xpcnn, monkeypatch):
    failure = Failure("Linear(1, 1) of (1, 1)", "", "RuntimeError: no")
    monkeypatch.setattr(
        gradcheck, "certificate", lambda *_: [Row("Linear", 1, 0, math.inf, "", None, (failure,))]
    )
    result = xpcnn("gradcheck", "--only", "Linear")
    assert result.code == 1
    assert "Linear, 0 arrays: worst error inf (Linear); bar 1e-07: FAILED: Linear" in result.last
