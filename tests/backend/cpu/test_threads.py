"""Work spread over threads: each part once, the same bits, and nothing left behind on any way out."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tests.backend.cpu.compare import assert_same_bits, cache_of, everything, settled
from xpcnn import layers as L
from xpcnn import models
from xpcnn.backend import Key, cpu, normal
from xpcnn.backend.cpu import threads
from xpcnn.errors import ConfigError
from xpcnn.models import Sequential
from xpcnn.training import Trainer


@pytest.fixture(autouse=True)
def default_threads():
    yield
    cpu.set_num_threads(None)


@pytest.fixture(autouse=True)
def blas_as_it_was():
    """BLAS may use two threads before a test, and may do so again behind it."""
    with threadpool_limits(2, user_api="blas"):
        before = blas()
        yield
        assert blas() == before


def blas():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def alive():
    return [t for t in threading.enumerate() if t.name.startswith("xpcnn")]


def wait_until(true):
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


# How many.


def test_default_is_the_cores_that_the_process_may_use(monkeypatch):
    monkeypatch.delenv("XPCNN_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 5, 9}, raising=False)
    cpu.set_num_threads(None)
    assert cpu.get_num_threads() == 3


def test_default_without_affinity_is_all_cores(monkeypatch):
    monkeypatch.delenv("XPCNN_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for cores, threads_ in ((6, 6), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        cpu.set_num_threads(None)
        assert cpu.get_num_threads() == threads_


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("7", 7), ("1024", 1024)])
def test_environment_sets_the_default(monkeypatch, text, number):
    monkeypatch.setenv("XPCNN_NUM_THREADS", text)
    cpu.set_num_threads(None)
    assert cpu.get_num_threads() == number
    cpu.set_num_threads(3)
    assert cpu.get_num_threads() == 3
    cpu.set_num_threads(None)
    assert cpu.get_num_threads() == number


@pytest.mark.parametrize("text", ["0", "-1", "1025", "two", "2.0", " 2", "2 ", "٣", "1_0", "²"])
def test_environment_that_is_no_number_of_threads_is_refused(monkeypatch, text):
    monkeypatch.setenv("XPCNN_NUM_THREADS", text)
    cpu.set_num_threads(None)
    with pytest.raises(ConfigError, match="XPCNN_NUM_THREADS: expected an integer from 1 to 1024"):
        cpu.get_num_threads()
    monkeypatch.setenv("XPCNN_NUM_THREADS", "")
    assert cpu.get_num_threads() >= 1


@pytest.mark.parametrize("number", [0, -1, 1025, 1.5, "2", True, float("nan")])
def test_number_that_makes_no_sense_is_refused_and_changes_nothing(number):
    cpu.set_num_threads(3)
    with pytest.raises(ConfigError, match="threads"):
        cpu.set_num_threads(number)
    assert cpu.get_num_threads() == 3


# Parts.


@pytest.mark.parametrize("number", [1, 2, 3, 7])
@pytest.mark.parametrize("parts", [0, 1, 2, 5, 100])
def test_each_part_is_done_once(number, parts):
    cpu.set_num_threads(number)
    done = []
    cpu.spread(done.append, parts)
    assert sorted(done) == list(range(parts))
    if number == 1:
        assert done == list(range(parts))


def test_several_threads_work_at_the_same_time():
    cpu.set_num_threads(3)
    barrier = threading.Barrier(3, timeout=20)
    cpu.spread(lambda i: barrier.wait(), 3)  # nobody goes on before all three are here


def test_one_thread_works_in_the_caller():
    cpu.set_num_threads(1)
    seen = set()
    cpu.spread(lambda i: seen.add(threading.get_ident()), 4)
    assert seen == {threading.get_ident()}


@pytest.mark.parametrize("number", [1, 2, 4])
def test_blas_has_one_thread_in_each_part(number):
    cpu.set_num_threads(number)
    seen = []
    cpu.spread(lambda i: seen.extend(blas()), 5)
    assert set(seen) == {1}


def test_parts_inside_parts_are_done_by_the_same_thread():
    cpu.set_num_threads(3)
    seen, before = [], blas()

    def outer(i):
        mine = threading.get_ident()
        cpu.spread(lambda j: seen.append((i, j, threading.get_ident() == mine, blas() == [1] * len(before))), 4)

    cpu.spread(outer, 5)
    assert sorted(seen) == [(i, j, True, True) for i in range(5) for j in range(4)]


def test_errstate_of_the_caller_holds_in_every_thread():
    cpu.set_num_threads(3)
    barrier = threading.Barrier(3, timeout=20)
    seen = []

    def work(i):
        barrier.wait()
        seen.append(np.geterr()["invalid"])

    with np.errstate(invalid="ignore"):
        cpu.spread(work, 3)
    assert seen == ["ignore"] * 3


# Errors.


class Broken(Exception):
    pass


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("which", [0, 1, 5])
def test_exception_ends_the_work_and_the_pool_goes_on(number, which):
    cpu.set_num_threads(number)
    before, begun, failed = blas(), [], threading.Event()

    def work(i):
        begun.append(i)
        if i == which:
            failed.set()
            raise Broken(i)
        if i > which:
            assert failed.wait(20)
            time.sleep(0.01)  # until the thread that failed has said so

    with pytest.raises(Broken):
        cpu.spread(work, 100)
    count = len(begun)
    assert count < 100
    assert blas() == before
    done = []
    cpu.spread(done.append, 10)
    assert sorted(done) == list(range(10))
    assert len(begun) == count  # nobody goes on behind the caller's back


def with_a_helper(in_caller=lambda: None, in_helper=lambda: None):
    """Work for two threads: the caller's part is over first. And a list that gets the helper's, once that is over."""
    cpu.set_num_threads(2)
    caller, helping, ended = threading.get_ident(), threading.Event(), []

    def work(i):
        if threading.get_ident() == caller:
            assert helping.wait(20)
            in_caller()
            return
        helping.set()
        in_helper()
        time.sleep(0.05)
        ended.append(i)

    return work, ended


def test_exception_waits_for_the_parts_that_others_are_doing():
    def fail():
        raise Broken

    work, ended = with_a_helper(in_caller=fail)
    with pytest.raises(Broken):
        cpu.spread(work, 2)
    assert ended


def test_exception_of_a_helper_reaches_the_caller():
    cpu.set_num_threads(2)
    caller, failed = threading.get_ident(), threading.Event()

    def work(i):
        if threading.get_ident() != caller:
            failed.set()
            raise Broken("helper")
        assert failed.wait(20)

    with pytest.raises(Broken, match="helper"):
        cpu.spread(work, 4)


def test_exception_inside_nested_parts_reaches_the_caller():
    cpu.set_num_threads(2)

    def inner(j):
        if j == 2:
            raise Broken

    with pytest.raises(Broken):
        cpu.spread(lambda i: cpu.spread(inner, 4), 4)
    assert not threads._here.busy


@pytest.mark.parametrize("number", [1, 3])
def test_interrupt_in_the_caller_ends_the_work(number):
    cpu.set_num_threads(number)
    caller, before, begun = threading.get_ident(), blas(), []

    def work(i):
        begun.append(i)
        if threading.get_ident() == caller:
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.001)

    with pytest.raises(KeyboardInterrupt):
        cpu.spread(work, 100_000)
    assert len(begun) < 100_000
    assert blas() == before
    count = len(begun)
    cpu.spread(lambda i: None, 10)
    assert len(begun) == count


def test_interrupt_while_the_caller_waits_for_a_helper():
    caller, sent = threading.get_ident(), threading.Event()

    def interrupt():
        time.sleep(0.02)  # the caller has nothing left to do and waits
        signal.pthread_kill(caller, signal.SIGINT)
        sent.set()

    work, ended = with_a_helper(in_helper=interrupt)
    with pytest.raises(KeyboardInterrupt):
        cpu.spread(work, 2)
    assert sent.is_set()
    assert ended  # nobody writes behind the caller's back


@pytest.mark.parametrize("able", [0, 1])
def test_threads_that_cannot_be_had_are_done_without(able, monkeypatch):
    cpu.set_num_threads(4)
    start, started = threading.Thread.start, []

    def refused(thread):
        if len(started) >= able:
            raise RuntimeError("can't start new thread")  # as Python says it
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    done, before = [], blas()
    cpu.spread(done.append, 50)
    assert sorted(done) == list(range(50))
    assert blas() == before
    assert threads._state.pool is None  # with the tasks that nobody would have taken


def test_an_interrupt_while_a_thread_begins_leaves_none_that_keeps_the_process_alive(monkeypatch):
    cpu.set_num_threads(2)
    start, started = threading.Thread.start, []

    def interrupted(thread):
        start(thread)
        started.append(thread)
        raise KeyboardInterrupt  # before the pool has written the thread down

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cpu.spread(lambda i: None, 50)
    (thread,) = started
    thread.join(20)
    assert not thread.is_alive()
    done = []
    cpu.spread(done.append, 50)
    assert sorted(done) == list(range(50))


def test_blas_is_given_back_by_the_next_where_one_was_kept_from_it():
    before = blas()
    lost = threads._Holder()
    threads._hold(lost)
    assert set(blas()) == {1}
    del lost  # as an interrupt between two lines would leave it
    with cpu.single_threaded_blas():
        assert set(blas()) == {1}
    assert blas() == before


def test_an_interrupt_while_blas_is_given_back(monkeypatch):
    before, real, calls = blas(), threads._set, []

    def once(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(threads, "_set", once)
    with pytest.raises(KeyboardInterrupt), cpu.single_threaded_blas():
        pass
    assert blas() == before
    assert not threads._state.holders


def test_a_job_that_is_over_holds_nothing(monkeypatch):
    jobs = []

    class Noted(threads._Job):
        def __init__(self, *args):
            super().__init__(*args)
            jobs.append(self)

    monkeypatch.setattr(threads, "_Job", Noted)
    cpu.set_num_threads(2)
    cpu.spread(lambda i: None, 4)
    (job,) = jobs
    assert job.work is None  # a helper may still hold the job, and with it arrays that are gone


def test_two_interrupts_leave_no_helper_behind(monkeypatch):
    real, calls = threads._Job.end, []

    def end(job):
        calls.append(job)
        if len(calls) < 3:
            raise KeyboardInterrupt
        real(job)

    monkeypatch.setattr(threads._Job, "end", end)
    work, ended = with_a_helper()
    with pytest.raises(KeyboardInterrupt):
        cpu.spread(work, 2)
    assert ended


@pytest.mark.parametrize("computed", [True, False], ids=["pool there", "no pool yet"])
def test_a_thread_that_outlives_the_main_thread_goes_on(computed):
    program = f"""
