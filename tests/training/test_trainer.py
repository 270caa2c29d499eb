"""The training step and the loop: what they compute, in which order, and what they refuse."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.helpers import digits, same, small_net, weights
from xpcnn import (
    L2,
    MSE,
    BatchNorm1d,
    Callback,
    EarlyStopping,
    Flatten,
    Linear,
    Sequential,
    SoftmaxCrossEntropy,
    TerminateOnNaN,
    Trainer,
    optimizers,
)
from xpcnn.backend import Key, to_numpy
from xpcnn.data import batches
from xpcnn.errors import ConfigError, DtypeError, LabelError, NamespaceError, ShapeError, XpcnnError
from xpcnn.layers import Layer


def test_step_is_the_four_lines_of_a_step_by_hand():
    x, y = digits()
    trained, by_hand = small_net(seed=3), small_net(seed=3)
    trainer = Trainer(trained, SoftmaxCrossEntropy(), optimizers.Adam(lr=0.01))
    loss, optimizer = SoftmaxCrossEntropy(), optimizers.Adam(lr=0.01)
    for _ in range(4):
        logits, cache = by_hand.forward(x, train=True)
        value, dlogits = loss(logits, y)
        _, grads = by_hand.backward(dlogits, cache)
        optimizer.update(by_hand.params, grads)
        assert float(trainer.step(x, y)) == float(value)
    assert same(weights(trained), weights(by_hand))
    assert trained.step == by_hand.step == 4


def test_each_step_drops_other_entries_and_a_repeated_forward_the_same():
    x, _ = digits()
    model = small_net(dropout=0.5)
    (first, cache), (again, _) = model.forward(x, train=True), model.forward(x, train=True)
    # batch norm takes the statistics of the batch, so nothing but the mask could differ
    assert np.array_equal(first, again)
    model.backward(np.ones_like(first), cache)
    assert not np.array_equal(first, model.forward(x, train=True)[0])


def test_fit_is_steps_over_batches(space):
    x, y = digits(n=20)
    trained, stepped = (small_net(dtype="float64").to(like=space.asarray([0.0])) for _ in range(2))
    trained.fit(x, y, epochs=2, batch_size=8, optimizer=optimizers.SGD(lr=0.1), verbose=0)
    trainer = Trainer(stepped, optimizer=optimizers.SGD(lr=0.1))
    for epoch in range(2):
        for x_batch, y_batch in batches(x.astype("float64"), y, 8, seed=0, epoch=epoch):
            trainer.step(x_batch, y_batch)
    for name, a in trained.state_dict().items():
        assert np.array_equal(to_numpy(a), to_numpy(stepped.state_dict()[name])), name


def test_training_is_the_same_on_every_library(space, cpu):
    x, y = digits(n=20)
    here, there = (small_net(dtype="float64").to(like=s.asarray([0.0])) for s in (space, cpu))
    runs = [m.fit(x, y, epochs=3, batch_size=7, verbose=0, validation_data=(x, y)).history for m in (here, there)]
    for name in runs[0]:
        np.testing.assert_allclose(runs[0][name], runs[1][name], rtol=1e-9, err_msg=name)
    for name, a in here.state_dict().items():
        np.testing.assert_allclose(to_numpy(a), to_numpy(there.state_dict()[name]), rtol=1e-8, atol=1e-10)


def test_everything_stays_on_the_device_and_float32(space):
    x, y = digits(n=16)
    model = small_net().to(like=space.asarray([0.0], "float32"))
    optimizer = optimizers.AdamW(lr=0.01, clip_norm=1.0)
    model.fit(x, y, epochs=1, batch_size=8, optimizer=optimizer, loss=SoftmaxCrossEntropy([1.0, 2.0, 3.0]), verbose=0)
    state = {f"{n}/{k}": a for n, slots in optimizer.state.items() for k, a in slots.items()}
    for name, a in {**model.params, **model.buffers, **state}.items():
        assert space.device.owns(a), name
        assert a.dtype in (space.xp.float32, space.xp.int64), name


def test_same_seed_same_bits_twice_and_another_seed_others():
    x, y = digits()

    def run(seed):
        model = small_net(seed=seed)
        history = model.fit(x, y, epochs=3, batch_size=5, verbose=0)
        return weights(model), history.history

    first, second, other = run(1), run(1), run(2)
    assert same(first[0], second[0]) and first[1] == second[1]
    assert not same(first[0], other[0])


def test_epochs_visit_every_sample_once_in_a_new_order():
    x, y = digits(n=10)
    seen = []

    class Spy(Layer):
        def forward(self, x, *, train=False):
            if train:
                seen.append(x[:, 0, 0, 0].copy())
            return x, self.keep(x) if train else None

        def backward(self, dy, cache):
            return dy, {}

    model = Sequential(Spy(), Flatten(), Linear(36, 3))
    model.fit(x, y, epochs=2, batch_size=4, verbose=0)
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert [len(part) for part in seen] == [4, 4, 2] * 2
    assert sorted(first) == sorted(second) == sorted(x[:, 0, 0, 0])
    assert not np.array_equal(first, second)


def test_without_shuffle_samples_come_as_they_lie():
    x, y = digits(n=10)
    a, b = small_net(dropout=0.0), small_net(dropout=0.0)
    a.fit(x, y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    trainer = Trainer(b)
    for start in (0, 4, 8):
        trainer.step(x[start : start + 4], y[start : start + 4])
    assert same(weights(a), weights(b))


def test_fit_learns_and_reports_means_over_all_samples():
    x, y = digits(n=30)
    model = small_net(dropout=0.0)
    adam = optimizers.Adam(lr=0.02)
    history = model.fit(x, y, epochs=20, batch_size=7, optimizer=adam, validation_data=(x, y), verbose=0)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history.epoch == list(range(20)) and len(history.history["loss"]) == 20
    assert history.history["val_accuracy"][-1] == 1.0
    assert history.history["val_loss"][-1] == pytest.approx(model.evaluate(x, y)["loss"], rel=1e-6)


def test_reported_loss_weights_the_smaller_last_batch_by_its_size():
    x, y = digits(n=10)
    model = small_net(dropout=0.0)
    losses = []

    class Record(Callback):
        def on_train_batch_end(self, batch, logs=None):
            losses.append(float(logs["loss"]))

    history = model.fit(x, y, batch_size=8, optimizer=optimizers.SGD(lr=1e-9), callbacks=[Record()], verbose=0)
    assert history.history["loss"][0] == pytest.approx((8 * losses[0] + 2 * losses[1]) / 10, rel=1e-6)


def test_penalty_is_added_with_its_gradient():
    x, y = digits(n=6)
    model, plain = small_net(dropout=0.0, dtype="float64"), small_net(dropout=0.0, dtype="float64")
    x = x.astype("float64")
    before = weights(model)
    value = Trainer(model, optimizer=optimizers.SGD(lr=0.1), penalty=L2(0.5)).step(x, y)
    bare = Trainer(plain, optimizer=optimizers.SGD(lr=0.1)).step(x, y)
    decayed = [name for name, a in before.items() if a.ndim >= 2]
    assert float(value) == pytest.approx(float(bare) + 0.25 * sum((before[n] ** 2).sum() for n in decayed))
    for name, a in model.params.items():
        expected = plain.params[name] - (0.1 * 0.5 * before[name] if name in decayed else 0.0)
        np.testing.assert_allclose(a, expected, atol=1e-14)


def test_mean_squared_error_fits_a_line():
    x = np.linspace(-1, 1, 16, dtype="float32").reshape(-1, 1)
    model = Sequential(Linear(1, 1))
    history = model.fit(x, 2 * x + 1, epochs=300, optimizer=optimizers.SGD(lr=0.3), loss="mse", verbose=0)
    assert list(history.history) == ["loss"] and history.history["loss"][-1] < 1e-6
    assert model.evaluate(x, 2 * x + 1, loss=MSE()).keys() == {"loss"}


def test_a_function_can_be_the_loss():
    x, y = digits(n=6)

    def absolute(prediction, target):
        error = prediction - target
        return np.asarray(np.abs(error).mean()), np.sign(error) / error.size

    model = Sequential(Flatten(), Linear(36, 1))
    history = model.fit(x, y.reshape(-1, 1).astype("float32"), epochs=2, loss=absolute, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]


def test_probabilities_are_targets_too():
    x, y = digits(n=12)
    hard, soft = small_net(dropout=0.0), small_net(dropout=0.0)
    a = hard.fit(x, y, epochs=2, verbose=0).history
    b = soft.fit(x, np.eye(3, dtype="float64")[y], epochs=2, verbose=0).history
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)
    assert a["accuracy"] == b["accuracy"]


def test_optimizer_state_goes_on_over_fits():
    x, y = digits(n=8)
    model = small_net()
    trainer = Trainer(model, optimizer=optimizers.Adam())
    trainer.fit(x, y, epochs=2, batch_size=4, verbose=0)
    trainer.fit(x, y, epochs=1, batch_size=4, verbose=0)
    assert trainer.optimizer.steps == 6


def test_callback_can_stop_the_run():
    x, y = digits(n=8)

    class Stop(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    assert small_net().fit(x, y, epochs=5, callbacks=[Stop()], verbose=0).epoch == [0, 1]


def bad_cases():
    x, y = digits(n=8)
    yield "list", x.tolist(), y, NamespaceError, "expected x to be an array, got list"
    yield "labels as a list", x, y.tolist(), NamespaceError, "expected y to be an array, got list"
    yield "bytes", (x * 255).astype("uint8"), y, DtypeError, "divided by 255"
    yield "complex", x.astype("complex64"), y, DtypeError, "complex64"
    yield "objects", x.astype(object), y, XpcnnError, "object"
    yield "channels last", x.transpose(0, 2, 3, 1), y, ShapeError, r"channels come first; permute to \(8, 1, 6, 6\)"
    yield "no channels", x[:, 0], y, ShapeError, r"\(N, 1, H, W\), got \(8, 6, 6\): add the channel axis"
    yield "one image", x[0], y, ShapeError, r"got \(1, 6, 6\): add the batch axis, as in x\[None\]"
    yield "other size", x[..., :4], y, ShapeError, r"got \(8, 1, 6, 4\): Linear: .*got \(8, 24\): Linear\(24, 3\)"
    yield "column of labels", x, y[:, None], LabelError, r"got target of shape \(8, 1\): take y\[:, 0\]"
    yield "integer one-hot", x, np.eye(3, dtype=int)[y], LabelError, r"take y.argmax\(axis=1\)"
    yield "label far too large", x, y + 2, LabelError, "from 2 to 4: for 5 classes the last layer needs 5 outputs"
    yield "empty", x[:0], y[:0], ShapeError, "not empty"
    yield "too few labels", x, y[:-1], LabelError, "expected 8 labels for 8 samples"
    yield "float labels", x, y.astype("float32"), LabelError, "integer labels.*: convert the labels to integers"
    yield "label too large", x, y + 1, LabelError, "labels from 0 to 2, got labels from 1 to 3: subtract 1"
    yield "negative label", x, y - 1, LabelError, "got labels from -1 to 1"
    yield "one-hot too wide", x, np.eye(4, dtype="float32")[y], LabelError, r"probabilities of shape \(8, 3\)"


@pytest.mark.parametrize("what, x, y, error, text", list(bad_cases()), ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("call", ["fit", "evaluate", "step", "validation"])
def test_bad_data_is_refused_before_anything_changes(call, what, x, y, error, text):
    model = small_net()
    good = digits(n=8)
    before = weights(model)
    with pytest.raises(error, match=text):
        if call == "fit":
            model.fit(x, y, verbose=0)
        elif call == "evaluate":
            model.evaluate(x, y)
        elif call == "step":
            Trainer(model).step(x, y)
        else:
            model.fit(*good, validation_data=(x, y), verbose=0)
    assert same(before, weights(model)) and model.step == 0


def test_targets_are_looked_at_before_the_model_computes_in_later_steps_too(monkeypatch):
    x, y = digits(n=8)
    model = small_net()
    trainer = Trainer(model)
    trainer.step(x, y)
    before = weights(model)
    monkeypatch.setattr(model, "forward", lambda *args, **options: pytest.fail("computed"))
    for wrong in (y[:-1], y + 1, np.eye(4, dtype="float32")[y]):
        with pytest.raises(LabelError):
            trainer.step(x, wrong)
    assert same(before, weights(model)) and model.step == 1


def test_arrays_of_another_library_are_refused_with_the_way_out(strict):
    x, y = digits(n=8)
    for bad in ((strict.asarray(x), y), (x, strict.asarray(y))):
        with pytest.raises(NamespaceError, match=r"device cpu, got one of array_api_strict: .*model.to\(like="):
            small_net().fit(*bad, verbose=0)


def test_float64_images_are_cast_once_at_the_door_but_not_in_a_step():
    x, y = digits(n=8)
    assert small_net().fit(x.astype("float64"), y, verbose=0).history["loss"]
    with pytest.raises(DtypeError, match="model's dtype float32, got float64"):
        Trainer(small_net()).step(x.astype("float64"), y)


@pytest.mark.parametrize("size", [1, 4])
def test_last_batch_of_one_is_refused_where_batch_norm_needs_two(size):
    x, y = digits(n=9)
    model = Sequential(Flatten(), Linear(36, 5), BatchNorm1d(5), Linear(5, 3))
    before = weights(model)
    with pytest.raises(ShapeError, match=f"last batch of 1 from 9 samples with batch_size={size}"):
        model.fit(x, y, batch_size=size, verbose=0)
    assert same(before, weights(model))
    small_net().fit(x, y, batch_size=4, verbose=0)  # more than one pixel a channel: nothing to refuse


@pytest.mark.parametrize("options", [{"epochs": 0}, {"batch_size": 0}, {"batch_size": 2.5}, {"epochs": True}])
def test_counts_must_be_positive_integers(options):
    name = next(iter(options))
    with pytest.raises(ConfigError, match=f"expected {name} to be an integer of at least 1"):
        small_net().fit(*digits(n=8), verbose=0, **options)


def test_unknown_names_are_refused_with_the_known_ones():
    x, y = digits(n=8)
    with pytest.raises(ConfigError, match="'sgd', 'momentum'"):
        small_net().fit(x, y, optimizer="adamm", verbose=0)
    with pytest.raises(ConfigError, match=r"softmax_cross_entropy, nll, .*, mse, .*got 'msee': did you mean 'mse'"):
        small_net().fit(x, y, loss="msee", verbose=0)
    with pytest.raises(ConfigError, match="verbose to be 'auto', 0, 1 or 2, got 3"):
        small_net().fit(x, y, verbose=3)
    for verbose in (np.ones(2), "0", None):
        with pytest.raises(ConfigError, match="verbose to be 'auto', 0, 1 or 2, got"):
            small_net().fit(x, y, verbose=verbose)
    with pytest.raises(ConfigError, match="fit: expected shuffle to be True or False, got 'no'"):
        small_net().fit(x, y, shuffle="no", verbose=0)
    with pytest.raises(ConfigError, match=r"'adamw', .*got 'Adam': did you mean 'adam'"):
        small_net().fit(x, y, optimizer="Adam", verbose=0)
    with pytest.raises(ConfigError, match=r"make one, Adam\(\)"):
        small_net().fit(x, y, optimizer=optimizers.Adam, verbose=0)
    with pytest.raises(ConfigError, match=r"make one, MSE\(\)"):
        small_net().fit(x, y, loss=MSE, verbose=0)
    with pytest.raises(ConfigError, match="validation_data to be a pair"):
        small_net().fit(x, y, validation_data=x, verbose=0)
    with pytest.raises(ConfigError, match="expected model to be a Sequential or a Graph of one input, got Linear"):
        Trainer(Linear(2, 2))
    with pytest.raises(ConfigError, match="objects with the methods of Callback"):
        small_net().fit(x, y, callbacks=[EarlyStopping], verbose=0)


def test_nothing_in_a_step_reads_the_device(strict, monkeypatch):
    """array_api_strict's arrays cannot be read from here while a step runs, as a GPU's cannot without waiting."""
    x, y = digits(n=8)
    model = small_net().to(like=strict.asarray([0.0], "float32"))
    trainer = Trainer(model, SoftmaxCrossEntropy(label_smoothing=0.1), optimizers.Adam(clip_norm=1.0))
    x, y = strict.asarray(x, "float32"), strict.asarray(y, "int64")
    from xpcnn.ops.losses import targets

    monkeypatch.setattr(targets, "is_host", lambda a: False)

    def refuse(self, *args):
        raise AssertionError("a step read the device")

    kind = type(x)
    for name in ("__bool__", "__float__", "__int__", "__index__", "__array__"):
        monkeypatch.setattr(kind, name, refuse)
    trainer._step(x, y)
    monkeypatch.undo()
    assert all(np.isfinite(to_numpy(p)).all() for p in model.params.values())


def test_labels_out_of_range_give_nan_where_reading_would_wait(strict, monkeypatch):
    from xpcnn.ops import softmax_cross_entropy
    from xpcnn.ops.losses import targets

    monkeypatch.setattr(targets, "is_host", lambda a: False)
    logits = strict.asarray(np.zeros((2, 3)))
    assert np.isnan(to_numpy(softmax_cross_entropy(logits, strict.asarray([0, 3]))[0]))
    assert np.isfinite(to_numpy(softmax_cross_entropy(logits, strict.asarray([0, -100]))[0]))


def test_key_given_by_hand_decides_the_mask_and_leaves_the_step_alone():
    x, _ = digits()
    model = small_net(dropout=0.5)
    (a, cache), (b, _) = (model.forward(x, train=True, key=Key(9, "mine", step=s)) for s in (0, 1))
    assert not np.array_equal(a, b)
    model.backward(np.ones_like(a), cache)
    assert model.step == 0


def test_a_batch_of_ignored_labels_changes_nothing():
    x, y = digits(n=8)
    model = Sequential(Flatten(), Linear(36, 3))
    before = weights(model)
    history = model.fit(x, np.full_like(y, -100), optimizer="sgd", verbose=0)
    assert same(before, weights(model)) and np.isnan(history.history["loss"][0])


def test_failing_steps_leave_statistics_and_the_step_alone():
    x, y = digits(n=8)

    def broken(*_):
        raise KeyboardInterrupt

    cases = [
        ({"loss": SoftmaxCrossEntropy([1.0, 2.0])}, y, ShapeError),
        ({"loss": "mse"}, np.zeros((8, 3), int), DtypeError),
        ({"optimizer": optimizers.SGD(lr=lambda step: float("nan"))}, y, ConfigError),
        ({"penalty": broken}, y, KeyboardInterrupt),
    ]
    for options, target, error in cases:
        model = small_net()
        before = weights(model)
        trainer = Trainer(model, **options)
        with pytest.raises(error):
            trainer.step(x, target)
        assert same(before, weights(model)) and model.step == 0, options
        with pytest.raises(error):
            trainer.fit(x, target, verbose=0)
        assert same(before, weights(model)) and model.step == 0, options


@pytest.mark.parametrize("penalty", ["l2", 3, L2])
def test_penalty_must_be_one(penalty):
    with pytest.raises(ConfigError, match=r"penalty to be None, L1\(...\) or L2\(...\)"):
        Trainer(small_net(), penalty=penalty)


def test_everything_runs_where_the_model_lives(strict, monkeypatch):
    """On a second GPU CuPy makes arrays on the current one, so each call must be made with the model's made current."""
    from contextlib import contextmanager

    import array_api_strict as xp

    from xpcnn.backend import Device

    inside, outside = [], []

    @contextmanager
    def active(self, samples=None):
        inside.append(self)
        try:
            yield
        finally:
            inside.pop()

    monkeypatch.setattr(Device, "active", active)
    x, y = digits(n=8)
    model = small_net().to(like=strict.asarray([0.0], "float32"))
    x, y = strict.asarray(x, "float32"), strict.asarray(y, "int64")
    loss, optimizer = SoftmaxCrossEntropy([1.0, 2.0, 3.0]), optimizers.Adam(clip_norm=1.0)
    made = ("zeros", "ones", "full", "arange", "asarray", "matmul", "sum", "concat", "take", "argmax", "where", "exp")
    for name in made:
        original = getattr(xp, name)

        def spy(*args, _name=name, _original=original, **options):
            if not inside:
                outside.append(_name)
            return _original(*args, **options)

        monkeypatch.setattr(xp, name, spy)
    model.fit(x, y, batch_size=3, loss=loss, optimizer=optimizer, validation_data=(x, y), verbose=0)
    model.predict(x), model.predict_proba(x), model.evaluate(x, y), model.state_dict()
    scores, cache = model.forward(x, train=True)
    _, grads = model.backward(loss(scores, y)[1], cache)
    optimizer.update(model.params, grads)
    assert outside == []


