"""Losses that are no numbers: the step and the layer are named, nothing is changed, and what was asked for happens."""

import math

import numpy as np
import pytest

from tests.training.helpers import digits, same, small_net, weights
from xpcnn import Callback, Conv2d, Flatten, Graph, Linear, ReLU, Residual, Sequential, Trainer
from xpcnn.errors import TrainingDiverged, XpcnnError
from xpcnn.layers import Add, BatchNorm2d
from xpcnn.optimizers import SGD, Adam
from xpcnn.training import ModelCheckpoint, TerminateOnNaN
from xpcnn.training.divergence import first_nonfinite, is_finite


def whole(trainer):
    """Everything that a step may change, as bytes."""
    slots = {name: np.asarray(a).tobytes() for name, a in trainer.optimizer.slots().items()}
    arrays = {name: a.tobytes() for name, a in weights(trainer.model).items()}
    return arrays, slots, trainer.optimizer.counts(), trainer.model.step


def nested():
    """A layer inside of a block inside of a block."""
    inside = Residual(Sequential(Conv2d(4, 4, 3, padding=1), BatchNorm2d(4), ReLU()))
    return Sequential(Conv2d(1, 4, 3, padding=1), Residual(Sequential(inside, ReLU())), Flatten(), Linear(144, 3))


def graph():
    return Graph(
        {
            "one": (Conv2d(1, 2, 3, padding=1), "input"),
            "left": (Conv2d(2, 2, 1), "one"),
            "right": (Conv2d(2, 2, 1), "one"),
            "sum": (Add(), "left", "right"),
            "flat": (Flatten(), "sum"),
            "scores": (Linear(72, 3), "flat"),
        }
    )


def diverged(trainer, x, y):
    before = whole(trainer)
    with pytest.raises(TrainingDiverged) as error:
        trainer.step(x, y)
    assert whole(trainer) == before, "a step that diverged has changed something"
    assert isinstance(error.value, XpcnnError) and isinstance(error.value, ArithmeticError)
    return error.value


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("make", "parameter", "layer"),
    [
        (small_net, "0.weight", "0"),
        (small_net, "1.weight", "1"),
        (small_net, "6.bias", "6"),
        (nested, "1.body.0.body.0.weight", "1.body.0.body.0"),
        (nested, "1.body.0.body.1.bias", "1.body.0.body.1"),
        (nested, "3.weight", "3"),
        (graph, "right.weight", "right"),
        (graph, "scores.weight", "scores"),
    ],
)
def test_a_weight_that_is_no_number_is_named_with_its_layer(make, parameter, layer, value):
    x, y = digits(n=8)
    trainer = Trainer(make(), optimizer=Adam(lr=0.01))
    for _ in range(2):
        trainer.step(x, y)
    p = trainer.model.params[parameter]
    p[(0,) * p.ndim] = value
    with np.errstate(all="ignore"):
        error = diverged(trainer, x, y)
    assert error.layer == layer
    assert f"the loss is nan at step 3; the first layer whose output is not finite is {layer!r}" in str(error)
    assert f"weights that are not finite: {parameter}" in str(error)
    assert "smaller learning rate" in str(error)


@pytest.mark.parametrize(
    ("make", "huge", "layer"),
    [
        (small_net, ["1.weight", "6.weight"], "6"),
        (nested, ["0.weight", "1.body.0.body.0.weight"], "1.body.0.body.0"),
        (graph, ["one.weight", "left.weight"], "left"),
    ],
)
def test_the_layer_that_overflows_is_named(make, huge, layer):
    x, y = digits(n=8)
    trainer = Trainer(make())
    for name in huge:
        trainer.model.params[name][...] = 1e30
    with np.errstate(all="ignore"):
        error = diverged(trainer, x, y)
    assert error.layer == layer
    assert "weights that are not finite" not in str(error)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_inputs_that_are_no_numbers_are_named(value):
    x, y = digits(n=8)
    x = x.copy()
    x[3, 0, 2, 2] = value
    with np.errstate(all="ignore"):
        error = diverged(Trainer(small_net()), x, y)
    assert error.layer == ""
    assert "x itself holds NaN or infinity: look for them in the data" in str(error)


def test_scores_that_are_fine_and_a_loss_that_is_not():
    x, y = digits(n=8)

    def broken(scores, target):
        return scores[0, 0] * float("inf"), scores

    trainer = Trainer(small_net(), loss=broken)
    error = diverged(trainer, x, y)
    assert error.layer == ""
    assert "layer" not in str(error) and "at step 1: take a smaller" in str(error)


def test_what_looks_for_the_layer_leaves_the_model_as_it_was():
    x, _ = digits(n=8)
    model = nested()
    before, step = weights(model), model.step
    assert first_nonfinite(model, x) is None
    assert same(weights(model), before) and model.step == step
    with np.errstate(all="ignore"):
        assert first_nonfinite(model, np.full_like(x, np.nan)) == "0"
    assert same(weights(model), before)
    assert not any("_forward_child" in vars(one) for one in (model, model.children["1"]))


