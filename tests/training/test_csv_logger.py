"""The file of figures, when runs are refused, go on, or find another file."""

import math

import pytest

from tests.training.helpers import digits, small_net
from xpcnn import Callback, CSVLogger, Trainer
from xpcnn.errors import CheckpointError, ConfigError
from xpcnn.training import ModelCheckpoint


def fit(*callbacks, epochs=2, **options):
    x, y = digits(n=12)
    return small_net().fit(x, y, epochs=epochs, batch_size=8, callbacks=list(callbacks), verbose=0, **options)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "history.csv"


@pytest.fixture
def keeper(tmp_path):
    def make():
        return ModelCheckpoint(tmp_path / "run", keep=9, best=False)

    return make


def test_a_run_that_is_refused_leaves_the_file_as_it_is(log, keeper):
    fit(CSVLogger(log), keeper())
    before = log.read_bytes()
    with pytest.raises(CheckpointError, match="without checkpoints"):
        fit(CSVLogger(log), keeper())
    assert log.read_bytes() == before and before.count(b"\n") == 3
    log.unlink()
    with pytest.raises(CheckpointError, match="without checkpoints"):
        fit(CSVLogger(log), keeper())
    assert not log.exists()


@pytest.mark.parametrize("append", [False, True])
def test_a_dry_run_leaves_the_file_as_it_is(append, log, monkeypatch):
    fit(CSVLogger(log))
    before = log.read_bytes()
    monkeypatch.setattr(Trainer, "rehearsing", True, raising=False)
    fit(CSVLogger(log, append=append), dry_run=True)
    assert log.read_bytes() == before
    log.unlink()
    fit(CSVLogger(log, append=append), dry_run=True)
    assert not log.exists()


def test_a_file_that_is_gone_is_written_anew(log, keeper):
    fit(CSVLogger(log), keeper(), epochs=3)
    wanted = log.read_bytes()
    log.unlink()
    fit(CSVLogger(log), keeper(), epochs=3, resume=keeper().folder)
    assert log.read_bytes() == wanted, "of a run that was over"
    log.unlink()
    fit(CSVLogger(log), keeper(), epochs=3, resume=keeper().folder / "step-00000002.safetensors")
    assert log.read_bytes() == wanted