import threading, time
import xpcnn
from xpcnn.backend import cpu

def go():
    threading.main_thread().join()
    time.sleep(0.05)
    done = []
    for _ in range(20):
        cpu.spread(done.append, 5)
    print(len(done))

xpcnn.set_num_threads(3)
if {computed}:
    cpu.spread(abs, 5)
threading.Thread(target=go).start()
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (out.stdout.strip(), out.stderr) == ("100", "")


def test_blas_that_cannot_be_asked_is_not_held(monkeypatch):
    before = blas()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(threads._state, "blas", None)
    for name in ("_find_blas", "_set"):
        with monkeypatch.context() as patch:
            patch.setattr(threads, name, interrupted)
            with pytest.raises(KeyboardInterrupt), cpu.single_threaded_blas():
                pass
        assert not threads._state.holders
    with cpu.single_threaded_blas():
        assert set(blas()) == {1}
    assert blas() == before


def test_error_in_a_layer_gives_blas_its_threads_back():
    class Bad(L.Layer):
        def forward(self, x, *, train=False):
            raise Broken

        def backward(self, dy, cache):
            raise Broken

    x = np.ones((8, 1, 6, 6), "float32")
    before = blas()
    with pytest.raises(Broken):
        Sequential(L.Conv2d(1, 2, 3), L.ReLU(), Bad())(x)
    assert blas() == before


