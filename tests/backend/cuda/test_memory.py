"""When a GPU's memory runs out: what the error says, and that a smaller batch can follow."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from xpcnn import layers as L
from xpcnn.backend.cuda import launch
from xpcnn.backend.cuda.memory import on_device
from xpcnn.errors import OutOfMemory, XpcnnError
from xpcnn.models import Sequential

MIB = 2**20


class CupyOutOfMemory(MemoryError):
    """With the text of CuPy's."""

    def __init__(self, size):
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: 0 bytes).")


CupyOutOfMemory.__module__ = "cupy.cuda.memory"


class Block:
    """Memory of the pool, for as long as somebody holds it."""

    def __init__(self, pool, size):
        if pool.used + pool.cached + size > pool.total:
            raise CupyOutOfMemory(size)
        self.pool, self.size = pool, size
        pool.used += size

    def __del__(self):
        if hasattr(self, "size"):
            self.pool.used -= self.size
            self.pool.cached += self.size


class Pool:
    def __init__(self, total, limit=0):
        self.total, self.limit, self.used, self.cached = total, limit, 0, 0

    def used_bytes(self):
        return self.used

    def free_all_blocks(self):
        self.cached = 0

    def get_limit(self):
        return self.limit


class Native:
    id = 1

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        return None


@pytest.fixture
def pool(monkeypatch):
    pool = Pool(1000 * MIB)
    runtime = SimpleNamespace(memGetInfo=lambda: (pool.total - pool.used - pool.cached, pool.total))
    fake = SimpleNamespace(get_default_memory_pool=lambda: pool, cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setattr(launch, "cupy", lambda: fake)
    return pool


def compute(pool, samples):
    """Three arrays, one after the other, as a network makes them."""
    with on_device(Native(), samples):
        return _inner(pool, samples)


def _inner(pool, samples):
    first = Block(pool, samples * MIB)
    second = Block(pool, samples * MIB)
    third = Block(pool, 2 * samples * MIB)
    return first, second, third


def test_the_error_says_what_was_asked_what_is_free_and_what_may_fit(pool):
    weights = Block(pool, 40 * MIB)
    with pytest.raises(OutOfMemory) as raised:
        compute(pool, 300)
    error = raised.value
    assert str(error) == (
        "cuda:1: expected 600.0 MiB of memory more, got 960.0 MiB free of 1,000.0 MiB once the call had let go of its "
        "own: take a smaller batch, 64 of these 300 may fit"
    )
    assert (error.asked, error.free, error.batch) == (600 * MIB, 960 * MIB, 64)
    assert isinstance(error, XpcnnError)
    assert isinstance(error, MemoryError)
    assert pool.used == weights.size
    assert len(compute(pool, error.batch)) == 3  # in the same process


def test_a_limit_of_the_pool_is_what_there_is(pool):
    pool.limit, pool.total = 500 * MIB, 8000 * MIB
    with pytest.raises(OutOfMemory, match=r"got 500\.0 MiB free of 500\.0 MiB"), on_device(Native()):
        raise CupyOutOfMemory(600 * MIB)


@pytest.mark.parametrize("samples", [None, 1])
def test_without_a_batch_none_is_named(pool, samples):
    with pytest.raises(OutOfMemory, match=r"take a smaller batch$") as raised, on_device(Native(), samples):
        Block(pool, 2000 * MIB)
    assert raised.value.batch is None


@pytest.mark.parametrize("code", ["cudaErrorMemoryAllocation: out of memory", "CUBLAS_STATUS_ALLOC_FAILED"])
def test_a_library_that_asks_the_device_itself_may_run_out_too(pool, code):
    error = type("CUDAError", (RuntimeError,), {"__module__": "cupy_backends.cuda.libs"})
    pool.cached = 5
    with pytest.raises(OutOfMemory), on_device(Native(), 4):
        raise error(code)
    assert pool.cached == 0
    with pytest.raises(error), on_device(Native(), 4):
        raise error("cudaErrorIllegalAddress")


def test_an_error_of_our_own_is_passed_on_as_it_is(pool):
    with pytest.raises(OutOfMemory) as raised, on_device(Native(), 4), on_device(Native(), 100):
        Block(pool, 2000 * MIB)
    assert raised.value.batch == 16


def test_other_errors_are_left_alone(pool):
    pool.cached = 5
    for error in (MemoryError("of the host"), ValueError("other")):
        with pytest.raises(type(error)) as raised, on_device(Native(), 4):
            raise error
        assert raised.value is error
    assert pool.cached == 5


@pytest.mark.parametrize("batch", [6, (6, 7)])
def test_a_model_tells_how_many_samples_it_computes(batch, monkeypatch):
    seen = []
    model = Sequential(L.Linear(3, 2))
    device = SimpleNamespace(name="elsewhere", active=lambda samples=None: seen.append(samples) or nullcontext())
    x = np.ones((6, 3), "float32")
    y, cache = model.forward(x, train=True)
    monkeypatch.setattr(model, "_home", device)
    if batch == 6:
        model.forward(x, train=True)
        model.backward(y, cache)
        assert seen == [6, 6]
    else:
        monkeypatch.setattr(model, "_forward", lambda *args: (y, None))
        model.forward((x, np.ones((7, 3), "float32")))
        assert seen == [6]


@pytest.mark.gpu
def test_a_gpu_works_on_after_its_memory_ran_out(space_of_cupy):
    import cupy

    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    model = Sequential(L.Conv2d(3, 64, 3), L.ReLU(), device="cuda")
    limit = pool.get_limit()
    pool.set_limit(size=pool.used_bytes() + 200 * MIB)
    try:
        with pytest.raises(OutOfMemory) as raised:
            model.forward(cupy.zeros((256, 3, 64, 64), dtype="float32"), train=True)
        assert raised.value.batch is not None
        model.forward(cupy.zeros((raised.value.batch, 3, 64, 64), dtype="float32"), train=True)
    finally:
        pool.set_limit(size=limit)
