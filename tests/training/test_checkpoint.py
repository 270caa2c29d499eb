"""Runs that are cut off anywhere and go on: the same bits in the end, in every part of the state."""

import json

import numpy as np
import pytest
from safetensors import safe_open

import xpcnn
from tests.training.helpers import digits, same, small_net, weights
from xpcnn import (
    Callback,
    CSVLogger,
    EarlyStopping,
    Trainer,
    optimizers,
)
from xpcnn.data.augment import Compose, MixUp, RandomCrop, RandomHorizontalFlip
from xpcnn.errors import CheckpointError, ConfigError, TrainingDiverged
from xpcnn.layers import L2
from xpcnn.optimizers import EMA, SGD, Accumulate, Adam, CosineAnnealingLR, LossScale, Muon, ParamGroups
from xpcnn.training import (
    ExponentialMovingAverage,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)

EPOCHS, SIZE = 3, 8
STEPS = 3  # in an epoch, of 20 samples
AUGMENT = Compose([RandomHorizontalFlip(), RandomCrop(6, padding=1), MixUp(num_classes=3)])


class Crash(Exception):
    pass


class CrashAfter(Callback):
    """The process dies when so many events of being able to save have come, right after the files were written."""

    def __init__(self, events):
        self.left = events

    def on_checkpoint(self, ending=""):
        self.left -= 1
        if self.left == 0:
            raise Crash


def plain(folder):
    return {"model": small_net(seed=3), "callbacks": []}


def averages(folder):
    return {
        "model": small_net(seed=3),
        "optimizer": SGD(lr=0.1, momentum=0.9, nesterov=True),
        "callbacks": [ExponentialMovingAverage(EMA(0.8, use_buffers=True, bias_correction=True))],
    }


def stopping(folder):
    """The rate falls, the run ends before its last epoch, and an earlier epoch's weights come back."""
    return {
        "model": small_net(seed=3),
        "optimizer": SGD(lr=0.5, momentum=0.9),
        "callbacks": [
            EarlyStopping("val_loss", min_delta=10.0, patience=2, restore_best_weights=True),
            ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10.0),
        ],
    }


def rates(folder):
    return {
        "model": small_net(seed=3),
        "optimizer": SGD(lr=0.1),
        "callbacks": [LearningRateScheduler(lambda epoch, lr: lr * 0.5), TerminateOnNaN()],
    }


def accumulated(folder):
    inside = ParamGroups({"ndim>=2": Muon(lr=0.02)}, rest=Adam(lr=CosineAnnealingLR(0.01, T_max=20)), clip_norm=0.5)
    return {"model": small_net(seed=3), "optimizer": Accumulate(inside, every=2), "penalty": L2(0.01)}


def mixed(folder):
    pytest.importorskip("ml_dtypes")
    return {
        "model": small_net(seed=3, dtype="float16"),
        "optimizer": SGD(lr=0.05),
        "loss_scale": LossScale(init_scale=2.0**20, growth_interval=2),
    }


SETUPS = [plain, averages, stopping, rates, accumulated, mixed]


def train(setup, folder, *more, resume=None, epochs=EPOCHS, every=1, change=None, **changed):
    """One process' worth of training: everything is made anew."""
    settings = {"callbacks": [], "optimizer": Adam(lr=0.01), **setup(folder)}
    callbacks = [*settings.pop("callbacks"), CSVLogger(folder / "history.csv")]
    if every is not None:
        callbacks = [ModelCheckpoint(folder / "checkpoints", every_steps=every, keep=2), *callbacks]
    x, y = digits(n=20)
    model = settings.pop("model")
    trainer = Trainer(model, **settings)
    options = {"augment": AUGMENT, "sample_weight": np.linspace(0.5, 1.5, 20), "metrics": ["top_2", "f1"], **changed}
    history = trainer.fit(
        x, y, epochs=epochs, batch_size=SIZE, validation_data=digits(n=9, seed=1), verbose=0,
        callbacks=[*callbacks, *more], resume=resume, **options,
    )  # fmt: skip
    return trainer, history


