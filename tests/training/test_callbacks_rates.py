"""Callbacks that change the learning rate, average the weights or end the run."""

import itertools

import numpy as np
import pytest

from tests.training.helpers import digits, same, small_net, weights
from xpcnn import (
    Callback,
    EarlyStopping,
    ExponentialMovingAverage,
    Flatten,
    LearningRateScheduler,
    Linear,
    ReduceLROnPlateau,
    Sequential,
    TerminateOnNaN,
    TimeLimit,
    Trainer,
    optimizers,
)
from xpcnn.errors import ConfigError
from xpcnn.training.callbacks import stopping


def rates(values, lr=1.0, optimizer=None, **options):
    """The learning rate after each of some made-up figures."""
    trainer = Trainer(small_net(), optimizer=optimizer or optimizers.SGD(lr=lr))
    callback = ReduceLROnPlateau("loss", **options)
    callback.set_trainer(trainer)
    callback.set_params({"metrics": ["loss"]})
    callback.on_train_begin({})
    found = []
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"loss": value})
        found.append(trainer.optimizer.lr)
    return found


@pytest.mark.parametrize(
    ("options", "values", "expected"),
    [  # by reading Keras' rule with a pencil
        ({"patience": 2}, [3, 2, 2, 2, 2, 2], [1, 1, 1, 0.1, 0.1, 0.01]),
        ({"patience": 1, "factor": 0.5}, [3, 4, 2, 4], [1, 0.5, 0.5, 0.25]),
        ({"patience": 0, "factor": 0.5}, [3, 4, 4], [1, 0.5, 0.25]),
        ({"patience": 1, "factor": 0.5, "cooldown": 2}, [3, 4, 4, 4, 4, 4], [1, 0.5, 0.5, 0.25, 0.25, 0.125]),
        ({"patience": 1, "factor": 0.5, "min_lr": 0.3}, [3, 4, 4, 4], [1, 0.5, 0.3, 0.3]),
        ({"patience": 1, "factor": 0.5, "min_lr": 2.0}, [3, 4], [1, 1]),
        ({"patience": 1, "factor": 0.5, "mode": "max"}, [3, 4, 4], [1, 1, 0.5]),
        ({"patience": 1, "factor": 0.5, "min_delta": 0.5}, [3, 2.6, 2.4], [1, 0.5, 0.5]),
        ({"patience": 1, "factor": 0.5}, [3, float("nan"), 2], [1, 0.5, 0.5]),
        ({"patience": 1, "factor": 0.5}, [3, 3 - 1e-5, 2], [1, 0.5, 0.5]),
    ],
)
def test_the_rate_falls_when_the_figure_does_not(options, values, expected):
    np.testing.assert_allclose(rates(values, **options), expected, rtol=1e-12)


def test_every_group_keeps_its_own_rate():
    inner = optimizers.ParamGroups({"*.bias": {"lr": 0.5}}, rest=optimizers.SGD(lr=1.0))
    for optimizer in (inner, optimizers.Accumulate(inner, every=2)):
        rates([1, 1], optimizer=optimizer, patience=1, factor=0.5)
    assert [one.lr for one in inner.optimizers] == [0.125, 0.25]


def test_a_scheduler_sets_the_rate_of_each_epoch():
    x, y = digits(n=6)
    seen = []

    class Look(Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.trainer.optimizer.lr)

    calls = LearningRateScheduler(lambda epoch, lr: lr if epoch < 2 else lr / 2)
    small_net().fit(x, y, epochs=4, optimizer=optimizers.SGD(lr=0.8), callbacks=[calls, Look()], verbose=0)
    assert seen == [0.8, 0.8, 0.4, 0.2]
    wrong = LearningRateScheduler(lambda epoch, lr: float("nan"))
    with pytest.raises(ConfigError, match="LearningRateScheduler: expected the learning rate to be a finite"):
        small_net().fit(x, y, callbacks=[wrong], verbose=0)


