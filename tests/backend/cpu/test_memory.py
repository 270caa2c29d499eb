"""Memory is given out again only when nobody looks at it."""

import copy
import gc
import os
import pickle
import signal
import threading

import numpy as np
import pytest

from tests.backend.cpu.compare import assert_same_bits, everything, settled
from xpcnn import layers as L
from xpcnn.backend import Key, cpu, normal
from xpcnn.backend.cpu import memory
from xpcnn.backend.cpu.memory import Arena, Scratch
from xpcnn.models import Sequential
from xpcnn.training import Trainer

F4 = np.dtype("float32")
SHAPE = (100, 100)


def address(a):
    return a.__array_interface__["data"][0]


# The arena.


def test_memory_of_what_is_gone_is_used_again():
    arena = Arena()
    a = arena.empty(SHAPE, F4)
    first = address(a)
    del a
    b = arena.empty((50, 100), np.dtype("float64"))  # of as many bytes
    assert address(b) == first
    assert (b.shape, b.dtype) == ((50, 100), np.float64)
    assert b.flags.c_contiguous and b.flags.writeable


def test_arrays_that_live_at_the_same_time_share_nothing():
    arena = Arena()
    arrays = [arena.empty(SHAPE, F4) for _ in range(5)]
    for i, a in enumerate(arrays):
        a[...] = i
    assert [a.min() == a.max() == i for i, a in enumerate(arrays)] == [True] * 5


LOOKS = {
    "itself": lambda a: a,
    "slice": lambda a: a[5:6],
    "one number": lambda a: a[3:4, 3:4],
    "transpose": lambda a: a.T,
    "view of a view": lambda a: a[::2].T[1:].reshape(99, 5, 10)[3:],
    "other dtype": lambda a: a.view("uint8")[:, 3:],
    "broadcast": lambda a: np.broadcast_to(a[0], (4, 100)),
    "strided window": lambda a: np.lib.stride_tricks.sliding_window_view(a, (3, 3)),
    "memoryview": lambda a: memoryview(a),
    "part of a memoryview": lambda a: memoryview(a)[2:3],
    "read-only view": lambda a: np.asarray(memoryview(a).toreadonly()),
    "iterator": lambda a: iter(a),
    "flat": lambda a: a.flat,
    "base alone": lambda a: a.base,
    "array interface": lambda a: np.asarray(Holder(a)),
    "dlpack": lambda a: np.from_dlpack(a),
    "closure": lambda a: lambda: a,
    "list": lambda a: [a],
    "subclass": lambda a: a.view(np.recarray),
}


class Holder:
    def __init__(self, a):
        self.a, self.__array_interface__ = a, a.__array_interface__


@pytest.mark.parametrize("look", LOOKS)
def test_memory_that_somebody_looks_at_stays_theirs(look):
    arena = Arena()
    a = arena.empty(SHAPE, F4)
    first = address(a)
    held = LOOKS[look](a)
    del a
    gc.collect()
    assert address(arena.empty(SHAPE, F4)) != first
    assert arena.free() == arena.nbytes  # the second one is free, the first is not
    del held
    gc.collect()
    assert arena.free() > 0
    assert arena.nbytes == 0


def test_sizes_that_nobody_asks_for_any_more_are_let_go():
    arena, sizes = Arena(), [(200 + 50 * i, 100) for i in range(40)]
    for shape in sizes:
        with arena.active():
            arena.empty(shape, F4)
    assert arena.nbytes < 5 * arena_block(sizes[-1])
    # what comes again and again stays, and what somebody looks at anyway
    arena = Arena()
    held = arena.empty(SHAPE, F4)
    for shape in sizes:
        with arena.active():
            often = address(arena.empty(sizes[0], F4))
            arena.empty(shape, F4)
    assert address(arena.empty(sizes[0], F4)) == often
    assert address(arena.empty(SHAPE, F4)) != address(held)