def test_the_models_own_shape_is_the_one_asked_for():
    """Whatever layer it was that could not go on."""
    model = small_net(input_shape=(1, 6, 6))
    for shape, hint in [
        ((8, 36), r"reshape to \(8, 1, 6, 6\)"),
        ((8, 6, 6), r"add the channel axis"),
        ((8, 6, 6, 1), r"channels come first; permute to \(8, 1, 6, 6\)"),
        ((8, 1, 1, 1), "MaxPool2d: expected a padded image"),
    ]:
        text = rf"^predict: expected x of shape \(N, 1, 6, 6\), got {re.escape(str(shape))}: {hint}"
        with pytest.raises(ShapeError, match=text):
            model.predict(np.ones(shape, "float32"))


def test_numbers_for_a_layer_that_takes_rows():
    model = Sequential(Linear(4, 2))
    with pytest.raises(ShapeError, match=r"^predict: expected x of shape \(N, 4\), got \(8, 2, 2\): put Flatten"):
        model.predict(np.ones((8, 2, 2), "float32"))
    with pytest.raises(ShapeError, match=r"^predict: expected x of shape \(N, 4\), got \(8, 3\): Linear\(3, 2\) would"):
        model.predict(np.ones((8, 3), "float32"))


def test_a_loss_that_is_no_number_is_one_warning_in_the_log_of_each_run(caplog):
    x, y = digits(n=8)
    text = "fit: the loss of epoch 1 is nan: look for NaN and infinity in x and y, or take a smaller learning rate"
    model = small_net()
    for _ in range(2):
        with np.errstate(all="ignore"):
            model.fit(np.full_like(x, np.nan), y, epochs=3, verbose=0, on_nonfinite="ignore")
        assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [("xpcnn", "WARNING", text)]
        caplog.clear()
    small_net().fit(x, y, verbose=0)
    assert not caplog.records