def test_blas_is_held_by_any_thread():
    """Also where another one was the first to set its number, which threadpoolctl remembers."""
    before, seen = blas(), []

    def other():
        with cpu.single_threaded_blas():
            seen.extend(blas())
        seen.extend(blas())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [1] * len(before) + before


def test_blas_is_given_back_by_the_last_of_two_threads():
    before, inside, leave = blas(), threading.Event(), threading.Event()

    def other():
        with cpu.single_threaded_blas():
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=other)
    with cpu.single_threaded_blas():
        thread.start()
        assert inside.wait(20)
    assert set(blas()) == {1}
    leave.set()
    thread.join()
    assert blas() == before


def test_no_threads_are_left_over():
    for number in (2, 4, 3, 2, 5, 1) * 4:
        cpu.set_num_threads(number)
        cpu.spread(lambda i: time.sleep(0.0002), 6)
    cpu.set_num_threads(None)
    wait_until(lambda: not alive())


def test_number_of_threads_may_change_while_others_work():
    stop, errors = threading.Event(), []

    def other():
        try:
            while not stop.is_set():
                done = []
                cpu.spread(done.append, 5)
                assert sorted(done) == list(range(5))
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=other) for _ in range(2)]
    for worker in workers:
        worker.start()
    for i in range(100):
        cpu.set_num_threads((2, 3, None)[i % 3])
    stop.set()
    for worker in workers:
        worker.join()
    assert not errors


