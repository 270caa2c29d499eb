"""Training from the command line."""

import csv
import dataclasses
import os
import platform
import re
import struct
import subprocess
import sys

import numpy as np
import pytest

import xpcnn as library
from xpcnn.cli import networks, recipes

SHORT = ("train", "--epochs", 1, "--device", "cpu")


def test_every_default_works_and_the_last_line_is_the_accuracy(process, here):
    result = process("train", "--epochs", "1")  # the real bundled data; one epoch, as this is a test
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("deepnotes: 202,738 parameters on ")
    assert lines[1].startswith("mnist-mini: 6,000 training and 1,000 test images of 28x28, from ")
    assert re.fullmatch(r"epoch 1/1  \d+\.\ds  loss \S+  accuracy \S+  val_loss \S+  val_accuracy \S+", lines[2])
    assert re.fullmatch(r"test accuracy [01]\.\d{4}", lines[-1])
    assert float(lines[-1].split()[-1]) > 0.8
    assert sorted(os.listdir(here / "runs" / "001")) == ["history.csv", "model.safetensors"]


def test_the_model_file_evaluates_to_the_accuracy_that_was_printed(xpcnn, small):
    trained = xpcnn(*SHORT, "--batch-size", 32)
    evaluated = xpcnn("evaluate", "runs/001/model.safetensors", "--device", "cpu")
    assert (trained.code, evaluated.code) == (0, 0)
    assert trained.last == evaluated.last
    model = library.load("runs/001/model.safetensors")
    right = int((model.predict(small.x_test) == small.y_test).sum())
    assert trained.last == f"test accuracy {right / len(small.y_test):.4f}"


def test_history_holds_a_line_an_epoch(xpcnn, small):
    result = xpcnn("train", "--epochs", 3, "--out", "here", "--json")
    with open("here/history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    for name, values in result.json["history"].items():
        assert [float(row[name]) for row in rows] == values
    assert set(rows[0]) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}