def test_a_run_that_diverges_names_its_step_and_keeps_the_last_checkpoint(tmp_path):
    x, y = digits(n=20)
    kept = {}

    class Poison(Callback):
        def on_train_batch_end(self, batch, logs=None):
            kept.update(weights(self.model))
            if (self.trainer.steps) == 4:
                self.model.params["6.weight"][0, 0] = np.nan

    model = small_net()
    keeper = ModelCheckpoint(tmp_path, every_steps=2, every_epochs=None, best=False)
    # the checkpoint after step 4 is refused, too, so it is one after step 2 that stays
    with pytest.raises(TrainingDiverged, match=r"'6.weight' is not finite after 4 steps"):
        model.fit(x, y, epochs=3, batch_size=8, verbose=0, callbacks=[keeper, Poison()])
    assert keeper.last == tmp_path / "step-00000002.safetensors"
    model = small_net()
    with pytest.raises(TrainingDiverged, match=r"the loss is nan at step 5; .* is '6'"):
        model.fit(x, y, epochs=3, batch_size=8, verbose=0, callbacks=[Poison()])
    # and in a run that goes on, its step and not the number of those of this process
    late = Callback()
    keeper = ModelCheckpoint(tmp_path, every_epochs=None, best=False)
    late.on_train_batch_end = lambda batch, logs: late.model.params["0.weight"].fill(np.nan)
    with pytest.raises(TrainingDiverged, match=r"the loss is nan at step 4; .* is '0'"):
        small_net().fit(x, y, epochs=3, batch_size=8, verbose=0, resume=tmp_path, callbacks=[keeper, late])


def poisoned(bad):
    """20 samples in batches of 4; those of the batches `bad` are NaN."""
    x, y = digits(n=20)
    x = x.copy()
    for number in bad:
        x[4 * number + 1] = np.nan
    return x, y


def test_skipped_batches_change_nothing_but_the_count_of_steps(caplog):
    x, y = poisoned([1, 3])
    skips = Trainer(small_net(dropout=0.5), optimizer=SGD(lr=0.1, momentum=0.9), on_nonfinite="skip")
    by_hand = Trainer(small_net(dropout=0.5), optimizer=SGD(lr=0.1, momentum=0.9))
    with np.errstate(all="ignore"), caplog.at_level("WARNING", logger="xpcnn"):
        history = skips.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    losses = []
    for _ in range(2):
        for number in range(5):
            if number in (1, 3):
                by_hand.model.step += 1  # so that the next one has the masks that it would have had
            else:
                part = slice(4 * number, 4 * number + 4)
                losses.append(float(by_hand.step(x[part], y[part])))
    assert whole(skips) == whole(by_hand)
    assert skips.model.step == 10 and skips.optimizer.steps == 6
    np.testing.assert_allclose(history.history["loss"], [np.mean(losses[:3]), np.mean(losses[3:])], rtol=1e-6)
    dropped = [record.getMessage() for record in caplog.records]
    assert len(dropped) == 4 and all("a batch whose loss is nan was dropped" in text for text in dropped)
    assert "after 2 steps" in dropped[0]


def test_a_run_that_skips_goes_on_with_the_same_bits(tmp_path):
    x, y = poisoned([1, 3])

    def run(folder, **options):
        trainer = Trainer(small_net(dropout=0.5), optimizer=SGD(lr=0.1, momentum=0.9), on_nonfinite="skip")
        keeper = ModelCheckpoint(folder, every_steps=1, keep=99)
        with np.errstate(all="ignore"):
            trainer.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0, callbacks=[keeper], **options)
        return whole(trainer)

    wanted = run(tmp_path / "straight")
    for step in (1, 2, 4, 7):
        assert run(tmp_path / str(step), resume=tmp_path / "straight" / f"step-{step:08d}.safetensors") == wanted


def test_an_epoch_of_nothing_but_dropped_batches_changes_nothing():
    x, y = poisoned(range(5))
    model = small_net()
    before = weights(model)
    options = {"batch_size": 4, "verbose": 0, "on_nonfinite": "skip", "shuffle": False, "metrics": ["top_2", "f1"]}
    with np.errstate(all="ignore"):
        history = model.fit(x, y, epochs=2, **options)
    assert same(weights(model), before) and model.step == 10
    assert list(history.history) == ["loss", "accuracy", "top_2", "f1"]
    assert np.isnan([*history.history.values()]).all()


@pytest.mark.parametrize("way", ["raise", "skip"])
def test_an_epoch_without_a_number_does_not_end_the_watch(way):
    """One in which all labels are ignored has no mean, which is no divergence; what comes after it may be one."""
    x, y = digits(n=8)
    y = np.full_like(y, -100)
    model, poison, before = small_net(), Callback(), {}

    def begin(epoch, logs):
        if epoch == 1:
            y[...] = 0
            model.params["0.weight"][0, 0, 0, 0] = np.nan
            before.update(weights(model))

    poison.on_epoch_begin = begin
    with np.errstate(all="ignore"):
        if way == "skip":
            model.fit(x, y, epochs=2, verbose=0, on_nonfinite=way, callbacks=[poison])
        else:
            with pytest.raises(TrainingDiverged, match="at step 2"):
                model.fit(x, y, epochs=2, verbose=0, callbacks=[poison])
    after = weights(model)
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)


