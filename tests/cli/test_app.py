"""The program as a whole: help, exit codes, errors, streams."""

import logging
import re
import sys

import pytest

from xpcnn import CSVLogger, __version__, errors
from xpcnn.cli import datasets, main
from xpcnn.cli.console import Console, table

COMMANDS = ["train", "evaluate", "predict", "summary", "gradcheck", "datasets", "doctor"]


@pytest.fixture
def broken(monkeypatch):
    """Let ``xpcnn datasets`` raise something."""

    def arrange(error):
        def run(_):
            raise error

        monkeypatch.setattr(datasets, "run", run)

    return arrange


def test_without_a_command_it_prints_help_and_exits_2(xpcnn):
    result = xpcnn()
    assert result.code == 2
    assert all(re.search(rf"^    {name}\s", result.out, flags=re.M) for name in COMMANDS)


def test_help_shows_commands_examples_and_exit_codes(xpcnn):
    result = xpcnn("--help")
    assert (result.code, result.err) == (0, "")
    for words in [*COMMANDS, "xpcnn train --dataset mnist", "exit codes", "XPCNN_DATA_DIR"]:
        assert words in result.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_takes_debug(xpcnn, name):
    result = xpcnn(name, "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"usage: xpcnn {name} ")
    assert "--debug" in result.out


def test_version(xpcnn):
    assert xpcnn("--version").out == f"xpcnn {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["tarin"], "tarin"),
        (["train", "--no-such-option"], "--no-such-option"),
        (["train", "--epoch", "1"], "--epoch"),
        (["train", "--lr"], "--lr"),
        (["evaluate"], "MODEL_FILE"),
        (["datasets", "mnist"], "mnist"),
    ],
)
def test_wrong_usage_is_one_line_and_exits_2(fails, argv, words):
    assert "--help" in fails(2, *argv, words=words)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.ConfigError("lr: wrong"), 2, "error: lr: wrong"),
        (errors.ShapeError("x: wrong"), 1, "error: x: wrong"),
        (errors.DeviceUnavailable("no GPU"), 1, "error: no GPU"),
        (errors.CheckpointError("damaged"), 1, "error: damaged"),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), 1, "error: a.txt: No such file or directory"),
        (OSError("odd"), 1, "error: odd"),
        (MemoryError(), 1, "error: not enough memory: take a smaller --batch-size or a smaller model"),
        (KeyError("x"), 1, "error: KeyError: 'x': a fault of xpcnn, --debug shows where"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_error_is_one_line_and_has_its_exit_code(xpcnn, broken, error, code, line):
    broken(error)
    result = xpcnn("datasets")
    assert (result.code, result.out, result.err) == (code, "", f"xpcnn: {line}\n")


@pytest.mark.parametrize("argv", [["--debug", "datasets"], ["datasets", "--debug"]])
def test_debug_shows_the_traceback_before_the_line_and_keeps_the_code(xpcnn, broken, argv):
    broken(errors.ConfigError("lr: wrong"))
    result = xpcnn(*argv)
    assert result.code == 2
    assert result.err.startswith("Traceback (most recent call last)")
    assert result.err.splitlines()[-1] == "xpcnn: error: lr: wrong"


def test_a_download_error_may_have_several_lines(xpcnn):
    result = xpcnn("train", "--dataset", "mnist", "--device", "cpu")
    assert (result.code, result.out) == (1, "")
    assert len(result.err.splitlines()) > 2
    assert "t10k-labels-idx1-ubyte.gz" in result.err


def test_the_log_of_xpcnn_is_shown_only_while_a_command_runs(xpcnn, monkeypatch, capsys):
    log = logging.getLogger("xpcnn")
    before = list(log.handlers), log.level, log.propagate
    monkeypatch.setattr(datasets, "run", lambda _: log.info("fetching") or 0)
    assert xpcnn("datasets").err == "xpcnn: fetching\n"
    assert (list(log.handlers), log.level, log.propagate) == before
    log.info("silence")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("installed", [True, False])
def test_auto_says_in_one_line_why_a_gpu_is_not_used_where_cupy_is(xpcnn, model_file, small, monkeypatch, installed):
    from xpcnn.backend import device

    def no_gpu(_):
        raise errors.DeviceUnavailable("there is none")

    monkeypatch.setattr(device, "_cuda", no_gpu)
    monkeypatch.setattr(device, "_cupy_is_there", lambda: installed)
    result = xpcnn("evaluate", model_file)
    assert result.code == 0
    assert result.err == ("xpcnn: device auto: using cpu, because there is none\n" if installed else "")


def test_a_file_that_cannot_be_written_is_no_wrong_usage(fails, monkeypatch):
    def run(_):
        logger = CSVLogger("nowhere/history.csv")
        logger.set_params({"metrics": ["loss"]})
        logger.on_train_begin({})

    monkeypatch.setattr(datasets, "run", run)
    fails(1, "datasets", words="cannot be written")


def test_python_m_is_the_same_program(process):
    result = process("train", "--lr", "0")
    assert result.returncode == 2
    assert (
        result.stderr
        == "xpcnn: error: argument --lr: expected a finite number above 0, got '0' (see xpcnn train --help)\n"
    )


@pytest.mark.parametrize(
    ("argv", "got", "meant"),
    [
        (["trian"], "argument COMMAND: expected one of train, evaluate, ", "train"),
        (["train", "--model", "depnotes"], "argument --model: expected one of deepnotes, ", "deepnotes"),
        (["train", "--dataset", "mnst"], "argument --dataset: expected one of mnist-mini, ", "mnist"),
        (["evaluate", "m", "--dataset", "CIFAR-10"], "argument --dataset: expected one of mnist-mini, ", "cifar10"),
        (["train", "--optimizer", "Adam"], "argument --optimizer: expected one of sgd, ", "adam"),
        (["train", "--schedule", "cosin"], "argument --schedule: expected one of constant, ", "cosine"),
        (["predict", "m", "--split", "training"], "argument --split: expected one of train, test", "train"),
        (["gradcheck", "--namespace", "numpi"], "argument --namespace: expected one of numpy, ", "numpy"),
        (["--debug", "sumary"], "argument COMMAND: expected one of train, evaluate, ", "summary"),
        (["summary", "lenet"], "summary: expected one of deepnotes, ", "lenet5"),
    ],
)
def test_what_is_nearly_a_choice_gets_a_suggestion(fails, argv, got, meant):
    line = fails(2, *argv, words=got)
    assert f"got {argv[-1]!r}: did you mean {meant!r}?" in line


@pytest.mark.parametrize(
    ("argv", "got"),
    [(["trian", "--debug"], "trian"), (["-x", "trian"], "trian"), (["-", "train"], "-"), (["-3"], "-3")],
)
def test_the_command_that_is_wrong_is_named_wherever_it_stands(fails, argv, got):
    assert f"got {got!r}" in fails(2, *argv, words="argument COMMAND: expected one of train, evaluate, ")


def test_other_errors_of_the_program_itself_are_argparses(fails):
    fails(2, "--debug=3", "train", words="argument --debug: ignored explicit argument '3' (see xpcnn --help)")
    fails(2, "train", "--nope", words="unrecognized arguments: --nope (see xpcnn --help)")


def test_what_is_like_no_choice_gets_none(fails):
    assert "got 'xyz' (see xpcnn train --help)" in fails(2, "train", "--optimizer", "xyz")


@pytest.mark.parametrize("command", [["train"], ["predict", "a", "b"], ["gradcheck"]])
def test_a_wrong_choice_of_kernels_is_one_line_and_nothing_is_done(fails, here, monkeypatch, command):
    monkeypatch.setenv("XPCNN_KERNELS", "foo")
    fails(2, *command, words="XPCNN_KERNELS: expected 'generic' or nothing, got 'foo'")
    assert list(here.iterdir()) == []


def test_a_reader_that_goes_away_is_no_error(process):
    for command in ["datasets", "--help", "summary resnet18"]:
        result = process(shell=f"'{sys.executable}' -m xpcnn {command} | head -c 1; echo ${{PIPESTATUS[0]}} >&2")
        assert result.stderr in ("141\n", "0\n"), command  # 0: all was written before the reader went


def test_a_pipe_that_is_closed_from_the_start_exits_141_quietly(process):
    script = f"(sleep 0.3; '{sys.executable}' -m xpcnn datasets; echo $? >&2) | true"
    assert process(shell=script).stderr == "141\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_a_full_disk_is_one_line(process):
    for command in ["datasets", "--help"]:
        result = process(shell=f"'{sys.executable}' -m xpcnn {command} > /dev/full")
        assert (result.returncode, result.stderr) == (1, "xpcnn: error: No space left on device\n")


def test_closed_standard_streams_do_no_harm(process):
    assert process(shell=f"'{sys.executable}' -m xpcnn summary deepnotes >&- 2>&-").returncode == 0
    assert process(shell=f"'{sys.executable}' -m xpcnn summary nothing >&- 2>&-").returncode == 2


def test_nothing_optional_is_imported_for_help(process):
    result = process("train", "--help", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert result.returncode == 0
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "xpcnn" in imported
    assert not imported & {"tqdm", "pooch", "requests", "safetensors", "threadpoolctl", "matplotlib", "cupy", "torch"}


def test_the_console_writes_what_its_stream_cannot_show_as_escapes(monkeypatch):
    import io

    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    Console().answer("caf\u00e9 \udcff", None)
    assert stream.buffer.getvalue() == b"caf\\xe9 \\udcff\n"


def test_json_has_null_for_what_is_no_number(capsys):
    Console(as_json=True).answer("", {"a": [float("nan"), 1.5], "b": float("-inf")})
    assert capsys.readouterr().out == '{"a": [null, 1.5], "b": null}\n'


def test_a_table_is_aligned_and_has_no_blanks_at_the_end():
    assert table([("a", "bb", ""), ("ccc", "1", "x")], right=(1,)).splitlines() == ["a    bb", "ccc   1  x"]


def test_main_takes_the_arguments_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["anything", "--version"])
    assert main() == 0
    assert re.fullmatch(r"xpcnn \S+\n", capsys.readouterr().out)
