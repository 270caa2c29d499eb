"""SIGINT and SIGTERM at any moment of a run: the step is finished, the run is saved, and goes on with the same bits."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.training.helpers import digits, same, small_net, weights
from tests.training.test_checkpoint import averages, outcome, train
from xpcnn import Callback, atomic
from xpcnn.errors import TrainingDiverged
from xpcnn.optimizers import SGD
from xpcnn.training import ModelCheckpoint
from xpcnn.training.interrupts import Interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

ENDS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SystemExit}
EVENTS = [
    "on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end", "on_test_begin", "on_test_end",
    "on_epoch_end", "on_checkpoint", "on_train_end",
]  # fmt: skip


@pytest.fixture(autouse=True)
def handlers():
    """As Python sets them, whatever runs the tests; and the same ones afterwards."""
    before = {number: signal.getsignal(number) for number in ENDS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    try:
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def after(number, do):
    """A function that does something at its call of this number."""
    calls = iter(range(1, 10**9))

    def called(*args, **options):
        if next(calls) == number:
            do()

    return called


def calling(event, at, do):
    """A callback that does something at an event."""
    callback, count = Callback(), after(at, do)
    setattr(callback, event, count)
    return callback


def short(model=None, **options):
    x, y = digits(n=20)
    options = {"epochs": 2, "batch_size": 8, "verbose": 0, "optimizer": "sgd", **options}
    return (model or small_net()).fit(x, y, **options)


def undisturbed(**options):
    """A run that must not end before its time; pytest itself would end by a KeyboardInterrupt."""
    try:
        return short(**options)
    except (KeyboardInterrupt, SystemExit) as error:
        pytest.fail(f"ended by {error!r}")


def ends_of(number, folder, *more, every=None):
    """A run that a signal ends, and the bytes of it when it has gone on, and of one that was left alone."""
    (folder / "straight").mkdir()
    quiet = ModelCheckpoint(folder / "none", every_epochs=None, best=False)
    wanted = outcome(*train(averages, folder / "straight", quiet, every=every), folder / "straight")
    keeper = ModelCheckpoint(folder / "checkpoints", every_epochs=None, best=False)
    with pytest.raises(ENDS[number]) as ended:
        train(averages, folder, keeper, *more, every=every)
    assert number == signal.SIGINT or ended.value.code == 143
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    left = sorted(path.name for path in (folder / "checkpoints").iterdir())
    keeper = ModelCheckpoint(folder / "checkpoints", every_epochs=None, best=False)
    return left, outcome(*train(averages, folder, keeper, resume=folder, every=every), folder), wanted


@pytest.mark.parametrize("event", EVENTS[:-1])
def test_at_every_event_the_step_is_finished_saved_and_gone_on_from(event, tmp_path):
    number = list(ENDS)[EVENTS.index(event) % 2]
    at = 1 if event == "on_train_begin" else 2
    left, found, wanted = ends_of(number, tmp_path, calling(event, at, lambda: signal.raise_signal(number)))
    # one that comes when this step was already saved, or not saved, waits for the next
    steps = {"on_train_begin": 1, "on_epoch_begin": 4, "on_train_batch_begin": 2, "on_train_batch_end": 2,
             "on_checkpoint": 3}.get(event, 6)  # fmt: skip
    assert left == [f"step-{steps:08d}.safetensors"]
    assert found == wanted


def test_while_the_last_state_is_not_saved_it_is_saved_after_all(tmp_path):
    steps = 3 * 3 + 3  # events of saving: each step and each epoch
    send = calling("on_checkpoint", steps, lambda: signal.raise_signal(signal.SIGTERM))
    left, found, wanted = ends_of(signal.SIGTERM, tmp_path, send)
    assert left == ["step-00000009.safetensors"]
    assert found == wanted


@pytest.mark.parametrize("number", ENDS)
def test_in_the_middle_of_a_step(number, tmp_path, monkeypatch):
    real, send = SGD.update, after(5, lambda: signal.raise_signal(number))

    def update(self, params, grads):
        if (tmp_path / "checkpoints").exists():  # not in the run that is left alone
            send()
        real(self, params, grads)

    monkeypatch.setattr(SGD, "update", update)
    left, found, wanted = ends_of(number, tmp_path)
    assert left == ["step-00000005.safetensors"]
    assert found == wanted


@pytest.mark.parametrize("number", ENDS)
def test_in_the_middle_of_a_save(number, tmp_path, monkeypatch):
    real, send = os.fsync, after(7, lambda: signal.raise_signal(number))

    def fsync(handle):
        if Path(f"/proc/self/fd/{handle}").resolve().is_relative_to(tmp_path / "run"):
            send()
        real(handle)

    (tmp_path / "run").mkdir()
    (tmp_path / "straight").mkdir()
    wanted = outcome(*train(averages, tmp_path / "straight"), tmp_path / "straight")
    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", fsync)
        with pytest.raises(ENDS[number]):
            train(averages, tmp_path / "run")
    assert not [path for path in (tmp_path / "run").rglob("*.tmp")]
    assert outcome(*train(averages, tmp_path / "run", resume=tmp_path / "run"), tmp_path / "run") == wanted


def test_a_second_one_in_the_middle_of_a_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    def twice():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    real, send = os.fsync, after(5, twice)

    def fsync(handle):
        send()
        real(handle)

    (tmp_path / "straight").mkdir()
    wanted = outcome(*train(averages, tmp_path / "straight"), tmp_path / "straight")
    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", fsync)
        with pytest.raises(KeyboardInterrupt):
            train(averages, tmp_path)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-00000001.safetensors", "step-00000002.safetensors",
    ]  # fmt: skip
    assert outcome(*train(averages, tmp_path, resume=tmp_path), tmp_path) == wanted


def test_both_at_once_end_in_the_middle_of_the_step_which_changes_nothing(monkeypatch):
    def both(*args):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    model, before = small_net(), weights(small_net())
    monkeypatch.setattr(SGD, "update", both)
    with pytest.raises(KeyboardInterrupt):
        short(model)
    assert same(weights(model), before) and model.step == 0


def test_the_other_way_round_the_process_ends_by_the_second():
    code = (
        "import signal, numpy as np, xpcnn\n"
        "class Both(xpcnn.Callback):\n"
        "    def on_train_batch_begin(self, batch, logs=None):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "        print('waits', flush=True)\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "        print('never', flush=True)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "m = xpcnn.Sequential(xpcnn.Linear(2, 2))\n"
        "m.fit(np.eye(2, dtype='float32'), np.zeros(2, 'int64'), verbose=0, callbacks=[Both()])\n"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "waits\n"), done.stderr


@pytest.mark.parametrize("failing", [None, "on_train_begin", "on_train_batch_end", "close"])
def test_handlers_are_what_they_were(failing):
    seen = []

    def fail():
        raise LookupError(failing)

    class Sees(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.extend(signal.getsignal(number) for number in ENDS)

    if failing is None:
        short(callbacks=[Sees()])
    else:
        with pytest.raises(LookupError):
            short(callbacks=[Sees(), calling(failing, 1, fail)])
    assert signal.default_int_handler not in seen and signal.SIG_DFL not in seen  # and afterwards see `handlers`


def test_handlers_are_what_they_were_where_the_loss_is_no_number():
    x, y = digits(n=20)
    with pytest.raises(TrainingDiverged):
        small_net().fit(np.full_like(x, np.nan), y, verbose=0)


@pytest.mark.parametrize("number", ENDS)
def test_a_handler_of_somebody_else_is_left_alone(number):
    came = []

    def own(number, frame):
        came.append(number)

    plain = signal.signal(number, own)
    try:
        history = undisturbed(callbacks=[calling("on_train_batch_end", 2, lambda: signal.raise_signal(number))])
        assert signal.getsignal(number) is own
    finally:
        signal.signal(number, plain)
    assert came == [number] and history.epoch == [0, 1]


def test_signals_that_are_ignored_stay_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a script
    try:
        history = undisturbed(callbacks=[calling("on_train_batch_end", 2, lambda: signal.raise_signal(signal.SIGINT))])
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert history.epoch == [0, 1]


def test_a_fit_inside_of_a_fit_is_ended_with_it():
    inner = []

    def fit():
        signal.raise_signal(signal.SIGTERM)
        inner.append(short())

    with pytest.raises(SystemExit) as ended:
        short(callbacks=[calling("on_train_batch_end", 1, fit)])
    assert ended.value.code == 143 and len(inner) == 1


def test_in_another_thread_nothing_is_set_and_nothing_breaks(tmp_path):
    found, seen = [], []

    def work():
        see = calling("on_train_batch_end", 1, lambda: seen.extend(signal.getsignal(number) for number in ENDS))
        found.append(short(callbacks=[see, ModelCheckpoint(tmp_path, every_steps=1)]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert seen == [signal.default_int_handler, signal.SIG_DFL]
    assert found[0].history == short().history


def test_one_that_comes_when_nobody_asks_any_more_ends_the_block():
    for number, error in ENDS.items():
        with pytest.raises(error), Interrupts() as interrupts:
            signal.raise_signal(number)
            assert interrupts.number == number
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_neither_an_error_nor_a_signal_is_lost_where_both_come(caplog):
    with pytest.raises(SystemExit) as ended, Interrupts():
        signal.raise_signal(signal.SIGTERM)
        raise LookupError("first")
    assert ended.value.code == 143 and isinstance(ended.value.__context__, LookupError)
    assert "first" in caplog.text
    with pytest.raises(LookupError), Interrupts():
        raise LookupError


def test_a_signal_when_everything_is_over_is_told_and_all_is_saved(tmp_path):
    model = small_net()
    callbacks = [ModelCheckpoint(tmp_path), calling("on_train_end", 1, lambda: signal.raise_signal(signal.SIGINT))]
    with pytest.raises(KeyboardInterrupt):
        short(model, callbacks=callbacks)
    again = small_net()
    assert short(again, callbacks=[ModelCheckpoint(tmp_path)], resume=tmp_path).epoch == [0, 1]
    assert same(weights(model), weights(again))