def outcome(trainer, history, folder):
    """Everything that a run leaves."""
    trainer.model.save(folder / "model.safetensors")
    slots = {name: np.asarray(a).copy() for name, a in trainer.optimizer.slots().items()}
    return (
        (folder / "model.safetensors").read_bytes(),
        history.epoch,
        history.history,
        trainer.optimizer.counts(),
        {name: (a.dtype.str, a.tobytes()) for name, a in slots.items()},
        (folder / "history.csv").read_text(),
    )


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.__name__)
def test_a_run_that_is_cut_off_at_any_moment_ends_in_the_same_bytes(setup, tmp_path):
    straight = tmp_path / "straight"
    straight.mkdir()
    wanted = outcome(*train(setup, straight, every=None), straight)
    for event in range(1, EPOCHS * (STEPS + 1) + 1):
        folder = tmp_path / str(event)
        folder.mkdir()
        try:
            train(setup, folder, CrashAfter(event))
        except Crash:
            assert list((folder / "checkpoints").glob("step-*"))
        else:
            assert setup is stopping  # ended before
        assert outcome(*train(setup, folder, resume=folder / "checkpoints"), folder) == wanted


def test_a_run_that_is_cut_off_again_and_again_ends_in_the_same_bytes(tmp_path):
    wanted = outcome(*train(averages, tmp_path, every=None), tmp_path)
    folder = tmp_path / "again"
    folder.mkdir()
    for _ in range(100):
        try:
            found = train(averages, folder, CrashAfter(2), resume=folder)  # the folder above is as good
        except Crash:
            continue
        break
    assert outcome(*found, folder) == wanted


def test_checkpoints_change_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    kept = train(averages, tmp_path / "a")
    assert outcome(*kept, tmp_path / "a") == outcome(*train(averages, tmp_path / "b", every=None), tmp_path / "b")


def test_a_run_that_is_over_can_be_made_longer(tmp_path):
    (tmp_path / "long").mkdir()
    wanted = outcome(*train(averages, tmp_path / "long", every=None, epochs=4), tmp_path / "long")
    train(averages, tmp_path, epochs=2)
    assert outcome(*train(averages, tmp_path, epochs=4, resume=tmp_path / "checkpoints"), tmp_path) == wanted


def test_files_by_the_number_of_steps_the_newest_stay(tmp_path):
    train(plain, tmp_path, every=2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "best.safetensors", "step-00000008.safetensors", "step-00000009.safetensors",
    ]  # fmt: skip


def test_the_best_epoch_is_kept_and_is_a_model_file(tmp_path):
    seen = {}

    class Best(Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen[logs["val_loss"]] = weights(self.model)

    train(plain, tmp_path, Best())
    assert same(weights(xpcnn.load(tmp_path / "checkpoints" / "best.safetensors")), seen[min(seen)])


def test_minutes_and_epochs_are_counted(tmp_path, monkeypatch):
    from xpcnn.training.callbacks import checkpoints

    now, saved = [0.0], []
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])

    class Clock(Callback):
        def on_train_batch_end(self, batch, logs=None):
            now[0] += 20.0

    real = Trainer.save
    monkeypatch.setattr(Trainer, "save", lambda self, path: (saved.append(path.name), real(self, path)))
    x, y = digits(n=20)
    keeper = ModelCheckpoint(tmp_path, every_epochs=2, every_minutes=1, best=False, keep=9)
    small_net().fit(x, y, epochs=3, batch_size=5, callbacks=[Clock(), keeper], verbose=0)
    assert saved == [f"step-{n:08d}.safetensors" for n in (3, 6, 8, 11, 12)]  # every 3 batches; epochs 2 and 3 end


def test_the_trainer_saves_and_resumes_steps_by_hand(tmp_path):
    x, y = digits(n=20)
    trainers = [Trainer(small_net(), optimizer=Adam(lr=0.01)) for _ in range(2)]
    for _ in range(3):
        trainers[0].step(x, y)
    trainers[0].save(tmp_path / "by_hand.safetensors")
    trainers[1].resume(tmp_path / "by_hand.safetensors")
    for trainer in trainers:
        trainer.step(x, y)
    assert same(weights(trainers[0].model), weights(trainers[1].model))
    assert trainers[1].model.step == 4 == trainers[1].optimizer.steps


def test_a_folder_without_a_checkpoint_begins_at_the_beginning(tmp_path):
    wanted = train(plain, tmp_path, every=None)[1].history
    assert train(plain, tmp_path, resume=tmp_path / "checkpoints")[1].history == wanted
    assert train(plain, tmp_path, resume=tmp_path / "checkpoints")[1].history == wanted  # one that is over


