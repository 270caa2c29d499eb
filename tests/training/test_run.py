"""Runs that fail: the error comes out as it was raised, everything is closed, and the last checkpoint is whole."""

import logging
import os
import threading
import traceback

import numpy as np
import pytest

import xpcnn
from tests.training.helpers import digits, same, small_net, weights
from tests.training.test_checkpoint import averages, outcome, train
from tests.training.test_interrupts import EVENTS, calling
from xpcnn import Callback, Trainer
from xpcnn.data import batches, prefetch
from xpcnn.training import ModelCheckpoint
from xpcnn.training.callbacks import CallbackList


class Broken(Exception):
    pass


def breaks():
    raise Broken("here")


class Closes(Callback):
    def __init__(self, log, name, fails=False):
        self.log, self.name, self.fails = log, name, fails

    def close(self):
        self.log.append(self.name)
        if self.fails:
            raise Broken(self.name)


def short(*callbacks, model=None, **options):
    x, y = digits(n=20)
    return (model or small_net()).fit(x, y, epochs=2, batch_size=8, verbose=0, callbacks=list(callbacks), **options)


@pytest.mark.parametrize("event", [*EVENTS, "close"])
def test_an_error_of_a_callback_comes_out_with_its_traceback_and_the_run_goes_on_from_its_checkpoint(event, tmp_path):
    (tmp_path / "straight").mkdir()
    (tmp_path / "run").mkdir()
    wanted = outcome(*train(averages, tmp_path / "straight"), tmp_path / "straight")
    threads, closed = set(threading.enumerate()), []
    at = 1 if event in ("on_train_begin", "on_train_end", "close") else 2
    with pytest.raises(Broken, match="here") as error:
        train(averages, tmp_path / "run", calling(event, at, breaks), Closes(closed, "last"))
    assert traceback.extract_tb(error.tb)[-1].name == "breaks"
    assert error.value.__cause__ is error.value.__context__ is None
    assert set(threading.enumerate()) == threads
    assert closed == ["last"]
    for path in (tmp_path / "run").rglob("*.safetensors"):
        xpcnn.load(path)
    assert not list((tmp_path / "run").rglob("*.tmp"))
    assert outcome(*train(averages, tmp_path / "run", resume=tmp_path / "run"), tmp_path / "run") == wanted


def test_all_are_closed_where_one_cannot_be_and_the_first_error_comes_out(caplog):
    closed = []
    with pytest.raises(Broken, match="b"), caplog.at_level(logging.ERROR, logger="xpcnn"):
        short(*(Closes(closed, name, fails=name != "a") for name in "abc"))
    assert closed == ["a", "b", "c"]
    assert ["a callback could not be closed: Broken('c')" in one.message for one in caplog.records] == [True]
    assert caplog.records[0].exc_info


def test_an_error_of_closing_does_not_hide_that_of_the_run(caplog):
    closed = []
    failing = calling("on_train_batch_end", 1, lambda: [].index(7))
    with pytest.raises(ValueError, match="7 is not in list"), caplog.at_level(logging.ERROR, logger="xpcnn"):
        short(failing, Closes(closed, "a", fails=True), Closes(closed, "b"))
    assert closed == ["a", "b"]
    assert ["Broken('a')" in one.message for one in caplog.records] == [True]


def test_an_error_in_a_thread_that_makes_batches_comes_out_with_its_traceback_and_the_thread_ends():
    x, y = digits(n=20)
    threads = set(threading.enumerate())

    def made():
        for number, batch in enumerate(batches(x, y, batch_size=8, seed=0)):
            if number == 2:
                breaks()
            yield batch

    trainer, other = (Trainer(small_net(), optimizer="momentum") for _ in range(2))
    with pytest.raises(Broken, match="here") as error:
        for batch in prefetch(made()):
            trainer.step(*batch)
    assert [frame.name for frame in traceback.extract_tb(error.tb)][-2:] == ["made", "breaks"]
    for batch in list(batches(x, y, batch_size=8, seed=0))[:2]:
        other.step(*batch)
    assert same(weights(trainer.model), weights(other.model))
    for thread in set(threading.enumerate()) - threads:
        thread.join(20)
    assert set(threading.enumerate()) <= threads