def test_the_figures_of_an_epoch_are_of_the_batches_that_were_not_dropped():
    """Also of one without any, behind one with some."""
    x, y = digits(n=20)
    poison = Callback()

    def begin(epoch, logs):
        if epoch == 1:
            poison.model.params["0.weight"][0, 0, 0, 0] = np.nan

    poison.on_epoch_begin = begin
    with np.errstate(all="ignore"):
        history = small_net().fit(
            x, y, epochs=2, batch_size=4, verbose=0, on_nonfinite="skip", metrics=["top_3", "f1"], callbacks=[poison]
        )
    assert history.history["top_3"][0] == 1.0
    assert all(np.isnan(values[1]) and not np.isnan(values[0]) for values in history.history.values())


def test_ignored_losses_spread():
    x, y = poisoned([1])
    model = small_net()
    with np.errstate(all="ignore"):
        model.fit(x, y, batch_size=4, verbose=0, on_nonfinite="ignore", shuffle=False)
    assert model.step == 5 and np.isnan(weights(model)["6.weight"]).all()


@pytest.mark.parametrize("way", ["raise", "skip"])
def test_a_batch_of_ignored_labels_is_no_divergence(way):
    x, y = digits(n=8)
    trainer = Trainer(small_net(), optimizer="sgd", on_nonfinite=way)
    before = weights(trainer.model)
    assert math.isnan(float(trainer.step(x, np.full_like(y, -100))))
    after = weights(trainer.model)
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert all("running" in name or "num_batches" in name for name in moved), moved
    assert moved, "the batch was dropped, though its images were seen"
    assert trainer.model.step == 1


def test_terminate_on_nan_decides_instead(caplog):
    x, y = poisoned([2])
    model = small_net()
    with np.errstate(all="ignore"):
        history = model.fit(x, y, epochs=3, batch_size=4, verbose=0, shuffle=False, callbacks=[TerminateOnNaN()])
    assert model.step == 3 and model.stop_training
    assert math.isnan(history.history["loss"][0]) and history.epoch == [0]


def test_settings_that_make_no_sense():
    from xpcnn.errors import ConfigError

    for wrong in ("stop", None, True):
        with pytest.raises(ConfigError, match="Trainer: expected on_nonfinite to be 'raise', 'skip' or 'ignore'"):
            Trainer(small_net(), on_nonfinite=wrong)


@pytest.mark.parametrize("scale", [1e4, 1e19, 1e30, 1e38, 3e38])
def test_huge_inputs_end_in_a_number_or_in_the_error_and_nothing_else(scale):
    """F18: what overflows in float32, forward or backward."""
    x, y = digits(n=8)
    x = (x / x.max() * scale).astype("float32")
    trainer = Trainer(small_net(), optimizer=SGD(lr=0.1))
    with np.errstate(all="ignore"):
        try:
            for _ in range(3):
                before = weights(trainer.model)
                assert math.isfinite(float(trainer.step(x, y)))
        except TrainingDiverged as error:
            assert "training diverged" in str(error)
            assert same(weights(trainer.model), before)
        else:
            assert scale < 3e38


@pytest.mark.parametrize("scores", [[1e4, 1e4, 1e4], [1e38, -1e38, 0.0], [-3e38, -3e38, -3e38], [0.0, 90.0, -90.0]])
def test_scores_of_any_size_give_a_finite_loss(scores):
    """F18: the label's probability is 0, all scores are equal."""
    model = Sequential(Linear(3, 3))
    trainer = Trainer(model, optimizer=SGD(lr=0.0001))
    model.params["0.weight"][...] = np.eye(3)
    model.params["0.bias"][...] = 0.0
    shifted = np.asarray(scores, "float64") - max(scores)
    wanted = np.mean([np.log(np.exp(shifted).sum()) - shifted[k] for k in (0, 1)])
    with np.errstate(over="ignore"):
        loss = float(trainer.step(np.asarray([scores] * 2, "float32"), np.asarray([0, 1])))
    assert loss == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("scores", [[np.inf, 0.0, 0.0], [-np.inf, 0.0, 0.0], [np.nan, 0.0, 0.0]])
def test_scores_that_are_infinite_are_a_typed_error(scores):
    model = Sequential(Linear(3, 3))
    with np.errstate(all="ignore"):
        error = diverged(Trainer(model), np.asarray([scores], "float32"), np.asarray([0]))
    assert "x itself" in str(error)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "bool"])
def test_is_finite(dtype):
    assert is_finite(np.ones((2, 3), dtype))
    assert is_finite(np.ones((0,), dtype))
    if dtype.startswith("float"):
        for value in (np.nan, np.inf, -np.inf):
            assert not is_finite(np.asarray([1.0, value], dtype))


def test_is_finite_of_a_dtype_that_the_standard_does_not_know():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert is_finite(np.ones(3, ml_dtypes.bfloat16))
    assert not is_finite(np.asarray([1.0, np.inf], ml_dtypes.bfloat16))