@pytest.mark.parametrize(
    "callback", [ReduceLROnPlateau("loss"), LearningRateScheduler(lambda epoch, lr: lr)], ids=["plateau", "scheduler"]
)
def test_a_schedule_of_the_optimizer_is_not_overruled(callback):
    x, y = digits(n=6)
    model = small_net()
    before = weights(model)
    with pytest.raises(ConfigError, match=r"an optimizer whose lr is a number, got the schedule StepLR"):
        model.fit(x, y, optimizer=optimizers.SGD(lr=optimizers.StepLR(0.1, 3)), callbacks=[callback], verbose=0)
    assert same(before, weights(model))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ReduceLROnPlateau(factor=1.0), "factor to be"),
        (lambda: ReduceLROnPlateau(patience=-1), "patience to be"),
        (lambda: ReduceLROnPlateau(cooldown=-1), "cooldown to be"),
        (lambda: ReduceLROnPlateau(min_lr=-1.0), "min_lr to be"),
        (lambda: ReduceLROnPlateau(min_delta=-1.0), "ReduceLROnPlateau: expected min_delta to be"),
        (lambda: ReduceLROnPlateau(mode="up"), "ReduceLROnPlateau: expected mode to be"),
        (lambda: LearningRateScheduler(0.1), r"expected a function \(epoch, lr\) -> lr, got 0.1"),
        (lambda: TerminateOnNaN(every=0), "every to be"),
        (lambda: TimeLimit(0), "limit to be a finite number > 0"),
        (lambda: TimeLimit("90"), "'HH:MM:SS' or 'DD:HH:MM:SS', got '90'"),
        (lambda: TimeLimit("00:61:00"), "got '00:61:00'"),
        (lambda: TimeLimit("00:00:00"), "got '00:00:00'"),
        (lambda: TimeLimit("1:-2:00"), "got '1:-2:00'"),
        (lambda: TimeLimit("1:24:00:00"), "got '1:24:00:00'"),
        (lambda: ExponentialMovingAverage(2.0), "decay to be"),
        (lambda: ExponentialMovingAverage(0.9, keep="yes"), "keep to be"),
    ],
)
def test_settings_without_sense_are_refused(make, text):
    with pytest.raises(ConfigError, match=text):
        make()


def test_a_figure_that_the_run_does_not_have_is_refused_before_the_first_step():
    x, y = digits(n=6)
    with pytest.raises(ConfigError, match=r"ReduceLROnPlateau: .*got 'val_loss': pass validation_data"):
        small_net().fit(x, y, callbacks=[ReduceLROnPlateau()], verbose=0)


# The end of a run.


class Batches(Callback):
    """Counts the batches, and spoils the weights in one of them."""

    def __init__(self, spoil=None):
        self.count, self.spoil = 0, spoil

    def on_train_batch_begin(self, batch, logs=None):
        if self.count == self.spoil:
            self.model.params["6.bias"][...] = np.nan
        self.count += 1


def test_nan_ends_the_run_at_its_batch_on_the_cpu(caplog):
    x, y = digits(n=24)
    batches, callback = Batches(spoil=7), TerminateOnNaN()
    with np.errstate(all="ignore"):
        history = small_net().fit(x, y, epochs=5, batch_size=4, callbacks=[batches, callback], verbose=0)
    assert (callback.stopped_epoch, callback.stopped_batch, batches.count, history.epoch) == (1, 1, 8, [0, 1])
    assert "TerminateOnNaN: the loss is no number by batch 2 of epoch 2" in caplog.text


@pytest.mark.parametrize(("every", "seen"), [(4, 3), (50, 5)])
def test_nan_is_found_later_where_each_look_waits(every, seen, monkeypatch):
    monkeypatch.setattr(stopping, "is_host", lambda a: False)
    x, y = digits(n=24)
    batches, callback = Batches(spoil=1), TerminateOnNaN(every=every)
    with np.errstate(all="ignore"):
        small_net().fit(x, y, epochs=5, batch_size=4, callbacks=[batches, callback], verbose=0)
    assert (callback.stopped_epoch, callback.stopped_batch, batches.count) == (0, seen, seen + 1)


def test_a_run_without_nan_goes_on():
    x, y = digits(n=8)
    callback = TerminateOnNaN(every=1)
    assert small_net().fit(x, y, epochs=2, callbacks=[callback], verbose=0).epoch == [0, 1]
    assert callback.stopped_epoch is None


