"""``xpcnn train`` that is ended from outside, and goes on."""

import re
import signal
import subprocess
import sys

import pytest

SHORT = ("train", "--epochs", 3, "--batch-size", 256, "--device", "cpu", "--augment", "crop", "--optimizer", "momentum")
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


def end(argv, number, environment):
    """Send a signal to a training process after its first epoch; exit code and what it wrote to standard error."""
    with subprocess.Popen(
        [sys.executable, "-m", "xpcnn", *map(str, argv)], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
        # in the background of a script Ctrl-C is ignored, which a child inherits
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as running:  # fmt: skip
        try:
            for line in running.stdout:
                if line.startswith("epoch 1/"):
                    break
            running.send_signal(number)
            _, err = running.communicate(timeout=120)
        finally:
            running.kill()  # else leaving would wait for a process that does not end
    return running.returncode, err


@needs_signals
@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_saves_and_says_how_to_go_on_in_one_line(number, code, word, xpcnn, here, environment):
    ended = end([*SHORT, "--out", "cut"], number, environment)
    found = re.fullmatch(rf"xpcnn: {word} after (\d+) steps: go on with the same command and --resume cut\n", ended[1])
    assert ended[0] == code and found, ended
    assert sorted(path.name for path in (here / "cut").iterdir()) == ["checkpoints", "history.csv"]
    assert [path.name for path in (here / "cut" / "checkpoints").iterdir()] == [f"step-{int(found[1]):08d}.safetensors"]
    again = xpcnn(*SHORT, "--out", "cut")
    assert again.code == 1 and "of an earlier run: go on with it" in again.err and again.err.count("\n") == 1
    assert xpcnn(*SHORT, "--resume", "cut").code == 0
    assert xpcnn(*SHORT, "--out", "straight").code == 0
    for name in ("model.safetensors", "history.csv"):
        assert (here / "cut" / name).read_bytes() == (here / "straight" / name).read_bytes()


@needs_signals
def test_a_second_signal_ends_at_once(environment, tmp_path):
    # a step that takes forever, as one on a disk that hangs: the first signal waits for it, the second does not
    code = (
        "import time, numpy as np, xpcnn\n"
        "class Slow(xpcnn.Callback):\n"
        "    def on_train_batch_begin(self, batch, logs=None):\n"
        "        print('begun', flush=True)\n"
        "        end = time.monotonic() + 100\n"
        "        while time.monotonic() < end: time.sleep(0.01)\n"
        "m = xpcnn.Sequential(xpcnn.Linear(2, 2))\n"
        "m.fit(np.eye(2, dtype='float32'), np.zeros(2, 'int64'), verbose=0, callbacks=[Slow()])\n"
    )
    for number, code_of in ((signal.SIGINT, 1), (signal.SIGTERM, -signal.SIGTERM)):
        with subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as running:  # fmt: skip
            try:
                assert running.stdout.readline() == "begun\n"
                running.send_signal(number)
                with pytest.raises(subprocess.TimeoutExpired):
                    running.wait(0.5)
                running.send_signal(number)
                _, err = running.communicate(timeout=60)
            finally:
                running.kill()
        assert running.returncode in (code_of, -number), err  # Python ends by the signal itself, after its traceback


def test_a_finished_run_is_not_trained_again_and_a_folder_without_one_begins(xpcnn, small, here):
    first = xpcnn(*SHORT, "--checkpoint-every", 2, "--resume", "run")
    assert first.code == 0
    assert first.err == "xpcnn: resume: no checkpoint in run: beginning at the beginning\n"
    files = {path: path.read_bytes() for path in (here / "run").rglob("*.*")}
    assert sorted(path.name for path in files) == [
        "history.csv", "model.safetensors", "step-00000002.safetensors", "step-00000003.safetensors",
    ]  # fmt: skip
    second = xpcnn(*SHORT, "--checkpoint-every", 2, "--resume", "run")
    assert (second.code, second.err, second.last) == (0, "", first.last)
    assert {path: path.read_bytes() for path in (here / "run").rglob("*.*")} == files


def test_a_command_that_is_refused_changes_nothing(xpcnn, small, here):
    assert xpcnn(*SHORT, "--checkpoint-every", 1, "--out", "run").code == 0
    files = {path: path.read_bytes() for path in (here / "run").rglob("*.*")}
    again = xpcnn(*SHORT, "--checkpoint-every", 1, "--out", "run")
    assert again.code == 1 and "go on with it, --resume DIR, or choose another folder with --out DIR" in again.err
    assert "fit(" not in again.err and "ModelCheckpoint" not in again.err
    assert {path: path.read_bytes() for path in (here / "run").rglob("*.*")} == files


def test_a_run_goes_on_in_another_folder(xpcnn, small, here):
    assert xpcnn(*SHORT, "--checkpoint-every", 1, "--out", "run").code == 0
    files = {path: path.read_bytes() for path in (here / "run").rglob("*.*")}
    (here / "run" / "checkpoints" / "step-00000003.safetensors").unlink()  # as if it had been killed
    assert xpcnn(*SHORT, "--resume", "run", "--out", "other").code == 0
    for name in ("model.safetensors", "history.csv"):
        assert (here / "other" / name).read_bytes() == files[here / "run" / name]
    files.pop(here / "run" / "checkpoints" / "step-00000003.safetensors")
    assert {path: path.read_bytes() for path in (here / "run").rglob("*.*")} == files
    assert xpcnn(*SHORT, "--checkpoint-every", 1, "--resume", "run", "--out", "third").code == 0
    assert (here / "third" / "checkpoints" / "step-00000003.safetensors").is_file()


@pytest.mark.parametrize("form", ["--resume=~/run", "--resume=~"])
def test_home_is_expanded_for_reading_as_for_writing(form, xpcnn, small, here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("USERPROFILE", str(here))
    for _ in range(2):
        result = xpcnn(*SHORT, "--checkpoint-every", 1, form)
        assert result.code == 0, result.err
    assert result.err == "", "it was over already"


def test_errors_speak_of_the_options_that_were_given(fails, xpcnn, small, here):
    (here / "file").write_text("")
    fails(1, *SHORT, "--resume", "file", words=["--resume: cannot write to file"])
    fails(1, *SHORT, "--out", "file", words=["--out: cannot write to file"])
    assert xpcnn(*SHORT, "--checkpoint-every", 1, "--out", "run").code == 0
    wrong = xpcnn(*SHORT, "--resume", "run", "--allow-different", "colour")
    assert wrong.err.startswith("xpcnn: error: --allow-different: expected names out of dtype, seed"), wrong.err
    (here / "run" / "checkpoints" / "step-00000003.safetensors").write_bytes(b"")
    assert "step-00000003" in xpcnn(*SHORT, "--resume", "run").err


def test_another_run_is_refused_with_what_differs(fails, xpcnn, small):
    assert xpcnn(*SHORT, "--checkpoint-every", 1, "--out", "run").code == 0
    refused(xpcnn, "--seed", 5, words=["seed: '0' in the checkpoint, '5' here", "--allow-different seed"])
    refused(xpcnn, "--batch-size", 64, words=["batch_size: 256 in the checkpoint, 64 here", "optimizer.lr."])
    for folder in ("run/checkpoints", "run/checkpoints/"):
        result = xpcnn(*SHORT, "--resume", folder)
        assert (result.code, result.err.count("take run")) == (2, 1), result.err
    refused(xpcnn, "--model", "lenet5", words=["take the same model"])
    refused(xpcnn, "--allow-different", "colour", words=["got 'colour'"], code=2)
    fails(2, *SHORT, "--allow-different", "seed", words=["--allow-different", "--resume"])
    assert xpcnn(*SHORT, "--seed", 5, "--resume", "run", "--allow-different", "seed").code == 0


def test_nothing_is_left_behind_by_a_run_that_is_not_cut_off(xpcnn, small, here):
    assert xpcnn(*SHORT, "--out", "run").code == 0
    assert sorted(path.name for path in (here / "run").iterdir()) == ["history.csv", "model.safetensors"]


def refused(xpcnn, *more, words, code=1):
    """Going on with the run of the folder fails in one line."""
    result = xpcnn(*SHORT, *more, "--quiet", "--resume", "run")
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
    assert all(word in result.err for word in words), result.err


def test_a_damaged_checkpoint_is_one_line_and_stays(xpcnn, small, here):
    assert xpcnn(*SHORT, "--checkpoint-every", 1, "--out", "run").code == 0
    path = here / "run" / "checkpoints" / "step-00000003.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    refused(xpcnn, words=["step-00000003.safetensors", "damaged"])
    assert path.exists()