def test_two_batch_sizes_in_turns_keep_their_memory():
    model, blocks = wide(), []
    for _ in range(6):
        for n in (30, 30, 30, 17):
            y, cache = model.forward(batch(samples=n), train=True)
            model.backward(y, cache)
            del y, cache
        blocks.append({b.ctypes.data for of in model._arena._blocks.values() for b in of})
    assert blocks[0] == blocks[-1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_of_fork_has_memory_though_a_thread_was_asking_for_some():
    arena = Arena()
    with arena._lock:  # as another thread would hold it
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)  # ends a child that waits
            arena.empty(SHAPE, F4)
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.oracle
def test_memory_that_torch_looks_at_stays_its():
    torch = pytest.importorskip("torch")
    arena = Arena()
    a = arena.empty(SHAPE, F4)
    a[...] = 1.0
    tensor = torch.from_numpy(a)[3:]
    del a
    gc.collect()
    arena.empty(SHAPE, F4)[...] = 2.0
    assert float(tensor.max()) == 1.0
    del tensor
    gc.collect()
    assert arena.free() == 2 * arena_block(SHAPE)


def arena_block(shape):
    arena = Arena()
    arena.empty(shape, F4)
    return arena.nbytes


def test_small_arrays_are_the_systems():
    arena = Arena()
    assert arena.empty((100, 10), F4).shape == (100, 10)
    assert arena.empty((0, 7), F4).size == 0
    assert arena.empty((), F4).shape == ()
    assert arena.nbytes == 0


@pytest.mark.parametrize("count", [8192, 8193, 10_000, 12_345, 99_999, 1_000_003])
def test_a_block_is_hardly_larger_than_what_it_is_for(count):
    arena = Arena()
    a = arena.empty((count,), F4)
    a[...] = 1.0
    assert a.nbytes <= arena.nbytes <= a.nbytes * 9 / 8 + 4096


def test_batches_of_nearly_the_same_size_share_a_block():
    arena = Arena()
    for count in (16_001, 16_002, 16_300):
        arena.empty((count,), F4)
    assert arena.nbytes == arena_block((16_300,))


def test_free_gives_back_what_nobody_looks_at():
    arena = Arena()
    a, b = arena.empty(SHAPE, F4), arena.empty(SHAPE, F4)
    a[...] = 7.0
    del b
    one = arena_block(SHAPE)
    assert (arena.nbytes, arena.free(), arena.nbytes, arena.free()) == (2 * one, one, one, 0)
    assert (a == 7.0).all()
    c = arena.empty(SHAPE, F4)
    c[...] = 8.0
    assert (a == 7.0).all()
    del a
    assert arena.free() == one


