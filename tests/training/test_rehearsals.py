"""overfit_batches, dry_run and the search for a learning rate: runs that are not meant to stay."""

import sys

import numpy as np
import pytest

from tests.namespaces import bits
from tests.training.helpers import digits, same, small_net, weights
from xpcnn import Callback, EarlyStopping, Linear, Sequential, Trainer, lr_find, optimizers
from xpcnn.backend import to_numpy
from xpcnn.errors import ConfigError, LabelError, ShapeError
from xpcnn.training.callbacks import ExponentialMovingAverage, LearningRateScheduler
from xpcnn.training.lr_finder import steepest


def state(optimizer):
    """Everything an optimizer holds, as bytes and plain values."""
    found, inner = {}, getattr(optimizer, "optimizers", [getattr(optimizer, "optimizer", optimizer)])
    for i, one in enumerate(inner):
        for name, slots in one.state.items():
            found |= {f"{i}/{name}/{key}": value for key, value in bits(slots).items()}
        found |= {f"{i}/steps": one.steps, f"{i}/lr": one.lr}
    found["waiting"] = getattr(optimizer, "waiting", None)
    return found


OPTIMIZERS = {
    "adam": lambda: optimizers.Adam(lr=0.01),
    "schedule": lambda: optimizers.SGD(lr=optimizers.StepLR(0.1, 2), momentum=0.9),
    "accumulate": lambda: optimizers.Accumulate(optimizers.Adam(lr=0.01), every=2),
    "groups": lambda: optimizers.ParamGroups({"*.bias": {"lr": 0.5}}, rest=optimizers.SGD(lr=0.1, momentum=0.9)),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("what", ["dry run", "lr_find"])
def test_model_and_optimizer_are_afterwards_what_they_were_to_the_bit(make, what, space):
    x, y = digits(n=20)
    model = small_net().to(like=space.asarray([0.0], "float32"))
    trainer = Trainer(model, optimizer=make())
    trainer.fit(x, y, batch_size=7, verbose=0)
    before = bits(model.state_dict()), model.step, state(trainer.optimizer)
    inside = []

    class Look(Callback):
        def on_train_end(self, logs=None):
            inside.append((bits(model.state_dict()), model.step, state(trainer.optimizer)))

    if what == "dry run":
        trainer.fit(x, y, epochs=5, batch_size=4, validation_data=(x, y), callbacks=[Look()], dry_run=True, verbose=0)
        assert inside[0][0] != before[0] and inside[0][1] == before[1] + 1 and inside[0][2] != before[2]
    else:
        assert len(lr_find(trainer, x, y, batch_size=4, steps=7, end=1e-3).losses) == 7
    assert (bits(model.state_dict()), model.step, state(trainer.optimizer)) == before
    again = Trainer(small_net().to(like=space.asarray([0.0], "float32")), optimizer=make())
    for _ in range(2):
        again.fit(x, y, batch_size=7, verbose=0)
    trainer.fit(x, y, batch_size=7, verbose=0)
    assert bits(model.state_dict()) == bits(again.model.state_dict()), "and goes on as if nothing had been"


def test_a_dry_run_calls_everything_once_and_says_so(capsys):
    x, y = digits(n=20)
    events = []

    class Diary(Callback):
        def __getattribute__(self, name):
            if name.startswith("on_") or name == "close":
                events.append(name)
            return super().__getattribute__(name)

    model = small_net()
    history = model.fit(x, y, epochs=9, batch_size=4, validation_split=0.5, callbacks=[Diary()], dry_run=True)
    names = "train_begin epoch_begin train_batch_begin train_batch_end test_begin test_end epoch_end train_end"
    events.remove("on_epoch_end")  # asked for when the callback is checked
    assert events == [*(f"on_{name}" for name in names.split()), "close"]
    assert history.epoch == [0] and set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert "dry run" in capsys.readouterr().out and model.step == 0
    model.fit(x, y, batch_size=4)
    assert "dry run" not in capsys.readouterr().out


def test_a_dry_run_restores_after_an_error_and_what_callbacks_average(capsys):
    x, y = digits(n=8)
    model, average = small_net(), ExponentialMovingAverage(0.5)
    before = weights(model)

    class Broken(Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyError("mine")

    sgd = optimizers.SGD(lr=0.1)
    with pytest.raises(KeyError):
        Trainer(model, optimizer=sgd).fit(x, y, callbacks=[average, Broken()], dry_run=True, verbose=0)
    assert same(before, weights(model)) and model.step == 0 and sgd.steps == 0
    assert average.ema.steps == 0 and not average.ema.state
    model.fit(x, y, callbacks=[LearningRateScheduler(lambda e, lr: 9.0)], optimizer=sgd, dry_run=True, verbose=0)
    assert sgd.lr == 0.1


def test_overfitting_takes_the_first_batches_in_their_order_for_both():
    x, y = digits(n=20)
    a, b = small_net(dropout=0.0), small_net(dropout=0.0)
    other = (x[::-1].copy(), y)
    one = a.fit(x, y, epochs=3, batch_size=4, overfit_batches=2, validation_data=other, verbose=0).history
    first = x[:8], y[:8]
    two = b.fit(*first, epochs=3, batch_size=4, validation_data=first, shuffle=False, verbose=0).history
    assert one == two and same(weights(a), weights(b))
    assert a.fit(x, y, batch_size=8, overfit_batches=99, verbose=0).epoch == [0]


def test_learning_by_heart():
    x, y = digits(n=40)
    noise = np.random.Generator(np.random.Philox(0)).random(x.shape, dtype="float32")
    model = small_net(dropout=0.0)
    adam = optimizers.Adam(lr=0.02)
    history = model.fit(noise, y, epochs=40, batch_size=4, overfit_batches=2, optimizer=adam, verbose=0).history
    assert history["val_accuracy"][-1] == 1.0


# The learning rate.


def test_rates_grow_by_a_constant_factor_and_losses_are_the_batches():
    x, y = digits(n=12)
    model = small_net(dropout=0.0, dtype="float64", seed=2)
    finding = lr_find(model, x, y, start=1e-5, end=1e-1, steps=5, batch_size=6, optimizer="sgd", smoothing=0.0)
    np.testing.assert_allclose(finding.rates, [1e-5, 1e-4, 1e-3, 1e-2, 1e-1], rtol=1e-12)
    assert finding.losses == finding.smoothed and not finding.diverged
    assert repr(finding) == f"LRFinding(suggestion={finding.suggestion}, diverged=False)"
    by_hand = Trainer(small_net(dropout=0.0, dtype="float64", seed=2), optimizer=optimizers.SGD(lr=1.0))
    from xpcnn.data import batches

    order = [pair for epoch in range(3) for pair in batches(x.astype("float64"), y, 6, seed=2, epoch=epoch)]
    for rate, loss, pair in zip(finding.rates, finding.losses, order, strict=False):
        by_hand.optimizer.lr = rate
        assert float(by_hand.step(*pair)) == loss


def test_the_running_mean_is_corrected_at_its_beginning():
    x, y = digits(n=12)
    finding = lr_find(small_net(), x, y, end=1e-2, steps=4, smoothing=0.75)
    w = np.asarray([[0.75 ** (i - j) if j <= i else 0.0 for j in range(4)] for i in range(4)])
    np.testing.assert_allclose(finding.smoothed, w @ finding.losses / w.sum(axis=1), rtol=1e-12)


def test_the_sweep_ends_where_the_loss_diverges():
    x = np.linspace(-1, 1, 16).reshape(-1, 1)
    model = Sequential(Linear(1, 1), dtype="float64")
    sgd = optimizers.SGD(lr=0.1)
    finding = lr_find(Trainer(model, "mse", sgd), x, 3 * x, batch_size=16, end=1e6, steps=200, smoothing=0.5)
    assert finding.diverged and len(finding.losses) < 200 and sgd.lr == 0.1
    # gradient descent on 2 var(x) / 2 (w - 3)^2 is stable up to 2 / (2 var(x))
    limit = 1.0 / float(np.mean(x**2))
    assert 0.01 < finding.suggestion < limit < finding.rates[-1] * 100
    with np.errstate(all="ignore"):
        nan = lr_find(Trainer(model, "mse", sgd), np.full_like(x, np.nan), x, steps=9)
    assert nan.diverged and nan.losses == [] and nan.suggestion is None


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([4.0, 3.0, 0.0, 5.0], 1),
        ([5.0, 4.9, 4.0, 2.0, 1.9, 1.0, 0.9, 9.0, 0.95], 2),
        ([1.0, 2.0, 3.0, 4.0], None),
        ([1.0, 1.0, 1.0], None),
        ([3.0, 2.0], None),
        ([], None),
    ],
)
def test_the_suggestion_is_where_the_loss_falls_fastest_before_its_minimum(losses, expected):
    rates = [10.0**i for i in range(len(losses))]
    assert steepest(rates, losses) == (None if expected is None else rates[expected])


