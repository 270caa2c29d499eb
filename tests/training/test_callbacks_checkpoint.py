"""Whose files a ModelCheckpoint takes, and what callbacks make of states that are not theirs."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from tests.training.helpers import digits, same, small_net, weights
from xpcnn import Callback, EarlyStopping, ExponentialMovingAverage, TerminateOnNaN, TimeLimit, Trainer, atomic
from xpcnn.errors import CheckpointError, ConfigError, StateDictError, TrainingDiverged
from xpcnn.training import LearningRateScheduler, ModelCheckpoint, ReduceLROnPlateau


def fit(*callbacks, epochs=2, trainer=None, **options):
    x, y = digits(n=20)
    trainer = Trainer(small_net()) if trainer is None else trainer
    trainer.fit(x, y, epochs=epochs, batch_size=8, callbacks=list(callbacks), verbose=0, **options)
    return trainer


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def step(number):
    return f"step-{number:08d}.safetensors"


@pytest.fixture
def resumed_from(monkeypatch):
    """What the trainer says of itself, where it does not yet."""

    def set_to(path):
        monkeypatch.setattr(Trainer, "resumed_from", path, raising=False)

    return set_to


def test_files_of_other_names_are_never_touched(tmp_path):
    mine = ["step-00000003-good.safetensors", "step-notes.safetensors", "step-1.safetensors", "step-0.safetensors"]
    for name in mine:
        (tmp_path / name).write_text(name)
    fit(ModelCheckpoint(tmp_path, every_steps=1, best=False))
    assert sorted(files(tmp_path)) == sorted([*mine, step(6)])
    assert all((tmp_path / name).read_text() == name for name in mine)


def test_a_folder_of_another_run_is_refused_when_a_run_goes_on(tmp_path, resumed_from):
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        fit(ModelCheckpoint(folder, keep=9))
    before = files(b)
    resumed_from(a / step(3))
    with pytest.raises(CheckpointError, match=r"got .*step-00000006.safetensors of another run than .*step-00000003"):
        fit(ModelCheckpoint(b), epochs=3, resume=a / step(3))
    assert files(b) == before
    fit(ModelCheckpoint(tmp_path / "c"), epochs=3, resume=a / step(3))
    assert sorted(files(tmp_path / "c"))[-1] == step(9)


def test_a_link_to_the_folder_is_the_folder(tmp_path, resumed_from):
    folder, link = tmp_path / "a", tmp_path / "link"
    fit(ModelCheckpoint(folder))
    link.symlink_to(folder)
    resumed_from(link / step(6))
    fit(ModelCheckpoint(folder), epochs=3, resume=link)
    assert step(9) in files(folder)


def test_the_best_epoch_of_a_run_is_one_of_its_checkpoints(tmp_path):
    fit(ModelCheckpoint(tmp_path, every_epochs=None))
    before = files(tmp_path)
    assert list(before) == ["best.safetensors"]
    with pytest.raises(CheckpointError, match=r"got .*best.safetensors of an earlier run"):
        fit(ModelCheckpoint(tmp_path))
    assert files(tmp_path) == before


@pytest.mark.parametrize("start", [step(3), "best.safetensors"])
def test_what_lies_behind_is_renamed_and_not_deleted(start, tmp_path, resumed_from, caplog):
    fit(ModelCheckpoint(tmp_path, every_steps=1, keep=99, monitor="loss", mode="max"), epochs=3)
    before = files(tmp_path)
    first = next(number for number in (3, 6) if before[step(number)] == before[start])
    resumed_from(tmp_path / start)
    keeper = ModelCheckpoint(tmp_path, every_steps=2, keep=99, monitor="loss", mode="max")
    fit(keeper, epochs=3, resume=tmp_path / start)
    after = files(tmp_path)
    for number in range(first + 1, 10):
        assert after[f"{step(number)}.abandoned"] == before[step(number)]
    assert [name for name in sorted(after) if name.startswith("step") and name.endswith("rs")] == [
        step(number) for number in range(1, 10) if number <= first or number in (4, 6, 8, 9)
    ]
    assert caplog.text.count("the run went back from") == 9 - first


def test_nothing_is_renamed_by_a_run_that_goes_on_from_its_newest(tmp_path, caplog):
    class Crash(Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyError

    with pytest.raises(KeyError):  # all batches of the epoch are done, its validation is not
        fit(ModelCheckpoint(tmp_path, every_steps=1, keep=99), Crash())
    fit(ModelCheckpoint(tmp_path, every_steps=1, keep=99), resume=tmp_path)
    assert sorted(files(tmp_path))[1:] == [step(number) for number in range(1, 7)]
    assert "went back" not in caplog.text


def test_no_two_keep_one_folder(tmp_path):
    keepers = [ModelCheckpoint(tmp_path / "a"), ModelCheckpoint(f"{tmp_path}/b/../a", every_steps=1)]
    with pytest.raises(ConfigError, match="ModelCheckpoint and ModelCheckpoint: give each a place of its own"):
        fit(*keepers)
    with pytest.raises(ConfigError, match="a place of its own"):
        fit(keepers[0], keepers[0])
    assert not (tmp_path / "a").exists()
    fit(keepers[0], ModelCheckpoint(tmp_path / "b"))


def test_only_a_folder_that_was_made_here_is_taken_away(tmp_path):
    class Broken(Callback):
        def on_train_begin(self, logs=None):
            raise KeyError

    (tmp_path / "there").mkdir()
    for name in ("there", "new"):
        with pytest.raises(KeyError):
            fit(ModelCheckpoint(tmp_path / name), Broken())
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_what_killed_processes_left_half_written_goes_whatever_it_was_to_be(tmp_path):
    left = [atomic._prefix(tmp_path / step(number)) + f"{number:016x}.tmp" for number in range(3)]
    for name in left:
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "notes.tmp").write_text("")
    with atomic._temporary(tmp_path / "other") as (living, _):
        fit(ModelCheckpoint(tmp_path, best=False))
        assert sorted(files(tmp_path)) == sorted([living.name, "notes.tmp", step(6)])


def test_a_folder_is_on_the_disk_before_anything_is_in_it(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(atomic, "_flush_folder", lambda folder: flushed.append(str(folder)))
    atomic.make_folder(tmp_path / "a" / "b")
    assert sorted(flushed) == [str(tmp_path), str(tmp_path / "a")]


class Poison(Callback):
    """Spoils a weight after the fourth batch, and mends nothing."""

    def on_train_batch_end(self, batch, logs=None):
        if self.trainer.model.step == 4:
            self.model.params["6.weight"][0, 0] = np.nan


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_where_losses_are_not_watched_a_run_goes_on_without_being_saved(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(Trainer, "watching", False, raising=False)
    trainer = Trainer(small_net(), on_nonfinite="ignore")
    keeper = ModelCheckpoint(tmp_path, every_steps=1, best=False)
    fit(Poison(), keeper, trainer=trainer, epochs=3)
    assert trainer.model.step == 9
    assert list(files(tmp_path)) == [step(3)] and keeper.last == tmp_path / step(3)
    assert caplog.text.count("no checkpoint was written") == 1


def test_where_losses_are_watched_it_does_not(tmp_path):
    with pytest.raises(TrainingDiverged, match="no checkpoint was written"):
        fit(Poison(), ModelCheckpoint(tmp_path, every_steps=1))


# What was best.


@pytest.mark.parametrize("kind", ["keeper", "stopping", "plateau"])
@pytest.mark.parametrize("change", [{"monitor": "accuracy"}, {"mode": "max"}])
def test_the_best_of_another_figure_is_forgotten(kind, change, caplog):
    makers = {
        "keeper": lambda **options: ModelCheckpoint("no", **options),
        "stopping": lambda **options: EarlyStopping(**options),
        "plateau": lambda **options: ReduceLROnPlateau(**options),
    }
    states = []
    for options in ({"monitor": "loss"}, {"monitor": "loss", **change}):
        callback = makers[kind](**options)
        begin(callback)
        callback._monitor.better(0.25 if not states else 0.75)
        states.append(callback.state_dict())
    assert states[0]["monitor"]["best"] == 0.25
    callback.load_state_dict(states[1])
    assert callback._monitor.best == 0.75 and caplog.text == ""
    callback.load_state_dict(states[0])
    assert callback._monitor.best == callback._monitor.sign * np.inf
    assert "what was best is forgotten" in caplog.text


# States that are not theirs.


def begin(callback, model=None):
    """As a run does, without one."""
    trainer = Trainer(small_net() if model is None else model)
    trainer.expect_savable = lambda: None
    callback.set_trainer(trainer)
    callback.set_model(trainer.model)
    callback.set_params({"metrics": ["loss", "accuracy"], "steps": 3})
    if not isinstance(callback, ModelCheckpoint):
        callback.on_train_begin({})
    return callback


def stopping():
    callback = begin(EarlyStopping("loss", patience=3, restore_best_weights=True))
    for value in (3.0, 2.0, 2.5):
        callback.on_epoch_end(0, {"loss": value})
    return callback


def plateau():
    callback = begin(ReduceLROnPlateau("loss"))
    for value in (3.0, 2.0, 2.5):
        callback.on_epoch_end(0, {"loss": value})
    return callback


def terminate():
    callback = begin(TerminateOnNaN())
    for batch in range(2):
        callback.on_train_batch_end(batch, {"loss": np.asarray(0.5, dtype="float32")})
    return callback


def averages():
    callback = begin(ExponentialMovingAverage(0.5))
    callback.trainer.optimizer.steps += 1
    callback.on_train_batch_end(0)
    callback.on_test_begin()
    return callback


def keeper():
    callback = begin(ModelCheckpoint("no", monitor="loss"))
    callback._monitor = EarlyStopping("loss")._monitor
    callback._monitor.better(0.5)
    return callback


def of(path, value):
    """A change of one place in a state."""

    def change(state):
        *places, last = path.split("/")
        inside = state
        for place in places:
            inside[place] = dict(inside[place])
            inside = inside[place]
        if value is KeyError:
            del inside[last]
        else:
            inside[last] = value

    change.__name__ = f"{path}={value!r:.20}"
    return change


def of_averages(name, value):
    def change(state):
        state["slots"] = {**state["slots"], name: value}
        if value is KeyError:
            del state["slots"][name]

    change.__name__ = f"slots/{name}={value!r:.20}"
    return change


HOSTILE = [
    *[(make, of("monitor", bad)) for make in (stopping, plateau, keeper) for bad in (None, 3, "x", {}, [1], KeyError)],
    *[
        (make, of("monitor/best", bad))
        for make in (stopping, plateau, keeper)
        for bad in ("1.0", None, True, np.nan, [1.0], KeyError)
    ],
    *[(stopping, of(name, bad)) for name in ("best_epoch", "stopped_epoch") for bad in (-1, 1.5, "1", True, KeyError)],
    *[(make, of("waited", bad)) for make in (stopping, plateau) for bad in (None, -1, 1.5, "1", True, KeyError)],
    *[(plateau, of("cooling", bad)) for bad in (None, -1, "1")],
    *[(stopping, of("weights", bad)) for bad in (5, [], {}, {"6.bias": 5}, {"6.bias": np.zeros(3)}, KeyError)],
    (stopping, of("weights/6.bias", np.zeros(4))),
    (stopping, of("weights/more", np.zeros(3))),
    *[(terminate, of("sum", bad)) for bad in (1.0, "x", np.zeros(2), [1], KeyError)],
    *[(terminate, of(name, bad)) for name in ("stopped_epoch", "stopped_batch") for bad in (-1, "1", 0.5, KeyError)],
    *[(averages, of(name, bad)) for name in ("own", "slots") for bad in (5, "x", {"6.bias": np.zeros(3)}, KeyError)],
    *[(averages, of("counts", bad)) for bad in (5, None, {}, {"steps": -1}, {"steps": "1"}, {"steps": 1, "no": 1})],
    *[(averages, of("steps", bad)) for bad in (None, -1, "1", 1.5, KeyError)],
    (averages, of("own/6.bias", np.zeros(4))),
    (averages, of_averages("state/6.bias", np.zeros(4))),
    (averages, of_averages("state/6.bias", KeyError)),
    (averages, of_averages("state/more", np.zeros(3))),
    (averages, of_averages("more", np.zeros(3))),
]


def fingerprint(value):
    if isinstance(value, dict):
        return {key: fingerprint(one) for key, one in value.items()}
    return np.asarray(value).tobytes() if hasattr(value, "dtype") else value


@pytest.mark.parametrize(("make", "change"), HOSTILE, ids=lambda one: getattr(one, "__name__", ""))
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(make, change):
    callback = make()
    before, own = fingerprint(callback.state_dict()), weights(callback.model)
    state = dict(callback.state_dict())
    change(state)
    with pytest.raises((KeyError, TypeError, ValueError)):
        callback.load_state_dict(state)
    assert fingerprint(callback.state_dict()) == before and same(weights(callback.model), own)


@pytest.mark.parametrize("make", [stopping, plateau, terminate, averages, keeper])
def test_a_state_that_fits_is_taken_and_no_callback_decides_that_the_run_ends(make):
    callback = make()
    state = callback.state_dict()
    if "stopped_epoch" in state:
        state = {**state, "stopped_epoch": 1}
    other = make()
    other.model.stop_training = False
    other.load_state_dict(state)
    assert fingerprint(other.state_dict()) == fingerprint(state)
    assert other.model.stop_training is False, "that is the run's"
    for wrong in (None, 5, "x", [], {}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            other.load_state_dict(wrong)


def test_weights_of_another_model_are_refused_at_once_and_named():
    callback = stopping()
    state = callback.state_dict()
    del state["weights"]["6.bias"]
    state["weights"]["0.weight"] = np.zeros((4, 1, 5, 5))
    with pytest.raises(StateDictError, match=r"6.bias is missing; 0.weight: \(4, 1, 5, 5\) is not \(4, 1, 3, 3\)"):
        callback.load_state_dict(state)


# The end of time, and rates.


def test_a_run_whose_time_is_up_is_paused():
    trainer = fit(TimeLimit(1e-9))
    assert trainer.paused is True and trainer.model.step == 1
    by_hand = TimeLimit(1e-9)
    by_hand.set_model(trainer.model)
    by_hand.on_train_begin()
    by_hand.on_epoch_end(0)
    assert trainer.model.stop_training


def test_the_rate_of_an_epoch_is_set_once():
    callback = begin(LearningRateScheduler(lambda epoch, lr: lr / 2))
    before = callback.trainer.optimizer.lr
    callback.on_epoch_begin(0)
    callback.trainer = SimpleNamespace(optimizer=callback.trainer.optimizer, inside_epoch=True)
    callback.on_epoch_begin(0)
    assert callback.trainer.optimizer.lr == before / 2


@pytest.mark.parametrize(
    "wrong", [lambda epoch: 0.1, lambda: 0.1, lambda epoch, lr, more: 0.1, lambda *, epoch, lr: 0.1]
)
def test_a_schedule_of_other_arguments_is_refused_when_it_is_given(wrong):
    with pytest.raises(ConfigError, match=r"LearningRateScheduler: expected a function of two arguments \(epoch, lr\)"):
        LearningRateScheduler(wrong)


@pytest.mark.parametrize("right", [max, pow, lambda *both: 0.1, lambda epoch, lr, more=1: 0.1])
def test_a_schedule_that_takes_both_is_taken(right):
    assert LearningRateScheduler(right).schedule is right


class Crash(Callback):
    """The process dies after so many batches, or epochs, before their files are written, but for the best epoch's."""

    def on_checkpoint(self, ending=""):
        if self.trainer.model.step == 4:
            raise KeyError