def test_a_file_that_goes_away_during_a_run_comes_back_whole(log, keeper):
    class Remove(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                log.unlink()

    fit(CSVLogger(log), epochs=3)
    wanted = log.read_bytes()
    fit(CSVLogger(log), Remove(), keeper(), epochs=3)
    assert log.read_bytes() == wanted


@pytest.mark.parametrize(
    "content", [b"", b"epoch,loss,accuracy\n", b"x" * 5000, b"epoch,loss,accuracy\n" + b"0,9,9\n" * 99]
)
def test_another_file_is_replaced_by_this_run_s_lines(content, log, keeper):
    fit(CSVLogger(log), keeper(), epochs=3)
    wanted = log.read_bytes()
    log.write_bytes(content)
    fit(CSVLogger(log), keeper(), epochs=3, resume=keeper().folder / "step-00000004.safetensors")
    assert log.read_bytes() == wanted


@pytest.mark.parametrize("titles", [True, False])
def test_a_file_that_is_continued_keeps_what_stood_there(titles, log, keeper):
    if titles:
        log.write_bytes(b"epoch,loss,accuracy\n7,0.5,0.5\n")
    old = log.read_bytes() if titles else b""
    fit(CSVLogger(log, append=True), keeper(), epochs=3)
    wanted = log.read_bytes()
    assert wanted.startswith(old) and wanted.count(b"\n") == (5 if titles else 4)
    fit(CSVLogger(log, append=True), keeper(), epochs=3, resume=keeper().folder / "step-00000002.safetensors")
    assert log.read_bytes() == wanted
    other = b"epoch,loss,accuracy\n" + b"5,0.25,0.25\n" * 9
    log.write_bytes(other)  # somebody else's: all of it stays
    fit(CSVLogger(log, append=True), keeper(), epochs=3, resume=keeper().folder)
    new = wanted[len(old) :] if titles else wanted[wanted.index(b"\n") + 1 :]
    assert log.read_bytes() == other + new


@pytest.mark.parametrize("separator", ["_", ";", "o", "\t", "7"])
def test_any_separator_is_read_as_it_was_written(separator, log):
    x, y = digits(n=12)
    for _ in range(2):
        fit(CSVLogger(log, separator=separator, append=True), epochs=1, validation_data=(x, y))
    assert log.read_text().count("\n") == 3


@pytest.mark.parametrize("separator", ['"', "\n", "\r"])
def test_what_csv_cannot_be_separated_by_is_refused(separator, log):
    with pytest.raises(ConfigError, match="separator to be one character"):
        CSVLogger(log, separator)


@pytest.mark.parametrize("name", ["m" * 300, "a\0b", "."])
def test_files_that_cannot_be_are_errors_of_ours(name, tmp_path):
    with pytest.raises(ConfigError, match="cannot be written"):
        fit(CSVLogger(tmp_path / name))
    assert list(tmp_path.iterdir()) == []


def test_no_two_write_to_one_file(log):
    with pytest.raises(ConfigError, match="CSVLogger and CSVLogger: give each a place of its own"):
        fit(CSVLogger(log), CSVLogger(log.parent / "." / log.name))
    assert not log.exists()


def test_other_columns_of_the_run_that_goes_on_are_blank_before(log, keeper):
    fit(CSVLogger(log), keeper(), epochs=1)
    fit(
        CSVLogger(log), keeper(), validation_data=digits(n=9, seed=1), resume=keeper().folder,
        allow_different=["validation_data", "metrics"],
    )  # fmt: skip
    titles, first, second = log.read_text().splitlines()
    assert titles == "epoch,loss,accuracy,val_loss,val_accuracy"
    assert first.endswith(",,") and first.count(",") == 4 and "" not in second.split(",")


HOSTILE = [
    {"rows": 5}, {"rows": [5]}, {"rows": [[]]}, {"rows": [[0, 1.0]]}, {"rows": [[0, "=cmd()", 1.0]]},
    {"rows": [[0, True, 1.0]]}, {"rows": [[0.5, 1.0, 1.0]]}, {"rows": [[-1, 1.0, 1.0]]}, {"rows": [{}]}, {"rows": None},
    {"columns": 3}, {"columns": ["loss", "epoch"]}, {"columns": [1, 2, 3]}, {"before": 5}, {"before": {}},
    {"before": {"size": -1, "sha256": ""}}, {"before": {"size": 0, "sha256": 5}}, {"before": [1]}, {"before": "no"},
]  # fmt: skip


@pytest.mark.parametrize("wrong", HOSTILE, ids=str)
def test_a_state_that_is_none_changes_neither_file_nor_callback(wrong, log):
    logger = CSVLogger(log)
    fit(logger)
    before, state = log.read_bytes(), logger.state_dict()
    with pytest.raises((KeyError, TypeError, ValueError)):
        logger.load_state_dict({**state, **wrong})
    assert log.read_bytes() == before and logger.state_dict() == state
    for kept in ({}, None, 5, "x", [1]):
        with pytest.raises((KeyError, TypeError, ValueError)):
            logger.load_state_dict(kept)


def test_figures_that_are_no_numbers_come_back(log):
    logger = CSVLogger(log)
    logger.set_params({"metrics": ["loss"]})
    logger.on_train_begin()
    logger.on_epoch_begin(0)
    logger.on_epoch_end(0, {"loss": math.inf})
    logger.on_epoch_end(1, {})
    text, state = log.read_text(), logger.state_dict()
    assert text == "epoch,loss\n0,inf\n1,\n"
    log.unlink()
    logger.on_train_begin()
    logger.load_state_dict(state)
    logger.on_train_end()
    assert log.read_text() == text
