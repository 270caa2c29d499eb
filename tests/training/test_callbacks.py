"""Callbacks: when they are called, what they write, when they stop the run."""

import csv
import io
import re

import numpy as np
import pytest

from tests.training.helpers import digits, same, small_net, weights
from xpcnn import Callback, CSVLogger, EarlyStopping, ProgressBar
from xpcnn.errors import ConfigError


class Diary(Callback):
    def __init__(self):
        self.events = []

    def on_train_begin(self, logs=None):
        self.events.append("train")

    def on_train_end(self, logs=None):
        self.events.append(f"end {sorted(logs)}")

    def on_epoch_begin(self, epoch, logs=None):
        self.events.append(f"epoch {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self.events.append(f"done {epoch} {sorted(logs)}")

    def on_train_batch_begin(self, batch, logs=None):
        self.events.append(f"batch {batch}")

    def on_train_batch_end(self, batch, logs=None):
        self.events.append(f"loss {logs['loss'].shape}")


def test_methods_are_called_in_keras_order():
    diary = Diary()
    x, y = digits(n=6)
    small_net().fit(x, y, epochs=2, batch_size=4, callbacks=[diary], verbose=0)
    names = ["accuracy", "loss"]
    epoch = ["batch 0", "loss ()", "batch 1", "loss ()"]
    first, second = (["epoch 0", *epoch, f"done 0 {names}"], ["epoch 1", *epoch, f"done 1 {names}"])
    assert diary.events == ["train", *first, *second, f"end {names}"]
    assert diary.params == {"epochs": 2, "steps": 2, "samples": 6, "metrics": ["loss", "accuracy"]}


def stopper(values, **options):
    """Run an EarlyStopping over made-up figures; the epoch after which it stops, and itself."""
    model = small_net()
    callback = EarlyStopping(monitor="loss", **options)
    callback.set_model(model)
    callback.set_params({"metrics": ["loss"]})
    model.stop_training = False
    callback.on_train_begin({})
    for epoch, value in enumerate(values):
        model.params["6.bias"][...] = epoch
        callback.on_epoch_end(epoch, {"loss": value})
        if model.stop_training:
            break
    callback.on_train_end({})
    return callback, model


@pytest.mark.parametrize(
    "options, values, stopped, best",
    [
        ({}, [3, 2, 2.5, 1], 2, 1),
        ({"patience": 1}, [3, 2, 2.5, 1], 2, 1),
        ({"patience": 2}, [3, 2, 2.5, 1, 1.5, 1.2], 5, 3),
        ({"patience": 2}, [3, 2, 2.5, 1, 1.5], None, 3),
        ({"mode": "max"}, [1, 2, 1.5], 2, 1),
        ({"min_delta": 0.5}, [3, 2.6], 1, 0),
        ({"min_delta": 0.5}, [3, 2.4], None, 1),
        ({}, [3, float("nan")], 1, 0),
    ],
)
def test_early_stopping_waits_for_a_better_figure(options, values, stopped, best):
    callback, _ = stopper(values, **options)
    assert (callback.stopped_epoch, callback.best_epoch, callback.best) == (stopped, best, values[best])


def test_early_stopping_can_bring_the_best_weights_back():
    assert stopper([3, 2, 4], restore_best_weights=True)[1].params["6.bias"].tolist() == [1.0] * 3
    assert stopper([3, 2, 4])[1].params["6.bias"].tolist() == [2.0] * 3


def test_early_stopping_takes_the_direction_from_the_name():
    assert EarlyStopping("val_accuracy")._monitor.sign == -1.0 and EarlyStopping("val_loss")._monitor.sign == 1.0


def test_early_stopping_says_what_it_misses_before_the_first_step():
    x, y = digits(n=6)
    model = small_net()
    before = weights(model)
    with pytest.raises(ConfigError, match="one of loss, accuracy, got 'val_loss': pass validation_data"):
        model.fit(x, y, callbacks=[EarlyStopping()], verbose=0)
    assert same(before, weights(model))
    with pytest.raises(ConfigError, match="got 'val_acc': did you mean 'val_accuracy'"):
        model.fit(x, y, validation_data=(x, y), callbacks=[EarlyStopping("val_acc")], verbose=0)
    with pytest.raises(ConfigError, match="got 'Loss': did you mean 'loss'"):
        model.fit(x, y, callbacks=[EarlyStopping("Loss")], verbose=0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"mode": "lowest"}, "mode to be 'auto', 'min' or 'max', got 'lowest'"),
        ({"mode": 1}, "mode to be 'auto', 'min' or 'max', got 1"),
        ({"monitor": 1}, "monitor to be a name"),
        ({"patience": 1.5}, "patience to be an integer of at least 0, got 1.5"),
        ({"patience": "x"}, "patience to be an integer of at least 0, got 'x'"),
        ({"patience": -1}, "patience to be an integer of at least 0, got -1"),
        ({"min_delta": -1}, "min_delta to be a finite number >= 0"),
        ({"min_delta": "x"}, "min_delta to be a finite number >= 0"),
        ({"restore_best_weights": "yes"}, "restore_best_weights to be True or False"),
    ],
)
def test_early_stopping_refuses_settings_without_sense(options, text):
    with pytest.raises(ConfigError, match=f"EarlyStopping: expected {text}"):
        EarlyStopping(**options)