# Training.


def trained(model, seed, steps=3, batch=6):
    """Parameters and buffers behind some steps."""
    trainer = Trainer(model, "softmax_cross_entropy", "momentum")
    shape = model.input_shape
    for step in range(steps):
        x = normal((batch, *shape), Key(seed, "x", step=step)).astype(model.dtype)
        trainer.step(x, np.arange(batch) % model.output_shape(shape)[0])
    return {name: np.asarray(a).copy() for name, a in [*model.params.items(), *model.buffers.items()]}


def winograd_net(**options):
    return Sequential(
        L.Conv2d(3, 24, 3, padding=1),
        L.ReLU(),
        L.Conv2d(24, 32, 3, padding=1, bias=False),
        L.BatchNorm2d(32),
        L.ReLU(),
        L.MaxPool2d(2),
        L.Conv2d(32, 24, 3),
        L.GlobalAvgPool2d(),
        L.Linear(24, 5),
        input_shape=(3, 13, 12),
        **options,
    )


def narrow_vgg(**options):
    return models.small_vgg(1, 4, input_shape=(1, 12, 12), **options)


NETS = {
    "deepnotes": (models.deepnotes, 20, 5),
    "keras_mnist": (models.keras_mnist, 16, 5),
    "torch_mnist": (models.torch_mnist, 6, 5),
    "small_vgg": (narrow_vgg, 9, 5),
    "winograd": (winograd_net, 11, 5),
}


@pytest.mark.parametrize("cache", [None, 1 << 15])
@pytest.mark.parametrize("name", NETS)
def test_any_number_of_threads_gives_the_same_bits(name, cache):
    make, batch, steps = NETS[name]
    if cache is not None:  # more tiles of fewer samples
        make, batch, steps = make, 5, 2
    found = []
    for number in (1, 2, 3, 7):
        cpu.set_num_threads(number)
        with cache_of(cache or 1 << 20, way="winograd" if name == "winograd" else "usual"):
            found.append(trained(make(seed=1), 1, steps, batch))
    for other in found[1:]:
        assert_same_bits(found[0], other)


def test_models_in_two_threads_give_what_each_gives_alone():
    alone = [trained(winograd_net(seed=s), s) for s in range(2)]
    together = [None, None]
    barrier = threading.Barrier(2, timeout=20)

    def train(s):
        model = winograd_net(seed=s)
        barrier.wait()
        together[s] = trained(model, s)

    workers = [threading.Thread(target=train, args=(s,)) for s in range(2)]
    cpu.set_num_threads(3)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for a, b in zip(alone, together, strict=True):
        assert_same_bits(a, b)