def test_the_search_refuses_what_makes_no_sense():
    x, y = digits(n=9)
    for options, text in [
        ({"start": 0.0}, "start to be a finite number > 0"),
        ({"start": 1.0, "end": 0.5}, "end to be a finite number > 1"),
        ({"steps": 2}, "steps to be an integer of at least 3"),
        ({"smoothing": 1.0}, "smoothing to be"),
        ({"diverge": 1.0}, "diverge to be"),
        ({"batch_size": 0}, "batch_size to be"),
    ]:
        with pytest.raises(ConfigError, match=f"lr_find: expected {text}"):
            lr_find(small_net(), x, y, **options)
    with pytest.raises(ConfigError, match="got loss beside a Trainer"):
        lr_find(Trainer(small_net()), x, y, loss="mse")
    with pytest.raises(ConfigError, match="lr_find: expected a Trainer, or a model with loss"):
        lr_find(Linear(2, 2), x, y)
    with pytest.raises(LabelError):
        lr_find(small_net(), x, y + 3)
    with pytest.raises(ShapeError):
        lr_find(small_net(), x[:, 0], y)


def test_the_plot_needs_matplotlib_and_says_so(monkeypatch, tmp_path):
    x, y = digits(n=9)
    finding = lr_find(small_net(), x, y, steps=5)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"matplotlib, got none: pip install 'xpcnn\[plot\]'"):
        finding.plot(tmp_path / "rates.png")


def test_the_plot_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'xpcnn[plot]'")
    x, y = digits(n=9)
    finding = lr_find(small_net(), x, y, steps=20)
    finding.plot(tmp_path / "rates.png")
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match=r"rates.docx cannot be written"):
        finding.plot(tmp_path / "rates.docx")


def test_early_stopping_does_not_outlive_a_dry_run():
    x, y = digits(n=8)
    model = small_net()
    before = weights(model)
    stopping = EarlyStopping("loss", restore_best_weights=True)
    model.fit(x, y, callbacks=[stopping], dry_run=True, verbose=0)
    assert same(before, weights(model))
    assert to_numpy(model.params["6.bias"]).tolist() == [0.0] * 3
