"""The examples run as a user runs them, far from the sources, without a warning, and prove what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture
def run(tmp_path):
    """Run an example in an empty folder; its output."""

    def run(name):
        path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(
            [sys.executable, "-W", "error", str(ROOT / "examples" / name)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path), "XPCNN_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(tmp_path.iterdir()) == [], "an example leaves nothing behind"
        return done.stdout

    return run


def numbers(pattern, text):
    found = re.findall(pattern, text)
    assert found, f"{pattern} not in:\n{text}"
    return [float(value) for value in found]


def test_no_example_goes_untested():
    source = Path(__file__).read_text(encoding="utf-8")
    assert len(EXAMPLES) == 4
    assert [path.name for path in EXAMPLES if f'run("{path.name}")' not in source] == []


def test_training_reads_digits(run):
    out = run("01_train_on_mnist.py")
    (accuracy,) = numbers(r"test accuracy ([\d.]+)", out)
    assert accuracy > 0.9
    assert "202,738" in out
    assert "the loaded model gives the same bits: True" in out


def test_two_devices_draw_the_same_and_lose_the_same(run):
    pytest.importorskip("array_api_strict", reason="the example compares NumPy with it")
    out = run("02_same_code_on_two_devices.py")
    assert "cpu and array_api_strict:device1, float64" in out
    assert "False" not in out
    assert out.count("same bits: True") == 2 * out.count("largest relative difference")
    for dtype, bound in (("float64", 1e-12), ("float32", 1e-4)):
        found = numbers(rf"and \S+, {dtype}\n(?:  .*\n)*  largest relative difference of the losses: (\S+)", out)
        assert max(found) < bound


def test_the_convolution_agrees_with_loops_differences_and_its_adjoint(run):
    out = run("03_convolution_by_hand.py")
    assert max(numbers(r"largest difference: (\S+)", out)) < 1e-12
    assert max(numbers(r"largest difference from finite differences: (\S+)", out)) < 1e-9
    assert max(numbers(r"\ndifference: (\S+)", out)) < 1e-12


def test_a_layer_of_ones_own_is_checked_trained_and_saved(run):
    out = run("04_write_your_own_layer.py")
    assert "PReLU: gradients agree" in out
    assert "caught: Forgetful: gradient of weight" in out
    (before,), (after,) = numbers(r"accuracy before ([\d.]+)", out), numbers(r"accuracy after ([\d.]+)", out)
    assert before < 0.3 < 0.7 < after
    assert "it gives the same bits: True" in out
