"""The examples run as a user runs them, far from the sources, without a warning, and prove what they say."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
PLOTS = importlib.util.find_spec("matplotlib") is not None
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(tmp_path):
    """Run an example in an empty folder, with a picture where there is matplotlib; its output."""

    def run(name, plot=PLOTS, hide=""):
        path = [hide, str(ROOT), os.environ.get("PYTHONPATH")]
        done = subprocess.run(
            [sys.executable, "-W", "error", str(ROOT / "examples" / name), *(["--plot", "a.png"] if plot else [])],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "XPCNN_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        drawn = plot and not hide
        assert [one.name for one in tmp_path.iterdir()] == ["a.png"] * drawn, "an example leaves nothing else behind"
        if drawn:
            assert (tmp_path / "a.png").read_bytes().startswith(PNG)
        return done.stdout

    return run


def numbers(pattern, text):
    found = re.findall(pattern, text)
    assert found, f"{pattern} not in:\n{text}"
    return [float(value) for value in found]


def rows(head, text):
    """The table below the line that begins with `head`: cells of each row, which stand two or more spaces apart."""
    lines = text.splitlines()
    (start,) = (i for i, line in enumerate(lines) if line.startswith(head))
    table = []
    for line in lines[start:]:
        cells = re.split(r"\s{2,}", line.strip())
        if table and len(cells) != len(table[0]):
            break
        table.append(cells)
    return table[1:]


def test_no_example_goes_untested():
    source = Path(__file__).read_text(encoding="utf-8")
    assert [path.name[:2] for path in EXAMPLES] == [f"{number:02}" for number in range(1, 12)]
    assert [path.name for path in EXAMPLES if f'run("{path.name}")' not in source] == []


@pytest.mark.parametrize("plot", [False, True])
def test_without_matplotlib_it_runs_and_says_how_to_get_pictures(run, tmp_path_factory, plot):
    hide = tmp_path_factory.mktemp("hide")
    (hide / "matplotlib").mkdir()
    (hide / "matplotlib" / "__init__.py").write_text("raise ImportError")
    assert "pip install 'xpcnn[plot]'" in run("06_softmax_cross_entropy.py", plot, str(hide))


def test_receptive_fields_are_those_of_the_formula_and_weights_are_few(run):
    out = run("01_receptive_fields.py")
    assert [row[2] for row in rows("layer", out)] == ["4,923,520", "163,072", "208"]
    fields = [(int(a), int(b)) for _, a, b in rows("after", out)]
    assert [a for a, _ in fields] == [3, 5, 6, 10, 14, 16, 24]
    assert all(a == b for a, b in fields)
    assert "The largest ratio is that of the 1." in out
    assert "largest difference 0.0e+00" in out


def test_the_convolution_agrees_with_loops_differences_and_its_adjoint_and_learns_smooth_filters(run):
    out = run("02_convolution_layer.py")
    assert max(numbers(r"largest difference: (\S+)", out)) < 1e-12
    assert max(numbers(r"largest difference from difference quotients: (\S+)", out)) < 1e-9
    assert max(numbers(r"\ndifference: (\S+)", out)) < 1e-12
    (_, likeness, accuracy), (_, likeness_after, accuracy_after) = rows("epochs", out)
    assert float(likeness) < 0.15 < 0.2 < float(likeness_after)
    assert float(accuracy) < 0.3 < 0.85 < float(accuracy_after)


def test_pooling_calms_shifts_and_hands_the_gradient_to_the_winner(run):
    out = run("03_max_pooling.py")
    changes = [[float(cell) for cell in row[2:]] for row in rows("window", out)]
    assert len(changes) == 4
    for smaller, larger in zip(changes[1:], changes, strict=False):
        assert all(a < b for a, b in zip(smaller, larger, strict=True))
    assert rows("pooling", out) == [["max", "10", "10", "12 of 16"], ["average", "10", "10", "0 of 16"]]
    assert "[[0. 1. 2. 0.]\n [0. 0. 0. 0.]\n [3. 0. 0. 0.]\n [0. 0. 4. 0.]]" in out


def test_batch_norm_learns_at_ten_times_the_rate(run):
    out = run("04_batch_norm.py")
    assert all(float(row[-2]) < 1e-12 and row[-1] == "1.000" for row in rows("scale", out))
    accuracy = {(name, float(rate)): float(cells[-1]) for name, rate, *cells in rows("network", out)}
    assert accuracy["plain", 0.1] > 0.7
    assert accuracy["plain", 1.0] < 0.3 < 0.8 < accuracy["batch norm", 1.0]


def test_dropout_closes_the_gap(run):
    out = run("05_dropout.py")
    for p, zeros, others, mean in ([float(cell) for cell in row] for row in rows("p     share", out)):
        assert zeros == pytest.approx(p, abs=0.01)
        assert others == pytest.approx(1 / (1 - p), abs=1e-3)
        assert mean == pytest.approx(1, abs=0.02)
    (_, _, new, gap), (_, _, _, gap_quarter), (_, _, new_half, gap_half) = (
        [float(cell) for cell in row] for row in rows("p     accuracy", out)
    )
    assert gap > gap_quarter > gap_half
    assert gap > 0.12 > 0.05 > abs(gap_half)
    assert new_half > new + 0.03


def test_softmax_and_cross_entropy_are_stable_together_only(run):
    out = run("06_softmax_cross_entropy.py")
    table = rows("s      right", out)
    assert [row[2:] for row in table[-3:]] == [["inf", "inf", "1000"], ["inf", "inf", "10000"], ["nan", "0", "0"]]
    assert all(row[2] == row[3] == row[4] for row in table[:3])
    assert max(numbers(r"largest difference from [^:]+: (\S+)", out)) < 1e-9
    assert "gradient:      [ 1. -1.]" in out
    assert "the long way:  [nan nan]" in out


def test_six_optimizers_learn_and_plain_sgd_is_last(run):
    out = run("07_optimizers.py")
    table = {name: [float(cell) for cell in cells] for name, *cells in rows("optimizer", out)}
    assert list(table) == ["SGD", "momentum", "Nesterov", "Adagrad", "RMSprop", "Adam"]
    for _, first, *_, last, accuracy in table.values():
        assert last < 0.7 * first
        assert accuracy > 0.6
    assert all(table["SGD"][-2] > 1.5 * table[name][-2] for name in table if name != "SGD")


def test_training_reads_digits(run):
    out = run("08_classify_mnist.py")
    assert "202,738" in out
    (accuracy,) = numbers(r"test accuracy ([\d.]+)", out)
    assert accuracy > 0.93
    matrix = re.findall(r"^\[?\[([\d ]+)\]", out.replace(" [", "["), flags=re.M)
    right = sum(int(line.split()[i]) for i, line in enumerate(matrix))
    assert len(matrix) == 10
    assert right == round(1000 * accuracy)
    assert all(truth != answer for _, truth, answer, _, _ in rows("test image", out))
    assert "the loaded model gives the same bits: True" in out


def test_two_devices_draw_the_same_and_lose_the_same(run):
    pytest.importorskip("array_api_strict", reason="the example compares NumPy with it")
    out = run("09_same_code_on_two_devices.py")
    assert "cpu and array_api_strict:device1, float64" in out
    assert "False" not in out
    assert out.count("same bits: True") == 2 * out.count("largest relative difference")
    for dtype, bound in (("float64", 1e-12), ("float32", 1e-4)):
        found = numbers(rf"and \S+, {dtype}\n(?:  .*\n)*  largest relative difference of the losses: (\S+)", out)
        assert max(found) < bound


def test_a_layer_of_ones_own_is_checked_trained_and_saved(run):
    out = run("10_write_your_own_layer.py")
    assert [row[0] for row in rows("gradient of", out)] == ["x", "weight"]
    assert max(float(row[1]) for row in rows("gradient of", out)) < 1e-7
    assert "caught: Forgetful: gradient of weight" in out
    (before,), (after,) = numbers(r"before +([\d.]+)", out), numbers(r"after +([\d.]+)", out)
    assert before < 0.3 < 0.85 < after
    assert "it gives the same bits: True" in out


def test_a_frozen_body_helps_where_images_are_few(run):
    out = run("11_transfer.py")
    table = [[float(cell) for cell in row[:3]] for row in rows("images of each", out)]
    assert [row[0] for row in table] == [2, 5, 10]
    assert sum(row[1] - row[2] for row in table) / 3 > 0.005
    assert "3,925 (frozen body), 7,349 (from scratch)" in out