def test_time_runs_out_in_the_middle_of_an_epoch(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(stopping.time, "monotonic", lambda: float(next(ticks)))
    x, y = digits(n=24)
    batches, callback = Batches(), TimeLimit(9)  # begins at 0; six looks in the first epoch, one at its end
    history = small_net().fit(x, y, epochs=5, batch_size=4, callbacks=[batches, callback], verbose=0)
    assert (batches.count, callback.stopped_epoch, history.epoch) == (8, 1, [0, 1])


@pytest.mark.parametrize(("text", "seconds"), [("00:00:05", 5), ("100:01:01", 360061), ("02:01:00:00", 176400)])
def test_times_are_read_as_clocks_write_them(text, seconds):
    assert TimeLimit(text).seconds == seconds


# Averages and accumulated gradients.


@pytest.mark.parametrize("first", [True, False])
def test_averages_are_evaluated_and_kept_and_training_goes_on_with_its_own_weights(first):
    x, y = digits(n=20)
    plain, averaged = small_net(), small_net()
    sgd, own = {"optimizer": "sgd", "epochs": 3, "batch_size": 8, "verbose": 0}, optimizers.EMA(0.5)
    seen, held = [], []

    class ByHand(Callback):
        def on_train_batch_end(self, batch, logs=None):
            own.update(self.model)

        def on_epoch_end(self, epoch, logs=None):
            with own.applied(self.model):
                seen.append((self.model.evaluate(x, y), weights(self.model)))

    class Look(Callback):
        def on_epoch_end(self, epoch, logs=None):
            held.append(({"loss": logs["val_loss"], "accuracy": logs["val_accuracy"]}, weights(self.model)))

    one = plain.fit(x, y, callbacks=[ByHand()], **sgd).history
    average = ExponentialMovingAverage(0.5)
    callbacks = [average, Look()] if first else [Look(), average]
    two = averaged.fit(x, y, validation_data=(x, y), callbacks=callbacks, **sgd).history
    assert one["loss"] == two["loss"], "the steps are those without averages"
    assert all(a == c and same(b, d) for (a, b), (c, d) in zip(seen, held, strict=True))
    assert same(weights(averaged), seen[-1][1])


@pytest.mark.parametrize("validation", [False, True])
def test_averages_are_over_the_steps_of_accumulated_gradients_not_over_their_batches(validation):
    x, y = digits(n=12)
    small, large = (Sequential(Flatten(), Linear(36, 3)) for _ in range(2))
    options = {"epochs": 2, "shuffle": False, "verbose": 0, **({"validation_data": (x, y)} if validation else {})}
    one, two = ExponentialMovingAverage(0.5), ExponentialMovingAverage(0.5)
    # two steps an epoch: one of eight samples, and one of the four that are left
    small.fit(
        x, y, batch_size=4, optimizer=optimizers.Accumulate(optimizers.SGD(0.1), every=2), callbacks=[one], **options
    )
    large.fit(x, y, batch_size=8, optimizer=optimizers.SGD(0.1), callbacks=[two], **options)
    assert one.ema.steps == two.ema.steps == 4
    for name, a in two.ema.state.items():
        np.testing.assert_allclose(one.ema.state[name], a, rtol=1e-4, atol=1e-6)


def test_averages_may_be_left_out_of_the_model():
    x, y = digits(n=12)
    a, b = small_net(), small_net()
    average = ExponentialMovingAverage(optimizers.EMA(0.9), keep=False)
    for options in ({}, {"validation_data": (x, y)}):
        a.fit(x, y, batch_size=4, callbacks=[average], verbose=0, **options)
        b.fit(x, y, batch_size=4, verbose=0, **options)
        assert same(weights(a), weights(b))
    assert average.ema.steps == 6


def test_averages_end_in_the_model_without_validation_too():
    x, y = digits(n=12)
    model, average = small_net(), ExponentialMovingAverage(0.9)
    model.fit(x, y, batch_size=4, callbacks=[average], verbose=0)
    assert all(np.array_equal(model.params[name], a) for name, a in average.ema.state.items())


def test_the_best_weights_of_early_stopping_are_the_averages_that_were_judged():
    x, y = digits(n=20)
    kept = []

    class Look(Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept.append(weights(self.model))

    stopping = EarlyStopping(patience=9, restore_best_weights=True, mode="max", monitor="val_loss")
    model = small_net()
    callbacks = [ExponentialMovingAverage(0.5), stopping, Look()]
    model.fit(x, y, epochs=4, batch_size=8, validation_data=(x, y), callbacks=callbacks, verbose=0)
    assert same(weights(model), kept[stopping.best_epoch])


def test_own_weights_come_back_after_an_error():
    x, y = digits(n=12)
    plain, broken = small_net(), small_net()

    class Broken(Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyError("mine")

    plain.fit(x, y, batch_size=4, verbose=0)
    callbacks = [ExponentialMovingAverage(0.9), Broken()]
    with pytest.raises(KeyError):
        broken.fit(x, y, batch_size=4, validation_data=(x, y), callbacks=callbacks, verbose=0)
    assert same(weights(plain), weights(broken))


def test_accumulated_gradients_do_not_wait_for_the_next_epoch():
    x, y = digits(n=12)
    a, b = small_net(dropout=0.0), small_net(dropout=0.0)
    optimizer = optimizers.Accumulate(optimizers.SGD(lr=0.1), every=2)
    a.fit(x, y, epochs=2, batch_size=4, optimizer=optimizer, verbose=0)
    assert optimizer.waiting == 0 and optimizer.steps == 4
    trainer, by_hand = Trainer(b, optimizer=optimizers.SGD(lr=0.1)), optimizers.Accumulate(optimizers.SGD(lr=0.1), 2)
    trainer.optimizer = by_hand
    from xpcnn.data import batches

    for epoch in range(2):
        for pair in batches(x, y, 4, epoch=epoch):
            trainer.step(*pair)
        by_hand.flush(b.params)
    assert same(weights(a), weights(b))


def test_a_callback_of_keras_kind_need_not_have_every_method():
    x, y = digits(n=6)

    class Foreign:
        seen = 0

        def set_model(self, model):
            self.model = model

        def set_params(self, params):
            self.params = params

        def on_epoch_end(self, epoch, logs=None):
            self.seen += 1

    foreign = Foreign()
    small_net().fit(x, y, callbacks=[foreign], validation_data=(x, y), verbose=0)
    assert foreign.seen == 1