def test_one_model_answers_two_threads():
    model = settled(winograd_net())
    xs = [normal((n, 3, 13, 12), Key(n, "x")).astype("float32") for n in (7, 12)]
    alone = [model(x).copy() for x in xs]
    wrong = []
    barrier = threading.Barrier(2, timeout=20)

    def ask(x, y):
        barrier.wait()
        for _ in range(5):
            if model(x).tobytes() != y.tobytes():
                wrong.append(len(x))

    workers = [threading.Thread(target=ask, args=both) for both in zip(xs, alone, strict=True)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


# Processes.

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
# a warning that forking with threads may deadlock is what these tests are about
allows_fork = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def in_child(check):
    """Exit status of a child of fork that does `check`: 0 where it was true."""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    end = time.monotonic() + 30
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "hangs"
        time.sleep(0.005)


def bits_of(params):
    return b"".join(a.tobytes() for a in params.values())


def task(seed):
    with cache_of(1 << 13):  # so that there is work for several threads
        return bits_of(trained(winograd_net(seed=seed), seed))


@needs_fork
@allows_fork
def test_child_of_fork_trains():
    cpu.set_num_threads(2)
    before = task(1)
    assert alive()
    assert in_child(lambda: cpu.get_num_threads() == 2 and task(1) == before) == 0
    assert task(1) == before


@needs_fork
@allows_fork
def test_child_forked_from_a_thread_while_others_work():
    cpu.set_num_threads(3)
    before, results = task(1), []
    inside, forked = threading.Event(), threading.Event()

    def fork():
        assert inside.wait(20)
        with threads._state.lock:  # a lock that nobody in the child would open
            results.append(in_child(lambda: task(1) == before and not threads._state.holders))
        forked.set()

    thread = threading.Thread(target=fork)
    thread.start()

    def work(i):
        inside.set()
        if threading.get_ident() == caller:
            forked.wait(60)

    caller = threading.get_ident()
    cpu.spread(work, 6)
    thread.join()
    assert results == [0]


@needs_fork
@allows_fork
@pytest.mark.parametrize("number", [1, 2])
def test_child_forked_inside_a_part_is_not_in_the_work(number):
    cpu.set_num_threads(number)
    before, caller = task(1), threading.get_ident()
    results, forked = [], threading.Event()

    def check():
        # the caller's hold is left in the child, too: from here on it must be as if there had been none
        return blas() == [2] * len(blas()) and task(1) == before and blas() == [2] * len(blas())

    def work(i):
        if threading.get_ident() != caller:
            assert forked.wait(60)  # so that one part at least is the caller's
        elif not results:
            results.append(in_child(check))
            forked.set()

    cpu.spread(work, 4)
    assert results == [0]


@needs_fork
@allows_fork
def test_child_that_leaves_a_hold_of_its_parent_can_hold_again():
    def check():
        hold.__exit__(None, None, None)
        with cpu.single_threaded_blas():
            inside = set(blas())
        return inside == {1} and set(blas()) == {2}

    hold = cpu.single_threaded_blas()
    with hold:
        assert in_child(check) == 0
        assert set(blas()) == {1}


@needs_fork
@allows_fork
def test_pool_of_forked_processes():
    cpu.set_num_threads(2)
    before = [task(s) for s in range(2)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(task, range(2)).get(timeout=60) == before


def test_spawned_process_gives_the_same_bits():
    program = (
        "import hashlib, numpy as np, xpcnn\n"
        "from tests.backend.cpu.test_threads import task\n"
        "if __name__ == '__main__':\n"
        "    print(hashlib.sha256(task(1)).hexdigest())\n"
    )
    import hashlib
    from pathlib import Path

    env = {**os.environ, "XPCNN_NUM_THREADS": "3"}
    root = Path(__file__).parents[3]
    out = subprocess.run([sys.executable, "-c", program], env=env, cwd=root, capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr
    assert out.stdout.strip() == hashlib.sha256(task(1)).hexdigest()


def test_everything_at_once_leaves_blas_alone():
    model = settled(winograd_net())
    x = np.ones((4, 3, 13, 12), "float32")
    everything(model, x, np.ones((4, 5), "float32"))
    assert set(blas()) == {2}
