"""Prefetching: the same items, at most so many in advance, and never a thread that outlives its run."""

import gc
import itertools
import signal
import threading
import time
import traceback

import numpy as np
import pytest

from xpcnn.data import batches, prefetch
from xpcnn.data.augment import Compose, RandomHorizontalFlip, RandomRotation
from xpcnn.errors import ConfigError

PATIENCE = 20.0  # seconds until a wait counts as a hang; never reached where all is well


def running():
    return [t for t in threading.enumerate() if t.name == "xpcnn-prefetch"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    assert not running()
    yield
    assert not running()


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it hangs"
        time.sleep(0.001)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("depth", [1, 2, 7])
def test_items_and_their_order_are_kept(n, depth):
    assert list(prefetch(range(n), depth)) == list(range(n))


def test_augmented_batches_are_bit_equal_with_and_without():
    x = np.random.default_rng(0).random((50, 1, 8, 8)).astype("float32")
    augment = Compose([RandomHorizontalFlip(), RandomRotation(30)])
    plain, ahead = (
        list(way(batches(x, np.arange(50), 8, seed=1, epoch=2, augment=augment))) for way in (list, prefetch)
    )
    assert len(plain) == len(ahead) == 7
    for (a, b), (c, d) in zip(plain, ahead, strict=True):
        assert a.tobytes() == c.tobytes() and b.tobytes() == d.tobytes()


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_than_depth_items_wait(depth):
    made = []

    def items():
        for i in itertools.count():
            made.append(i)
            yield i

    taken = prefetch(items(), depth)
    for i in range(4):
        assert next(taken) == i
        # in the hands of the consumer, and waiting
        until(lambda i=i: len(made) == i + 1 + depth)
        time.sleep(0.01)
        assert len(made) == i + 1 + depth
    taken.close()


def test_items_are_made_while_the_consumer_is_busy():
    second = threading.Event()

    def items():
        yield 1
        second.set()
        yield 2

    taken = prefetch(items())
    assert next(taken) == 1
    assert second.wait(PATIENCE)
    assert list(taken) == [2]


def test_nothing_starts_before_the_first_item_is_asked_for():
    taken = prefetch(pytest.fail(x) for x in "never")
    assert not running()
    taken.close()
    del taken


def test_an_error_comes_where_the_item_would_have_with_its_traceback():
    def breaks_here():
        raise KeyError("lost")

    def items():
        yield 1
        yield 2
        breaks_here()

    taken = prefetch(items(), depth=9)
    assert (next(taken), next(taken)) == (1, 2)
    with pytest.raises(KeyError, match="lost") as caught:
        next(taken)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-2:] == ["items", "breaks_here"]
    assert not running()
    assert list(taken) == []


@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_errors_of_any_kind_come_out(error):
    def items():
        yield 1
        raise error

    taken = prefetch(items())
    assert next(taken) == 1
    with pytest.raises(RuntimeError if error is StopIteration else error):
        next(taken)


def endless(ended):
    try:
        yield from itertools.count()
    finally:
        ended.append(threading.current_thread().name)


def test_closing_ends_the_thread_and_its_generator():
    ended = []
    taken = prefetch(endless(ended))
    next(taken)
    assert running()
    taken.close()
    assert ended == ["xpcnn-prefetch"]


def test_an_exception_in_the_loop_ends_the_thread():
    ended = []
    with pytest.raises(ZeroDivisionError):
        for i in prefetch(endless(ended)):
            1 / (2 - i)
    gc.collect()  # the traceback holds the generator
    until(lambda: not running())
    assert ended == ["xpcnn-prefetch"]


def test_leaving_the_loop_ends_the_thread():
    ended = []
    for i in prefetch(endless(ended), depth=1):
        if i == 3:
            break
    gc.collect()
    assert ended == ["xpcnn-prefetch"]


def test_an_error_while_closing_the_source_does_not_hang():
    def items():
        try:
            yield from itertools.count()
        finally:
            raise OSError("disc gone")

    taken = prefetch(items())
    next(taken)
    taken.close()


def test_ctrl_c_while_waiting_ends_the_thread():
    waiting, released = threading.Event(), threading.Event()

    def items():
        waiting.set()
        released.wait(PATIENCE)
        yield 1

    def interrupt():
        waiting.wait(PATIENCE)
        time.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.02)
        released.set()

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        next(prefetch(items()))
    helper.join()


def test_several_at_once_do_not_mix():
    pairs = zip(prefetch(range(100)), prefetch(range(100, 200), depth=1), strict=True)
    assert list(pairs) == [(i, i + 100) for i in range(100)]


@pytest.mark.parametrize("depth", [0, -1, 1.5, "2", True])
def test_a_senseless_depth_is_refused_at_the_call(depth):
    with pytest.raises(ConfigError, match="prefetch: expected depth"):
        prefetch([], depth)


def test_what_cannot_be_gone_through_is_refused_at_the_call():
    with pytest.raises(ConfigError, match="prefetch: expected something to go through, got int"):
        prefetch(3)