def test_what_augmentation_raises_leaves_the_model_where_the_last_step_left_it():
    from xpcnn.data.augment import Transform

    calls = []

    class Fails(Transform):
        def images(self, x, u):
            calls.append(1)
            if len(calls) == 3:  # the first is a trial, before the first step
                breaks()
            return x

    model, other = small_net(), small_net()
    with pytest.raises(Broken) as error:
        short(model=model, augment=Fails())
    assert traceback.extract_tb(error.tb)[-1].name == "breaks"
    stop = calling("on_train_batch_end", 1, lambda: setattr(other, "stop_training", True))
    short(stop, model=other)
    assert same(weights(model), weights(other)) and model.step == other.step == 1


def test_a_failed_run_can_be_run_again_on_the_same_model():
    model, other = small_net(), small_net()
    for one in (model, other):
        with pytest.raises(Broken):
            short(calling("on_train_batch_end", 2, breaks), model=one)
    assert short(model=model).history == short(model=other).history


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_nothing_is_left_open_by_runs_that_end_and_runs_that_fail(tmp_path):
    short(ModelCheckpoint(tmp_path / "first"))
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for number in range(6):
        keeper = ModelCheckpoint(tmp_path / str(number), every_steps=1)
        if number % 2:
            with pytest.raises(Broken):
                short(keeper, calling("on_checkpoint", 3, breaks))
        else:
            short(keeper)
    assert len(os.listdir("/proc/self/fd")) == files
    assert threading.active_count() == threads


def test_runs_in_two_threads_are_those_of_one_and_their_checkpoints_too(tmp_path):
    def run(name, seed):
        folder = tmp_path / name
        short(ModelCheckpoint(folder, every_steps=1), model=small_net(seed=seed), optimizer="momentum")
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    alone = [run(f"alone-{seed}", seed) for seed in range(2)]
    found, barrier = {}, threading.Barrier(2, timeout=60)

    def work(seed):
        barrier.wait()
        found[seed] = run(f"together-{seed}", seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [found[seed] for seed in range(2)] == alone
    assert alone[0] != alone[1]


def test_position_counts_on_in_a_run_that_goes_on(tmp_path):
    seen = []
    short(ModelCheckpoint(tmp_path), model=small_net())
    x, y = digits(n=20)
    trainer = Trainer(small_net(), optimizer="adam")
    see = Callback()
    see.on_train_batch_end = lambda batch, logs: seen.append((batch, trainer.steps))
    trainer.fit(x, y, epochs=3, batch_size=8, verbose=0, callbacks=[see, ModelCheckpoint(tmp_path)], resume=tmp_path)
    assert seen == [(0, 7), (1, 8), (2, 9)]
    assert np.isfinite(weights(trainer.model)["6.weight"]).all()


def test_a_run_that_goes_on_with_other_numbers_of_threads_ends_in_the_same_bytes(tmp_path):
    before = xpcnn.get_num_threads()
    try:
        found = []
        for first, second in ((1, 1), (2, 8), (8, 2)):
            folder = tmp_path / f"{first}-{second}"
            folder.mkdir()
            xpcnn.set_num_threads(first)
            with pytest.raises(Broken):
                train(averages, folder, calling("on_checkpoint", 6, breaks))
            xpcnn.set_num_threads(second)
            found.append(outcome(*train(averages, folder, resume=folder), folder))
    finally:
        xpcnn.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("event", ["on_train_batch_begin", "on_train_batch_end", "on_checkpoint"])
def test_whoever_may_change_something_between_two_steps_is_known(event):
    trainer = Trainer(small_net())
    plain = CallbackList([Callback(), ModelCheckpoint("kept")], trainer, {})
    assert not plain.listens_to_steps()
    own = type("Own", (Callback,), {event: lambda self, *args: None})
    assert CallbackList([own()], trainer, {}).listens_to_steps()