def test_a_new_run_does_not_touch_the_checkpoints_of_an_old_one(tmp_path):
    train(plain, tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    with pytest.raises(CheckpointError, match=r"expected a folder without checkpoints, got .*step-00000009"):
        train(plain, tmp_path)
    assert before == {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}


# What is refused.


def other(**changed):
    return {**plain(None), **changed}


@pytest.mark.parametrize(
    ("setup", "options", "name", "text"),
    [
        (lambda _: other(model=small_net(seed=4)), {}, "seed", "seed: '3' in the checkpoint, '4' here"),
        (lambda _: other(model=small_net(dropout=0.3, seed=3)), {}, None, "model.* 0.2 in the checkpoint, 0.3 here"),
        (lambda _: other(optimizer=Adam(lr=0.02)), {}, "optimizer", "optimizer.lr: 0.01 in the checkpoint, 0.02 here"),
        (lambda _: other(optimizer=SGD(lr=0.01)), {}, None, "optimizer.name: 'Adam' in the checkpoint, 'SGD' here"),
        (lambda _: other(penalty=L2(0.1)), {}, "penalty", "penalty: 'None' in the checkpoint, 'L2"),
        (plain, {"augment": None}, "augment", "augment: .Compose.* in the checkpoint, 'None' here"),
        (plain, {"sample_weight": None}, "data", "data.weight: .* in the checkpoint, None here"),
        (plain, {"shuffle": False}, "shuffle", "shuffle: True in the checkpoint, False here"),
        (plain, {"metrics": ["f1"]}, None, "metrics: .*top_2.* in the checkpoint"),
    ],
)
def test_another_run_is_refused_and_nothing_is_changed(setup, options, name, text, tmp_path):
    train(plain, tmp_path)
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    made = setup(tmp_path)
    model, before = made["model"], weights(made["model"])
    with pytest.raises(CheckpointError, match=text) as error:
        train(lambda _: made, tmp_path, resume=tmp_path / "checkpoints", **options)
    assert same(weights(model), before) and model.step == 0
    assert kept == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    if name is not None:
        assert f"allow_different=['{name}']" in str(error.value)
        train(lambda _: made, tmp_path, resume=tmp_path / "checkpoints", epochs=4, allow_different=[name], **options)
        assert model.step == 4 * STEPS


@pytest.mark.parametrize("part", ["x", "y", "rows", "validation"])
def test_other_data_are_refused(part, tmp_path):
    x, y = digits(n=20)
    held = digits(n=9, seed=1)

    def fit(x, y, held, **options):
        keeper = ModelCheckpoint(tmp_path)
        small_net().fit(x, y, validation_data=held, callbacks=[keeper], verbose=0, resume=tmp_path, **options)

    fit(x, y, held)
    if part == "x":
        x = x.copy()
        x[-1, 0, -1, -1] = np.nextafter(x[-1, 0, -1, -1], np.float32(2.0))
    elif part == "y":
        y = y.copy()
        y[10] = (y[10] + 1) % 3
    elif part == "rows":
        x, y = x[:-1], y[:-1]
    else:
        held = digits(n=9, seed=2)
    with pytest.raises(CheckpointError, match="validation_data.x: " if part == "validation" else r"data\.[xy]: "):
        fit(x, y, held)


def test_another_batch_size_begins_the_epoch_again(tmp_path, caplog):
    with pytest.raises(Crash):
        train(plain, tmp_path, CrashAfter(6))  # in the middle of the second epoch
    x, y = digits(n=20)
    trainer = Trainer(small_net(seed=3), optimizer=Adam(lr=0.01))
    options = {"augment": AUGMENT, "sample_weight": np.linspace(0.5, 1.5, 20), "metrics": ["top_2", "f1"]}
    with caplog.at_level("WARNING", logger="xpcnn"):
        history = trainer.fit(
            x, y, epochs=2, batch_size=5, validation_data=digits(n=9, seed=1), verbose=0, **options,
            resume=tmp_path / "checkpoints", allow_different=["batch_size", "callbacks"],
        )  # fmt: skip
    assert "epoch 2 begins again" in caplog.text
    assert history.epoch == [0, 1]
    assert trainer.model.step == 5 + 4


@pytest.mark.parametrize(
    ("path", "options", "error", "text"),
    [
        (7, {}, ConfigError, "resume: expected a path, got 7"),
        ("", {}, ConfigError, "resume: expected a path"),
        ("no.safetensors", {}, CheckpointError, "no.safetensors"),
        ("model.safetensors", {}, CheckpointError, "expected a checkpoint of a training run, got a model's weights"),
        (None, {"allow_different": ["lr"]}, ConfigError, "fit: expected allow_different together with resume"),
        (".", {"allow_different": "optimizer"}, ConfigError, "expected allow_different to be a list of dtype, seed"),
        (".", {"allow_different": ["model"]}, ConfigError, "got 'model'"),
    ],
)
def test_what_is_no_checkpoint_is_refused(path, options, error, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = digits(n=20)
    model = small_net()
    model.save("model.safetensors")
    model.fit(x, y, callbacks=[ModelCheckpoint(".")], verbose=0)
    with pytest.raises(error, match=text):
        small_net().fit(x, y, resume=path, verbose=0, **options)


@pytest.mark.parametrize("damage", ["epoch", "counts", "rates", "slots", "callbacks", "tally", "history"])
def test_a_state_that_does_not_fit_is_refused_and_nothing_is_changed(damage, tmp_path):
    from xpcnn.models.tensor_files import read_tensors, write_tensors

    with pytest.raises(Crash):
        train(averages, tmp_path, CrashAfter(6))
    path = max((tmp_path / "checkpoints").glob("step-*"))
    arrays, header = read_tensors(path)
    training = header["training"]
    if damage == "epoch":
        training["epoch"] = -1
    elif damage == "counts":
        training["optimizer"]["counts"] = {"no": 1}
    elif damage == "rates":
        training["optimizer"]["rates"] = {"": "fast"}
    elif damage == "slots":
        arrays = {name: a for name, a in arrays.items() if not name.startswith("callbacks/")}
    elif damage == "callbacks":
        training["callbacks"] = 5
    elif damage == "tally":
        training["tally"] = [1]
    else:
        del training["history"]
    write_tensors(path, arrays, {k: v for k, v in header.items() if k not in ("sha256", "format")})
    made = averages(None)
    before = weights(made["model"])
    with pytest.raises(CheckpointError, match="step-00000005"):
        train(lambda _: made, tmp_path, resume=path)
    assert same(weights(made["model"]), before)
    assert made["model"].step == made["optimizer"].steps == 0


def test_nothing_in_a_file_says_when_where_or_by_whom(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name in "ab":
        train(averages, tmp_path / name)
    one, other = ((tmp_path / name / "checkpoints" / "step-00000009.safetensors").read_bytes() for name in "ab")
    assert one == other
    assert str(tmp_path).encode() not in one


def test_a_diverged_state_is_not_saved_over_the_last_good_one(tmp_path):
    x, y = digits(n=20)

    class Poison(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                self.model.params["6.weight"][0, 0] = np.nan

    model = small_net()
    keeper = ModelCheckpoint(tmp_path, every_steps=1)
    with pytest.raises(TrainingDiverged, match=r"'6.weight' is not finite after 2 steps.*no checkpoint was written"):
        model.fit(x, y, batch_size=8, callbacks=[Poison(), keeper], verbose=0)
    assert keeper.last == tmp_path / "step-00000001.safetensors"
    assert np.isfinite(weights(xpcnn.load(keeper.last))["6.weight"]).all()


def test_what_could_not_be_saved_is_said_before_the_first_step(tmp_path):
    x, y = digits(n=20)

    class Own(xpcnn.ReLU):
        pass

    model = xpcnn.Sequential(Own(), xpcnn.Flatten(), xpcnn.Linear(36, 3))
    with pytest.raises(CheckpointError, match="register"):
        model.fit(x, y, callbacks=[ModelCheckpoint(tmp_path / "a")], verbose=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="no folder can be made there"):
        small_net().fit(x, y, callbacks=[ModelCheckpoint(tmp_path / "file" / "a")], verbose=0)
    assert model.step == 0
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_callback_says_what_it_holds_and_gets_it_back(tmp_path):
    class Counts(Callback):
        def __init__(self):
            self.seen, self.arrays = 0, [np.arange(3)]

        def on_train_batch_end(self, batch, logs=None):
            self.seen += 1

        def state_dict(self):
            return {"seen": self.seen, "deep": {"arrays": self.arrays, "none": None, "infinite": float("-inf")}}

        def load_state_dict(self, state):
            self.seen, self.arrays = state["seen"], state["deep"]["arrays"]
            assert state["deep"]["infinite"] == float("-inf") and state["deep"]["none"] is None

    with pytest.raises(Crash):
        train(plain, tmp_path, Counts(), CrashAfter(5))
    counts = Counts()
    counts.arrays = None
    train(plain, tmp_path, counts, resume=tmp_path)
    assert counts.seen == EPOCHS * STEPS
    assert counts.arrays[0].tolist() == [0, 1, 2]


def test_a_state_that_no_file_can_hold_is_refused(tmp_path):
    class Odd(Callback):
        def state_dict(self):
            return {"file": open}

        def load_state_dict(self, state):
            pass

    class Number(Odd):
        def state_dict(self):
            return 5

    (tmp_path / "number").mkdir()
    with pytest.raises(ConfigError, match=r"Number.state_dict: expected a dict, got int"):
        train(plain, tmp_path / "number", Number())
    with pytest.raises(ConfigError, match="callbacks/2-Odd/file: expected a state of dicts"):
        train(plain, tmp_path, Odd())


def test_versions_and_position_can_be_read_by_anybody(tmp_path):
    train(plain, tmp_path)
    with safe_open(tmp_path / "checkpoints" / "step-00000009.safetensors", framework="numpy") as file:
        training = json.loads(file.metadata()["xpcnn"])["training"]
    assert (training["epoch"], training["batch"]) == (EPOCHS, 0)
    assert training["versions"]["xpcnn"] == xpcnn.__version__


@pytest.mark.parametrize(
    "settings",
    [
        {"folder": ""},
        {"folder": 3},
        {"every_steps": 0},
        {"every_epochs": 1.5},
        {"every_minutes": 0},
        {"keep": 0},
        {"best": 1},
        {"mode": "up"},
        {"monitor": 3},
    ],
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ConfigError, match="ModelCheckpoint: expected"):
        ModelCheckpoint(**{"folder": "checkpoints", **settings})


def test_optimizers_by_name_and_by_function_can_be_resumed(tmp_path):
    x, y = digits(n=20)
    for options in ({"optimizer": "momentum"}, {"optimizer": optimizers.SGD(lr=lambda step: 0.1)}):
        folder = tmp_path / str(len(str(options)))
        for epochs in (1, 2):
            model = small_net()
            model.fit(x, y, epochs=epochs, callbacks=[ModelCheckpoint(folder)], resume=folder, verbose=0, **options)
        assert model.step == 2


# What a run that goes on must not forget.


def fit(folder, model=None, callbacks=(), optimizer=None, **options):
    x, y = digits(n=20)
    trainer = Trainer(small_net(seed=3) if model is None else model, optimizer=optimizer or Adam(lr=0.01))
    options = {"epochs": 4, "batch_size": SIZE, "verbose": 0, "resume": folder, **options}
    keeper = ModelCheckpoint(folder, every_steps=1, keep=99)
    return trainer, trainer.fit(x, y, callbacks=[*callbacks, keeper], **options)


@pytest.mark.parametrize("first", [0, 1])
def test_a_run_that_was_stopped_is_over_whoever_else_has_a_state(first, tmp_path):
    both = [EarlyStopping("loss", min_delta=10.0, patience=2), TerminateOnNaN()]
    for _ in range(2):
        assert fit(tmp_path, callbacks=both[first:] + both[:first])[1].epoch == [0, 1, 2]


def test_a_callback_of_ones_own_that_stopped_a_run_has_stopped_it(tmp_path):
    class Enough(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    for _ in range(2):
        trainer, history = fit(tmp_path, callbacks=[Enough()])
        assert history.epoch == [0, 1] and trainer.model.step == 2 * STEPS


def test_a_run_that_was_stopped_within_an_epoch_takes_the_rest_of_it_later(tmp_path):
    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = self.model.step == 4

    (tmp_path / "straight").mkdir()
    wanted = fit(tmp_path / "straight")[0]
    trainer, history = fit(tmp_path / "cut", callbacks=[Stop()])
    assert history.epoch == [0, 1] and trainer.steps == 4
    assert max(path.name for path in (tmp_path / "cut").glob("step-*")) == "step-00000004.safetensors"
    trainer, history = fit(tmp_path / "cut")
    assert history.epoch == [0, 1, 2, 3] and trainer.steps == 4 * STEPS
    assert same(weights(trainer.model), weights(wanted.model))


def test_a_rate_that_may_differ_is_the_new_one_and_the_past_stays(tmp_path):
    fit(tmp_path, epochs=2, optimizer=SGD(lr=0.1, momentum=0.9))
    trainer, _ = fit(tmp_path, epochs=2, optimizer=SGD(lr=0.001, momentum=0.9), allow_different=["optimizer"])
    assert trainer.optimizer.lr == 0.001 and trainer.optimizer.steps == 2 * STEPS
    assert trainer.optimizer.slots()


def test_another_kind_of_optimizer_begins_without_a_past(tmp_path, caplog):
    fit(tmp_path, epochs=2, optimizer=SGD(lr=0.1, momentum=0.9))
    with caplog.at_level("WARNING", logger="xpcnn"):
        trainer, _ = fit(tmp_path, epochs=3, optimizer=Adam(lr=0.01), allow_different=["optimizer"])
    assert "begins without a past" in caplog.text
    assert trainer.optimizer.steps == STEPS and trainer.model.step == 3 * STEPS
    (tmp_path / "more").mkdir()
    fit(tmp_path / "more", epochs=1, optimizer=Accumulate(SGD(lr=0.1), every=2))
    fit(tmp_path / "more", epochs=2, optimizer=SGD(lr=0.1), allow_different=["optimizer"])


def test_the_count_of_steps_only_grows_when_batches_get_larger(tmp_path):
    fit(tmp_path, epochs=2, batch_size=2)
    for epochs in (3, 4):
        trainer, history = fit(tmp_path, epochs=epochs, batch_size=10, allow_different=["batch_size"])
        assert history.epoch == [*range(epochs)]
    assert trainer.steps == 2 * 10 + 2 * 2
    assert max(path.name for path in tmp_path.glob("step-*")) == "step-00000024.safetensors"


def test_what_is_frozen_is_compared_and_comes_back(tmp_path):
    def frozen():
        model = small_net(seed=3)
        model.freeze("0.*")
        return model

    class Thaw(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.unfreeze()

    (tmp_path / "straight").mkdir()
    wanted, _ = fit(tmp_path / "straight", frozen(), [Thaw()])
    fit(tmp_path / "cut", frozen(), [Thaw()], epochs=2)
    with pytest.raises(CheckpointError, match="frozen: "):
        fit(tmp_path / "cut", small_net(seed=3), [Thaw()])
    trainer, _ = fit(tmp_path / "cut", frozen(), [Thaw()])
    assert same(weights(trainer.model), weights(wanted.model))


def test_a_refused_call_after_resume_loses_nothing(tmp_path):
    x, y = digits(n=20)
    fit(tmp_path, epochs=1)
    trainer = Trainer(small_net(seed=3), optimizer=Adam(lr=0.01))
    trainer.resume(tmp_path)
    trainer.save(tmp_path / "again.safetensors")
    with pytest.raises(CheckpointError, match="batch_size: 8 in the checkpoint, 4 here"):
        trainer.fit(x, y, epochs=3, batch_size=4, verbose=0)
    trainer.fit(x, y, epochs=3, batch_size=SIZE, verbose=0, dry_run=True)
    assert trainer.fit(x, y, epochs=3, batch_size=SIZE, verbose=0).epoch == [0, 1, 2]
    assert trainer.model.step == 3 * STEPS
    other = Trainer(small_net(seed=3), optimizer=Adam(lr=0.01))
    history = other.fit(x, y, epochs=3, batch_size=SIZE, verbose=0, resume=tmp_path / "again.safetensors")
    assert history.epoch == [0, 1, 2]
    assert same(weights(trainer.model), weights(other.model))


def test_a_fit_inside_of_another_leaves_its_place_alone(tmp_path):
    x, y = digits(n=8)

    class Inner(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.trainer.fit(x, y, epochs=1, verbose=0)

    trainer, _ = fit(tmp_path, callbacks=[Inner()], epochs=2)
    assert trainer.steps == 2 * STEPS
    assert {path.name for path in tmp_path.glob("step-*")} == {f"step-{n:08d}.safetensors" for n in range(1, 7)}


def test_groups_that_wait_at_the_end_of_an_epoch_take_their_step(tmp_path):
    def groups():
        return ParamGroups({"*.bias": Accumulate(SGD(lr=0.1), every=2)}, rest=Adam(lr=0.01))

    wanted, _ = fit(tmp_path / "straight", optimizer=groups())
    with pytest.raises(Crash):
        fit(tmp_path / "cut", optimizer=groups(), callbacks=[CrashAfter(4)])
    for path in sorted((tmp_path / "cut").glob("step-*"))[3:]:
        path.unlink()
    trainer, _ = fit(tmp_path / "cut", optimizer=groups())
    assert same(weights(trainer.model), weights(wanted.model))


def test_what_the_optimizer_keeps_must_be_finite_too(tmp_path):
    class Poison(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.step == 2:
                self.trainer.optimizer.state["0.weight"]["exp_avg"][...] = np.nan

    with pytest.raises(TrainingDiverged, match=r"optimizer/state/0\.weight/exp_avg"):
        fit(tmp_path, callbacks=[Poison()])
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-00000001.safetensors"]


def test_another_version_is_told(tmp_path, monkeypatch, caplog):
    fit(tmp_path, epochs=1)
    monkeypatch.setattr(xpcnn, "__version__", "99.0")
    with caplog.at_level("WARNING", logger="xpcnn"):
        fit(tmp_path, epochs=2)
    assert f"written with xpcnn {xpcnn.__version__}" not in caplog.text
    assert "here is 99.0: bits may differ" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch", 10**15), ("batch", 4), ("batch", "1"), ("batch", 1.0), ("batch", True), ("epoch", -1),
        ("steps", None),
        ("facts", None), ("callbacks", [{"name": "EarlyStopping", "state": 5}]), ("tally", "a"),
        ("callbacks", [{"name": "EarlyStopping", "state": {}}]),
        ("history", {"epoch": [0], "history": {"loss": ["a"]}}),
        ("history", {"epoch": [0], "history": {"loss": [1.0, 2.0]}}),
        ("tally", {"sums": {}, "numbers": {"evil": 1.0}}),
    ],
)  # fmt: skip
def test_a_state_from_anybody_is_typed_and_changes_nothing(name, value, tmp_path):
    from xpcnn.models.tensor_files import read_tensors, write_tensors

    with pytest.raises(Crash):
        fit(tmp_path, callbacks=[EarlyStopping("loss"), CrashAfter(6)])
    path = max(tmp_path.glob("step-*"))
    arrays, header = read_tensors(path)
    header["training"][name] = value
    write_tensors(path, arrays, {k: v for k, v in header.items() if k not in ("sha256", "format")})
    model, optimizer = small_net(seed=3), Adam(lr=0.01)
    before = weights(model)
    with pytest.raises(CheckpointError, match=path.name):
        fit(tmp_path, model, [EarlyStopping("loss")], optimizer)
    assert same(weights(model), before) and model.step == optimizer.steps == 0


def test_long_histories_and_large_numbers_and_paths_that_meet_come_back():
    from xpcnn.training.tree import pack, unpack

    state = {
        "losses": [0.1 * i for i in range(1000)], "large": 2**127, "small": -(2**127), "flag": np.bool_(True),
        "a/b": np.zeros(2), "a": {"b": np.ones(2)}, "class 1": np.arange(3), "nan": float("nan"), "n": np.int64(3),
    }  # fmt: skip
    arrays = {}
    packed = json.loads(json.dumps(pack(state, "callbacks/0", arrays)))
    found = unpack(packed, arrays)
    assert len(json.dumps(packed)) < 1000
    for name in ("losses", "large", "small", "flag", "n"):
        assert found[name] == state[name] and type(found[name]) in (list, int, bool)
    assert (found["a/b"] == 0).all() and (found["a"]["b"] == 1).all()
    assert found["class 1"].tolist() == [0, 1, 2] and np.isnan(found["nan"])
    from xpcnn.models import tensor_files

    assert all(tensor_files._NAME.fullmatch(name) for name in arrays)


def test_settings_are_said_alike_in_every_process():
    from xpcnn.training.fingerprint import said

    class Inner:
        pass

    class Own:
        def __init__(self):
            self.names, self.inside, self.me = {"b", "a"}, [Inner(), len], self

    assert said(Own()) == "Own(names=set('a', 'b'), inside=list(Inner(), len), me=...)"


def test_a_rehearsal_writes_nothing_and_is_refused_by_no_checkpoint(tmp_path):
    fit(tmp_path, epochs=1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for resume in (None, tmp_path):
        fit(tmp_path, epochs=2, resume=resume, dry_run=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