@pytest.mark.parametrize("asked", [{"every_epochs": None, "every_steps": 100}, {"every_epochs": 2}])
def test_a_run_that_was_killed_before_its_first_numbered_file_goes_on_and_loses_nothing(asked, tmp_path):
    straight = weights(fit(epochs=3).model)
    folder = tmp_path / "run"
    with pytest.raises(KeyError):
        fit(Crash(), ModelCheckpoint(folder, **asked), epochs=3, resume=folder)
    assert list(files(folder)) == ["best.safetensors"]
    assert same(weights(fit(ModelCheckpoint(folder, **asked), epochs=3, resume=folder).model), straight)
    assert step(9) in files(folder)


@pytest.mark.parametrize("name", ["m" * 300, "a\0b", "loop"])
def test_folders_that_cannot_be_are_errors_of_ours(name, tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for inside in (name, f"{name}/a"):
        with pytest.raises(CheckpointError, match=r"cannot be read|no folder can be made there"):
            fit(ModelCheckpoint(tmp_path / inside))
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path):
    folder = tmp_path / "a"
    fit(ModelCheckpoint(folder))
    folder.chmod(0o300)
    try:
        with pytest.raises(CheckpointError, match="cannot be read"):
            fit(ModelCheckpoint(folder))
    finally:
        folder.chmod(0o700)