def test_json_is_one_object_on_stdout_and_progress_is_on_stderr(xpcnn, small):
    result = xpcnn(*SHORT, "--json", "--seed", 7, "--optimizer", "momentum", "--schedule", "step", "--batch-size", 50)
    found = result.json
    assert "epoch 1/1" in result.err
    assert "mnist-mini" in result.err
    assert 0 <= found["test_accuracy"] <= 1
    assert found["test_loss"] > 0
    assert (found["epochs"], found["seed"], found["device"]) == (1, 7, "cpu")
    assert found["seconds"] > 0
    assert found["history"]["val_accuracy"] == [found["test_accuracy"]]
    assert found["model"] == os.path.join("runs", "001", "model.safetensors")
    assert found["source"] == small.source
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["xpcnn"] == library.__version__
    assert found["options"] == {
        "dataset": "mnist-mini", "data_dir": None, "model": "deepnotes", "epochs": 1, "batch_size": 50,
        "optimizer": "momentum", "lr": recipes.LEARNING_RATES["momentum"], "schedule": "step",
        "augment": "none", "weights": None, "seed": 7, "device": "cpu", "dtype": "float32",
        "threads": None, "out": None,
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_the_dtype_is_said_recorded_and_kept_in_the_file(xpcnn, small, dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    result = xpcnn(*SHORT, "--json", "--dtype", dtype)
    assert f"{dtype}; seed 0" in result.err
    assert result.json["dtype"] == result.json["options"]["dtype"] == dtype
    model = library.load(result.json["model"])
    assert (model.dtype, model.params_dtype) == (dtype, "float64" if dtype == "float64" else "float32")
    evaluated = xpcnn("evaluate", result.json["model"], "--device", "cpu", "--json")
    assert evaluated.json["test_accuracy"] == result.json["test_accuracy"]


def test_bfloat16_without_its_package_exits_2_and_says_how_to_get_it(fails, small, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    assert "pip install ml_dtypes" in fails(2, *SHORT, "--dtype", "bfloat16")
    assert not (here / "runs").exists()


def test_augmentation_is_named_recorded_and_changes_the_run(xpcnn, small, here):
    for out, names in (("a", "flip, crop,mixup"), ("b", "flip,crop,mixup"), ("c", "none")):
        result = xpcnn(*SHORT, "--augment", names, "--json", "--out", out)
        assert result.code == 0, result.err
        assert result.json["options"]["augment"] == names.replace(" ", "")
        assert ("augmented by flip,crop,mixup" in result.err) == (names != "none")
    a, b, c = ((here / out / "model.safetensors").read_bytes() for out in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("names", "hint"),
    [("flop", "did you mean 'flip'?"), ("", "got ''"), ("flip,none", "got 'flip"), ("crop,crop", "each at most once")],
)
def test_augmentations_that_are_none_are_refused(xpcnn, small, names, hint):
    result = xpcnn(*SHORT, "--augment", names)
    assert result.code == 2
    assert "expected 'none' or names out of flip, " in result.err and hint in result.err


def test_the_help_names_every_learning_rate_that_differs(xpcnn):
    text = " ".join(xpcnn("train", "--help").out.split())
    assert "default: 0.001, 0.004 for keras_mnist, 0.003 for fashion_small, 0.002 for fashion; optimizers other" in text


def test_weights_are_those_of_an_earlier_run(xpcnn, small):
    first = xpcnn(*SHORT, "--json", "--out", "one")
    again = xpcnn(*SHORT, "--json", "--out", "two", "--weights", "one/model.safetensors", "--lr", 1e-6)
    assert again.json["options"]["weights"] == "one/model.safetensors"
    # a tiny learning rate leaves them as they were
    assert again.json["test_loss"] == pytest.approx(first.json["test_loss"], rel=1e-2)
    ends = [library.load(f"{out}/model.safetensors") for out in ("one", "two")]
    assert ends[1].step == 2 * ends[0].step
    assert not np.array_equal(*(end.params["0.weight"] for end in ends))


def test_weights_of_another_network_are_refused(xpcnn, small):
    assert xpcnn(*SHORT, "--out", "one").code == 0
    result = xpcnn(*SHORT, "--model", "keras_mnist", "--weights", "one/model.safetensors")
    assert result.code == 1
    assert result.err.endswith(
        "xpcnn: error: --weights: expected those of keras_mnist, got those of deepnotes in one/model.safetensors: "
        "take --model deepnotes, or other weights\n"
    )
    assert result.err.count("\n") == 1
    result = xpcnn(*SHORT, "--weights", "nowhere")
    assert result.code == 1 and "nowhere" in result.err
    assert sorted(os.listdir()) == ["one"]


def test_weights_of_a_network_without_a_name_are_refused_by_their_first_difference(xpcnn, small, here):
    from xpcnn.layers import Conv2d, Flatten, Linear

    library.Sequential(Conv2d(1, 16, 5), Flatten(), Linear(16 * 24 * 24, 10)).save(here / "own")
    result = xpcnn(*SHORT, "--weights", "own")
    assert result.code == 1
    assert result.err.endswith(
        "xpcnn: error: --weights: expected those of deepnotes, got those of another network in own: missing 3.weight "
        "(and 7 more)\n"
    )


def test_weights_of_the_same_network_for_other_classes_are_refused_by_their_first_difference(xpcnn, small, here):
    library.models.resnet9(1, 7).save(here / "seven")
    result = xpcnn(*SHORT, "--model", "resnet9", "--weights", "seven")
    assert result.code == 1
    assert "expected those of resnet9, got those of resnet9, for other images or classes, in seven: " in result.err
    assert result.err.endswith(": expected shape (10, 512), got (7, 512)\n")


def test_what_does_not_fit_is_refused_before_data_are_fetched(fails, here, monkeypatch, model_file):
    monkeypatch.setattr(library.datasets, "load", lambda *_: pytest.fail("the data set was loaded"))
    line = fails(2, "train", "--dataset", "cifar10", "--device", "cpu")
    assert "deepnotes: expected images of shape (1, 28, 28) or smaller, got (3, 32, 32)" in line
    words = "got those of deepnotes in"
    fails(1, "train", "--model", "lenet5", "--dataset", "mnist", "--weights", model_file, words=words)
    assert list(here.iterdir()) == []


def test_quiet_prints_the_accuracy_only(xpcnn, small):
    result = xpcnn("train", "--epochs", 1, "--quiet")
    assert (len(result.lines), result.err) == (1, "")
    assert result.last.startswith("test accuracy ")


def test_runs_are_numbered_and_none_is_overwritten(xpcnn, small, here):
    for folder in ("007", "notes", "latest-9"):
        (here / "runs" / folder).mkdir(parents=True)
    assert xpcnn(*SHORT).code == xpcnn(*SHORT).code == 0
    assert sorted(os.listdir(here / "runs")) == ["007", "008", "009", "latest-9", "notes"]
    assert os.listdir(here / "runs" / "007") == []


def test_a_folder_that_is_named_is_made_and_overwritten_file_by_file(xpcnn, small, here):
    assert xpcnn(*SHORT, "--out", "a/b").code == 0
    before = (here / "a/b/model.safetensors").read_bytes()
    (here / "a/b/notes.txt").write_text("mine")
    assert xpcnn(*SHORT, "--out", "a/b", "--seed", 1).code == 0
    assert (here / "a/b/model.safetensors").read_bytes() != before
    assert sorted(os.listdir(here / "a/b")) == ["history.csv", "model.safetensors", "notes.txt"]
    assert not (here / "runs").exists()


def test_the_same_seed_gives_the_same_file_and_another_seed_another(xpcnn, small, here):
    for out, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert xpcnn(*SHORT, "--model", "keras_mnist", "--seed", seed, "--out", out).code == 0
    a, b, c = ((here / out / "model.safetensors").read_bytes() for out in "abc")
    assert a == b != c
    a, b = ((here / out / "history.csv").read_bytes() for out in "ab")
    assert a == b


@pytest.mark.parametrize("name", [name for name in networks.NETWORKS if name not in ("resnet18", "resnet50")])
def test_every_network_trains_on_the_digits(xpcnn, monkeypatch, small, digits, name):
    few = dataclasses.replace(
        digits,
        x_train=digits.x_train[:8],
        y_train=digits.y_train[:8],
        x_test=digits.x_test[:4],
        y_test=digits.y_test[:4],
    )
    monkeypatch.setattr(library.datasets, "load", lambda *_: few)
    result = xpcnn(*SHORT, "--model", name, "--batch-size", 4)
    assert result.code == 0, result.err
    assert ("padded to 32x32" in result.out) == (name == "resnet9")
    evaluated = xpcnn("evaluate", "runs/001/model.safetensors", "--device", "cpu")
    assert evaluated.last == result.last


def test_the_schedule_counts_the_steps_of_the_whole_run(xpcnn, small, monkeypatch):
    seen = []
    make = recipes.make_optimizer

    def spy(*args):
        seen.append((*args, make(*args)))
        return seen[-1][-1]

    monkeypatch.setattr(recipes, "make_optimizer", spy)
    assert xpcnn("train", "--epochs", 2, "--batch-size", 100, "--schedule", "cosine").code == 0
    ((*_, steps, optimizer),) = seen
    assert steps == 2 * 3  # 256 digits
    assert optimizer.steps == 6


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--dataset", "mnsit"], ["mnsit", "mnist-mini", "fashion-mnist"]),
        (["--model", "vgg16"], ["vgg16", "deepnotes"]),
        (["--optimizer", "adan"], ["adan", "adam"]),
        (["--schedule", "linear"], ["linear", "cosine"]),
        (["--lr", "0"], ["--lr", "above 0"]),
        (["--lr", "nan"], ["--lr", "'nan'"]),
        (["--lr", "inf"], "--lr"),
        (["--lr", "-1e-3"], "--lr"),
        (["--lr", "fast"], "--lr"),
        (["--epochs", "0"], ["--epochs", "at least 1"]),
        (["--epochs", "1.5"], "--epochs"),
        (["--batch-size", "-3"], "--batch-size"),
        (["--seed", "-1"], "--seed"),
        (["--seed", str(2**64)], "--seed"),
        (["--out", ""], "--out"),
        (["--data-dir", ""], "data_dir"),
        (["--device", "gpu"], ["device", "cuda:N", "'gpu'"]),
        (["--device", "cuda:-1"], "device"),
    ],
)
def test_wrong_options_exit_2_and_leave_nothing_behind(fails, here, argv, words):
    fails(2, "train", *argv, words=words)
    assert os.listdir(here) == []


@pytest.mark.parametrize("device", ["cuda", "cuda:99"])
def test_a_device_that_does_not_work_exits_1(fails, small, here, monkeypatch, device):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    if device == "cuda":
        _without_gpu()
    fails(1, "train", "--device", device, words=["device", "cuda"])
    assert os.listdir(here) == []


def _without_gpu():
    from xpcnn.backend import resolve
    from xpcnn.errors import DeviceUnavailable

    try:
        resolve("cuda")
    except DeviceUnavailable:
        return
    pytest.skip("a GPU works here")


def test_a_data_folder_without_files_exits_1_and_leaves_nothing_behind(fails, here, tmp_path):
    fails(1, *SHORT, "--dataset", "mnist", "--data-dir", tmp_path, words=[tmp_path, "train-images-idx3-ubyte.gz"])
    assert os.listdir(here) == []


def test_a_damaged_data_file_exits_1(fails, tmp_path):
    from xpcnn.data.catalogue import SETS

    for file in SETS["mnist"].files:
        (tmp_path / file.name).write_bytes(b"\0\0\x08\x01\0\0\0\x05ab")
    fails(1, *SHORT, "--dataset", "mnist", "--data-dir", tmp_path, words="train-images-idx3-ubyte")


def test_an_out_that_is_a_file_exits_1_before_training(fails, small, here):
    (here / "file").write_text("mine")
    fails(1, *SHORT, "--out", "file", words=["--out", "file", "not a folder"])
    fails(1, *SHORT, "--out", "file/below", words=["--out", "file", "not a folder"])
    assert (here / "file").read_text() == "mine"


def test_an_out_whose_model_is_a_folder_exits_1_before_training(fails, small, here):
    (here / "o" / "model.safetensors").mkdir(parents=True)
    fails(1, *SHORT, "--out", "o", words="model.safetensors")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_an_out_that_cannot_be_written_exits_1(fails, small, here):
    (here / "closed").mkdir(mode=0o500)
    fails(1, *SHORT, "--out", "closed", words=["--out", "closed"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_an_out_where_nobody_may_write_exits_1(fails, small):
    fails(1, *SHORT, "--out", "/proc/runs", words=["--out", "/proc/runs"])


def test_runs_that_is_a_file_exits_1_and_names_the_way_out(fails, small, here):
    (here / "runs").write_text("mine")
    fails(1, *SHORT, words=["runs", "--out DIR"])


def test_training_that_diverges_exits_1_and_writes_no_model(xpcnn, small, here):
    result = xpcnn(*SHORT, "--optimizer", "sgd", "--lr", "1e30", "--schedule", "constant")
    assert result.code == 1
    assert result.err.splitlines() == [
        "xpcnn: error: training diverged: the loss is nan at step 2; "
        "the first layer whose output is not finite is '3': "
        "take a smaller learning rate, or clip gradients (clip_norm=1.0)"
    ]
    assert os.listdir(here / "runs" / "001") == ["history.csv"]


def test_a_bar_is_drawn_on_a_terminal_and_taken_away(here, environment):
    pty, termios, fcntl = (pytest.importorskip(name) for name in ("pty", "termios", "fcntl"))
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    command = [sys.executable, "-m", "xpcnn", "train", "--epochs", "1", "--device", "cpu"]
    with subprocess.Popen(command, env=environment, stdout=side, stderr=side) as running:
        os.close(side)
        seen = b""
        while True:
            try:
                part = os.read(main, 4096)
            except OSError:  # Linux' way to say that the other end is closed
                break
            if not part:
                break
            seen += part
    os.close(main)
    assert running.returncode == 0
    assert b"batch/s" in seen
    assert seen.decode().splitlines()[-1].startswith("test accuracy ")