def test_terminate_on_nan_gives_the_only_warning(caplog):
    x, y = digits(n=8)
    with np.errstate(all="ignore"):
        small_net().fit(np.full_like(x, np.nan), y, epochs=3, verbose=0, callbacks=[TerminateOnNaN()])
    (record,) = caplog.records
    assert record.getMessage() == (
        "TerminateOnNaN: the loss is no number by batch 1 of epoch 1: "
        "look for NaN and infinity in x and y, or take a smaller learning rate"
    )


def test_the_warning_is_seen_where_nobody_has_set_logging_up():
    code = (
        "import numpy as np, xpcnn; m = xpcnn.Sequential(xpcnn.Linear(2, 2));"
        "x, y = np.full((2, 2), np.nan, 'float32'), np.zeros(2, 'int64');"
        "m.fit(x, y, epochs=2, verbose=0, on_nonfinite='ignore')"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.stderr.startswith("fit: the loss of epoch 1 is nan: ")
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


def test_verbose_may_be_true_or_false(capsys):
    x, y = digits(n=8)
    small_net().fit(x, y, verbose=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["fit", "evaluate", "predict", "predict_proba", "explain_step"])
def test_an_unknown_argument_is_of_a_method_of_model(name):
    """Python's own error names the function, which must not be of a class that nobody has seen."""
    x, y = digits(n=2)
    with pytest.raises(TypeError, match=rf"^Model\.{name}\(\) got an unexpected keyword argument 'lr'"):
        getattr(small_net(), name)(x, *([] if name.startswith("predict") else [y]), lr=0.1)