def test_callbacks_are_a_list_or_none():
    x, y = digits(n=6)
    assert small_net().fit(x, y, callbacks=None, verbose=0).epoch == [0]
    for wrong in (EarlyStopping("loss"), "loss", 3):
        with pytest.raises(ConfigError, match=r"callbacks: expected a list, got .*: put it into a list"):
            small_net().fit(x, y, callbacks=wrong, verbose=0)


def test_early_stopping_starts_anew_in_each_run():
    x, y = digits(n=6)
    callback = EarlyStopping("loss", patience=1, mode="max")
    for _ in range(2):
        assert small_net(dropout=0.0).fit(x, y, epochs=9, callbacks=[callback], verbose=0).epoch == [0, 1]


def test_csv_logger_writes_each_epoch_at_once(tmp_path):
    path = tmp_path / "history.csv"
    lengths = []

    class Look(Callback):
        def on_epoch_end(self, epoch, logs=None):
            lengths.append(len(path.read_text().splitlines()))

    x, y = digits(n=6)
    history = small_net().fit(x, y, epochs=2, callbacks=[CSVLogger(path), Look()], verbose=0)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert lengths == [2, 3] and list(rows[0]) == ["epoch", "loss", "accuracy"]
    assert [float(r["loss"]) for r in rows] == history.history["loss"]
    small_net().fit(x, y, callbacks=[CSVLogger(path, append=True)], verbose=0)
    assert len(path.read_text().splitlines()) == 4
    small_net().fit(x, y, callbacks=[CSVLogger(path, separator=";")], verbose=0)
    assert path.read_text().splitlines()[0] == "epoch;loss;accuracy" and len(path.read_text().splitlines()) == 2


def test_csv_logger_fails_before_the_first_step(tmp_path):
    x, y = digits(n=6)
    model = small_net()
    before = weights(model)
    with pytest.raises(ConfigError, match=r"history.csv cannot be written \(No such file"):
        model.fit(x, y, callbacks=[CSVLogger(tmp_path / "nowhere" / "history.csv")], verbose=0)
    assert same(before, weights(model))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((None,), "filename to be a path"), (("a", ""), "separator to be one"), (("a", ",", "no"), "append to be")],
)
def test_csv_logger_refuses_settings_without_sense(arguments, text):
    with pytest.raises(ConfigError, match=f"CSVLogger: expected {text}"):
        CSVLogger(*arguments)


def test_progress_is_one_flushed_line_an_epoch_elsewhere(capsys):
    x, y = digits(n=6)
    small_net().fit(x, y, epochs=2, validation_data=(x, y))
    out, err = capsys.readouterr()
    number = r"\d+\.\d{4}"
    line = rf"epoch %d/2  \d+\.\ds  loss {number}  accuracy {number}  val_loss {number}  val_accuracy {number}"
    assert err == "" and all(re.fullmatch(line % (i + 1), text) for i, text in enumerate(out.splitlines()))
    assert len(out.splitlines()) == 2


def test_progress_is_a_bar_on_a_terminal(monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(ProgressBar, "READ_EVERY", 0.0)
    x, y = digits(n=6)
    small_net().fit(x, y, batch_size=2)
    assert "epoch 1/1:   0%" in terminal.getvalue() and "0/3" in terminal.getvalue()
    assert terminal.getvalue().endswith(" \r")  # wiped at the end, for the line that stays
    assert capsys.readouterr().out.startswith("epoch 1/1  ")


def test_the_bar_goes_away_when_training_fails(monkeypatch):
    class Broken(Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyError("mine")

    bars = []
    original = ProgressBar.on_epoch_begin

    def spy(self, epoch, logs=None):
        original(self, epoch, logs)
        bars.append(self)

    monkeypatch.setattr(ProgressBar, "on_epoch_begin", spy)
    x, y = digits(n=6)
    with pytest.raises(KeyError, match="mine"):
        small_net().fit(x, y, callbacks=[Broken()], verbose=1)
    assert bars and bars[0]._tqdm is None


def test_silent_means_silent(capsys):
    x, y = digits(n=6)
    small_net().fit(x, y, verbose=0)
    assert capsys.readouterr() == ("", "")


def test_logs_of_an_epoch_are_plain_floats():
    seen = {}

    class Look(Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.update(logs)

    x, y = digits(n=6)
    small_net().fit(x, y, callbacks=[Look()], verbose=0)
    assert all(type(v) is float for v in seen.values()) and np.isfinite(list(seen.values())).all()


def test_a_log_with_other_columns_is_not_continued(tmp_path):
    x, y = digits(n=12)
    log = tmp_path / "log.csv"
    small_net().fit(x, y, callbacks=[CSVLogger(log, separator=";")], verbose=0)
    before, model = log.read_text(), small_net()
    for options in ({"separator": ","}, {"separator": ";", "split": 0.5}):
        split = options.pop("split", 0.0)
        with pytest.raises(ConfigError, match=r"CSVLogger: expected .* to begin with epoch.loss.*, got epoch;"):
            callback = CSVLogger(log, append=True, **options)
            model.fit(x, y, callbacks=[callback], validation_split=split, verbose=0)
    assert log.read_text() == before and model.step == 0
    model.fit(x, y, callbacks=[CSVLogger(log, separator=";", append=True)], verbose=0)
    assert log.read_text().startswith(before) and log.read_text() != before