def test_threads_never_get_the_same_block():
    arena, wrong = Arena(), []
    barrier = threading.Barrier(4, timeout=20)

    def work(i):
        barrier.wait()
        for _ in range(300):
            a = arena.empty(SHAPE, F4)
            a[...] = i
            b = arena.empty(SHAPE, F4)
            b[...] = -i
            if not (a == i).all():
                wrong.append(i)
            del a, b

    threads = [threading.Thread(target=work, args=(i,)) for i in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert arena.nbytes <= 8 * arena_block(SHAPE)


def test_the_arena_of_this_thread_is_active_until_the_end():
    outer, inner = Arena(), Arena()
    with outer.active():
        a = memory.empty(SHAPE, F4)
        with pytest.raises(ZeroDivisionError), inner.active():  # a model inside another one
            b = memory.empty(SHAPE, F4)
            raise ZeroDivisionError
        c = memory.empty(SHAPE, F4)
    with inner.active():
        d = memory.empty(SHAPE, F4)
    e = memory.empty(SHAPE, F4)
    assert (outer.nbytes, inner.nbytes) == (3 * arena_block(SHAPE), arena_block(SHAPE))
    assert e.base is None
    assert len({address(x) for x in (a, b, c, d, e)}) == 5


def test_scratch_memory_begins_anew_in_every_thread():
    scratch = Scratch()
    kept = scratch.empty("a", SHAPE, F4)
    assert scratch.empty("a", SHAPE, F4) is kept
    Scratch.free()
    assert scratch.empty("a", SHAPE, F4) is not kept


# Scratch.


def test_scratch_of_one_name_is_one_block():
    scratch = Scratch()
    a = scratch.empty("a", (10, 10), F4)
    assert scratch.empty("a", (10, 10), F4) is a
    assert address(scratch.empty("a", (5,), np.dtype("float64"))) == address(a)
    assert address(scratch.empty("b", (10, 10), F4)) != address(a)


def test_scratch_grows_and_old_arrays_stay_as_they_are():
    scratch = Scratch()
    a = scratch.empty("a", (10,), F4)
    a[...] = 1.0
    b = scratch.empty("a", (1000,), F4)
    b[...] = 2.0
    assert (a == 1.0).all()
    assert address(scratch.empty("a", (10,), F4)) == address(b)


def test_scratch_of_another_thread_is_another():
    scratch = Scratch()
    a, others = scratch.empty("a", (10,), F4), []
    thread = threading.Thread(target=lambda: others.append(scratch.empty("a", (10,), F4)))
    thread.start()
    thread.join()
    assert not np.shares_memory(a, others[0])


# Models.


def net(**options):
    return Sequential(
        L.Conv2d(2, 8, 3, padding=1),
        L.BatchNorm2d(8),
        L.ReLU(),
        L.MaxPool2d(2),
        L.Dropout(0.2),
        L.Conv2d(8, 8, 3, padding=1),
        L.Tanh(),
        L.Flatten(),
        L.Linear(8 * 64, 30),
        L.ReLU(),
        L.Linear(30, 4),
        input_shape=(2, 16, 16),
        **options,
    )


def wide():
    """Of an output that is large enough for the arena."""
    return settled(Sequential(L.Conv2d(2, 8, 3, padding=1), L.ReLU()))


def batch(seed=0, samples=16):
    return normal((samples, 2, 16, 16), Key(seed, "x")).astype("float32")


def test_outputs_are_never_written_over():
    model = wide()
    ys = [model(batch(i)) for i in range(4)]
    before = [y.copy() for y in ys]
    parts = [model(batch(i))[3:4, :, ::2].T for i in range(4)]
    for _ in range(3):
        model(batch(9))
        y, cache = model.forward(batch(8), train=True)
        model.backward(y, cache)
    for y, old, part in zip(ys, before, parts, strict=True):
        assert (y == old).all()
        assert (part == old[3:4, :, ::2].T).all()


def test_gradients_are_never_written_over():
    model = wide()
    y, cache = model.forward(batch(), train=True)
    dx, grads = model.backward(y, cache)
    held = {"dx": dx, **grads}
    before = {name: a.copy() for name, a in held.items()}
    for i in range(1, 4):
        y, cache = model.forward(batch(i), train=True)
        model.backward(y, cache)
    assert_same_bits(held, before)


@pytest.mark.parametrize("make", [net, wide], ids=["ends with a product", "ends with what can be written in place"])
def test_inputs_and_gradients_given_are_not_written_to(make):
    model, x = settled(make()), batch()
    dy = normal(model(x).shape, Key(0, "dy")).astype("float32")
    old = x.copy(), dy.copy()
    x.flags.writeable = dy.flags.writeable = False
    everything(model, x, dy)
    assert (x == old[0]).all() and (dy == old[1]).all()


def test_a_cache_stays_good():
    model = settled(net())
    dy = normal((16, 4), Key(0, "dy")).astype("float32")
    _, cache = model.forward(batch(), train=True)
    dx, grads = model.backward(dy, cache)
    at_once = {name: a.copy() for name, a in {"dx": dx, **grads}.items()}
    for i in range(1, 5):
        y, other = model.forward(batch(i, 16 if i % 2 else 40), train=True)
        model.backward(y, other)
        model(batch(i))
    model.free_memory()
    for _ in range(2):
        dx, grads = model.backward(dy, cache)
        assert_same_bits({"dx": dx, **grads}, at_once)


def test_two_steps_at_once_do_not_meet():
    model = settled(net())
    dys = [normal((16, 4), Key(i, "dy")).astype("float32") for i in range(2)]
    first = [model.forward(batch(i), train=True, key=Key(i))[1] for i in range(2)]
    crossed = [model.backward(dys[i], first[i]) for i in (1, 0)][::-1]
    for i in range(2):
        _, cache = model.forward(batch(i), train=True, key=Key(i))
        dx, grads = model.backward(dys[i], cache)
        assert_same_bits({"dx": crossed[i][0], **crossed[i][1]}, {"dx": dx, **grads})


def test_free_memory_gives_back_all_that_nobody_holds():
    model = wide()
    y, cache = model.forward(batch(), train=True)
    held = y.copy()
    model.backward(y, cache)
    assert model.free_memory() > 0
    assert model.free_memory() == 0
    assert (y == held).all()
    assert model._arena.nbytes > 0  # the output, and what the cache holds
    del y, cache
    gc.collect()
    assert model.free_memory() > 0
    assert model._arena.nbytes == 0
    assert (model(batch()) == held).all()


def test_nothing_is_kept_by_an_output_that_is_gone():
    model = wide()
    addresses = set()
    for i in range(5):
        addresses.add(address(model(batch(i))))
    assert len(addresses) <= 2  # one is made before the other is let go


@pytest.mark.parametrize("samples", [(16,), (16, 40, 3, 16, 33, 40, 17)])
def test_memory_does_not_grow_with_the_steps(samples):
    model = net()
    trainer = Trainer(model, "softmax_cross_entropy", "adam")
    sizes = []
    steps = 200 if len(samples) == 1 else 70
    for step in range(steps):
        n = samples[step % len(samples)]
        trainer.step(batch(step % 3, n), np.arange(n) % 4)
        sizes.append(model._arena.nbytes)
    warm = 2 * len(samples)
    assert sizes[-1] == sizes[warm]
    if len(samples) > 1:
        alone = net()
        Trainer(alone, "softmax_cross_entropy", "adam").step(batch(0, 40), np.arange(40) % 4)
        assert sizes[-1] <= 4 * alone._arena.nbytes


@pytest.mark.parametrize("how", [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_of_a_model_gives_the_same_and_shares_no_memory(how):
    model = settled(net())
    model(batch())  # with plans, and memory
    model.backward(*model.forward(batch(), train=True))
    twin = how(model)
    if how is not copy.copy:
        assert twin._arena is not model._arena
        assert twin._arena.nbytes == 0
        assert not any(np.shares_memory(a, b) for a, b in zip(model.params.values(), twin.params.values(), strict=True))
    assert (twin(batch()) == model(batch())).all()
    if how is not copy.copy:
        for a in twin.params.values():
            a *= 0.0
        assert (twin(batch()) == 0.0).all()  # by its own weights, not by those of the model it was made of
        assert (model(batch()) != 0.0).any()


def test_a_pickle_holds_no_past_batches():
    model = settled(net())
    fresh = len(pickle.dumps(model))
    y, cache = model.forward(batch(0, 64), train=True)
    model.backward(y, cache)
    assert len(pickle.dumps(model)) < fresh + 2000


def test_child_models_have_arenas_of_their_own():
    inner = Sequential(L.Conv2d(2, 8, 3, padding=1), L.ReLU())
    outer = settled(Sequential(inner, L.Conv2d(8, 2, 1), L.ReLU()))
    with cpu.single_threaded_blas():
        a, b = outer(batch(1)), outer(batch(2))
        kept = a.copy(), b.copy()
        inner(batch(3))
        outer(batch(4))
    assert (a == kept[0]).all() and (b == kept[1]).all()
