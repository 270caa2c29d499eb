"""Kernels behind single ops, beside the generic bodies: the ninth law."""

from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backend.cpu.compare import cache_of, generic
from tests.strategies import conv, pool
from xpcnn import ops
from xpcnn.backend import Key, cpu, kernel, normal, registry
from xpcnn.backend.cpu import ops as kernels
from xpcnn.ops.conv import cuts
from xpcnn.ops.pool_windows import pool_windows

LAYOUTS = ("first", "last", "reversed", "strided", "readonly")
layouts, dtypes = st.sampled_from(LAYOUTS), st.sampled_from(["float32", "float64"])
seeds, sizes = st.integers(0, 2**16), st.sampled_from([1, 1 << 12, 1 << 20])
images = st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))


@pytest.fixture(autouse=True)
def fresh_runs():
    """What a run knows of the caches, which tests change, stays in it."""
    caches = [f for f in vars(kernels).values() if hasattr(f, "cache_clear")]
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@contextmanager
def tiled(size: int):
    """Tiles for so small a cache, and no array too small for a kernel; other runs than elsewhere."""
    with cache_of(size), mock.patch.object(kernels, "SMALL", 0):
        for f in vars(kernels).values():
            if hasattr(f, "cache_clear"):
                f.cache_clear()
        yield


@contextmanager
def answers(op: str):
    """Collects whether the kernel answers, each time that it is asked."""
    found: list[bool] = []
    fast = kernel(op, "numpy")

    def spy(*args):
        given = fast(*args)
        found.append(given is not None)
        return given

    with mock.patch.dict(registry._kernels, {(op, "numpy"): spy}):
        yield found


def draw(shape, seed: int, name: str = "x", dtype: str = "float64") -> np.ndarray:
    return normal(tuple(shape), Key(seed, name)).astype(dtype)


def laid(a: np.ndarray, layout: str) -> np.ndarray:
    """The same numbers in another memory order, or where nobody may write to them."""
    if layout == "last" and a.ndim == 4:
        return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if layout == "reversed":
        return np.asfortranarray(a)
    if layout == "strided":
        wide = np.full(tuple(2 * n for n in a.shape), 99, a.dtype)
        wide[tuple(slice(None, None, 2) for _ in a.shape)] = a
        return wide[tuple(slice(None, None, 2) for _ in a.shape)]
    a = a.copy()
    a.flags.writeable = layout != "readonly"
    return a


def both(call, size: int = 1 << 20):
    """What a kernel and the generic body give, and what the latter gives of the arrays' absolute values."""
    with tiled(size):
        fast = call(np.asarray)
    with generic():
        return fast, call(np.asarray), call(np.abs)


def assert_near(fast, slow, bound, places: float = 1.0) -> None:
    """Equal but for a few units in the last place of the largest number that was added up."""
    assert (fast.shape, fast.dtype) == (slow.shape, slow.dtype)
    allowed = {"float32": 16 * 2.0**-23, "float64": 1e-12}[str(slow.dtype)] * places * float(np.max(bound))
    assert float(np.max(np.abs(fast - slow))) <= allowed


def in_memory_order(a: np.ndarray) -> bool:
    return a.transpose(0, 2, 3, 1).flags.c_contiguous


# Convolution.


@settings(max_examples=150)
@given(conv.conv2d(), st.integers(1, 9), st.tuples(layouts, layouts, layouts), dtypes, sizes, st.booleans())
def test_convolution(case, samples, order, dtype, size, input_grad):
    args = dict(case.args)
    channels, filters, groups = args.pop("in_channels"), args.pop("out_channels"), args["groups"]
    window = np.broadcast_to(args.pop("kernel_size"), 2)
    bias, _ = args.pop("bias"), args.pop("init")
    x = laid(draw((samples, *case.shape[1:]), case.seed, dtype=dtype), order[0])
    w = laid(draw((filters, channels // groups, *window), case.seed, "w", dtype), order[1])
    b = draw((filters,), case.seed, "b", dtype) if bias else None
    with answers("conv2d") as asked:
        y, slow, bound = both(lambda f: ops.conv2d(f(x), f(w), b if b is None else f(b), **args), size)
    assert asked == [groups == 1]
    assert_near(y, slow, bound)
    assert in_memory_order(y) or groups > 1
    dy = laid(draw(y.shape, case.seed, "dy", dtype), order[2])
    with answers("conv2d_backward") as asked:
        found = both(lambda f: ops.conv2d_backward(f(dy), f(x), f(w), input_grad=input_grad, **args), size)
    assert asked == [groups == 1]
    for fast, slow, bound in zip(*found, strict=True):
        if fast is None:
            assert slow is None
            assert not input_grad
        else:
            assert_near(fast, slow, bound)


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (5, 1), (3, 2), (1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_convolution_of_many_channels(size, stride, dtype):
    x, w = draw((5, 24, 13, 11), 0, dtype=dtype), draw((40, 24, size, size), 0, "w", dtype)
    settings = {"stride": stride, "padding": size // 2}
    y, slow, bound = both(lambda f: ops.conv2d(f(x), f(w), **settings), 1 << 16)
    assert_near(y, slow, bound)
    found = both(lambda f: ops.conv2d_backward(f(y), f(x), f(w), **settings), 1 << 16)
    for fast, slow, bound in zip(*found, strict=True):
        assert_near(fast, slow, bound)


# Pooling.


@settings(max_examples=150)
@given(pool.max_pool2d(), st.integers(1, 9), st.tuples(layouts, layouts), dtypes, sizes, st.booleans())
def test_max_pooling(case, samples, order, dtype, size, nan):
    args = case.args
    x = np.rint(draw((samples, *case.shape[1:]), case.seed, dtype=dtype))  # some are equal
    if nan:
        x[draw(x.shape, case.seed, "nan") > 1.0] = np.nan
        x[draw(x.shape, case.seed, "inf") > 1.5] = np.inf
        x[draw(x.shape, case.seed, "-inf") > 1.5] = -np.inf
    x = laid(x, order[0])
    win = pool_windows("MaxPool2d", x.shape, *(args[name] for name in ARGS))
    plain = win.dilation == (1, 1)
    with answers("max_pool2d") as asked:
        (y, index), (slow, slow_index), _ = both(lambda f: ops.max_pool2d(f(x), **args), size)
    assert asked == [plain and (any(win.border) or in_memory_order(x))]
    np.testing.assert_array_equal(y, slow)
    np.testing.assert_array_equal(index, slow_index)
    assert (y.dtype, index.dtype) == (slow.dtype, slow_index.dtype)
    dy = laid(draw(y.shape, case.seed, "dy", dtype), order[1])
    index = laid(index, order[1])
    with answers("max_pool2d_backward") as asked:
        dx, slow, _ = both(lambda f: ops.max_pool2d_backward(f(dy), index, x.shape, **args), size)
    assert asked == [plain and all(k <= s for k, s in zip(win.kernel, win.stride, strict=True))]
    np.testing.assert_array_equal(dx, slow)
    assert dx.dtype == slow.dtype


ARGS = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")


def test_places_in_windows_of_256_entries_are_bytes_and_of_more_are_not_the_kernels():
    x = laid(draw((2, 1, 34, 34), 0), "last")
    with answers("max_pool2d") as asked:
        small, large = ops.max_pool2d(x, 16)[1], ops.max_pool2d(x, 17)[1]
    assert (small.dtype, large.dtype) == (np.uint8, np.int32)
    assert asked == [True, False]
    with generic():
        np.testing.assert_array_equal(small, ops.max_pool2d(x, 16)[1])


# Batch norm.


@settings(max_examples=100)
@given(images, st.tuples(layouts, layouts), dtypes, sizes, seeds, st.booleans(), st.booleans(), st.booleans())
def test_batch_norm(shape, order, dtype, size, seed, affine, exact, fixed):
    shape = (shape[0] + 1, *shape[1:])
    spread = np.exp(draw((shape[1], 1, 1), seed, "spread"))
    x = laid((draw(shape, seed) * spread + 10 * draw((shape[1], 1, 1), seed, "mean")).astype(dtype), order[0])
    dy = laid(draw(shape, seed, "dy", dtype), order[1])
    w, b = (draw(shape[1:2], seed, name, dtype) if affine else None for name in "wb")
    with answers("batch_statistics") as asked, tiled(size):
        mean, var = ops.batch_statistics(x, exact=exact)
    with generic():
        slow = ops.batch_statistics(x, exact=exact)
    assert asked == [True]
    assert_near(mean, slow[0], np.abs(x).max())
    assert (var.shape, var.dtype) == (slow[1].shape, slow[1].dtype)
    limit = 16 * 2.0**-23 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(var, slow[1], rtol=limit, atol=limit * 1e-3)

    mean, var = slow
    scale = (1.0 if w is None else np.abs(w).max()) / np.sqrt(var.min() + 1e-3)
    with answers("batch_norm") as asked:
        y, slow, _ = both(lambda f: ops.batch_norm(x, mean, var, w, b, eps=1e-3), size)
    assert asked == [True]
    assert in_memory_order(y)
    assert_near(y, slow, max(np.abs(slow).max(), 1.0))
    with answers("batch_norm_backward") as asked:
        found = both(lambda f: ops.batch_norm_backward(dy, x, mean, var, w, eps=1e-3, fixed=fixed), size)
    assert asked == [True]
    places = np.prod(shape) / shape[1]
    for fast, slow, bound in zip(*found[:2], (scale * places**0.5, places, places), strict=True):
        assert_near(fast, slow, bound * np.abs(dy).max())


def test_a_constant_channel_has_exactly_its_value_as_mean_and_no_variance():
    x = np.full((7, 3, 5, 5), np.float32(0.1))
    with tiled(1):
        mean, var = ops.batch_statistics(x, exact=True)
    assert mean.tolist() == [float(np.float32(0.1))] * 3
    assert var.tolist() == [0.0] * 3


# Dropout.


@settings(max_examples=60)
@given(
    st.one_of(images, st.tuples(st.integers(1, 9), st.integers(1, 20))),
    layouts,
    dtypes,
    sizes,
    seeds,
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(0, 5),
)
def test_dropout_drops_the_same_entries(shape, layout, dtype, size, seed, p, first):
    x, key = laid(draw(shape, seed, dtype=dtype), layout), Key(seed, "drop", 3, first)
    with answers("dropout") as asked:
        (y, mask), (slow, slow_mask), _ = both(lambda f: ops.dropout(x, p, key), size)
    assert asked == [p > 0.0]
    np.testing.assert_array_equal(y, slow)
    np.testing.assert_array_equal(mask, slow_mask)
    assert (y.dtype, mask.dtype) == (slow.dtype, slow_mask.dtype)


# All of them.


def calls(seed: int, dtype: str = "float32") -> dict:
    """Each accelerated op of large arrays, and its arrays."""
    shapes = {"x": (6, 4, 12, 12), "w": (8, 4, 3, 3), "b": (8,), "dy": (6, 8, 12, 12), "c": (4,)}
    x, w, b, dy, c = (laid(draw(shape, seed, name, dtype), "last") for name, shape in shapes.items())
    with generic():
        mean, var = ops.batch_statistics(x)
        y, index = ops.max_pool2d(x, 2)
    return {
        "conv2d": (lambda x, w, b: ops.conv2d(x, w, b, padding=1), (x, w, b)),
        "conv2d_backward": (lambda dy, x, w: ops.conv2d_backward(dy, x, w, padding=1), (dy, x, w)),
        "max_pool2d": (lambda x: ops.max_pool2d(x, 2), (x,)),
        "max_pool2d_backward": (lambda y, index: ops.max_pool2d_backward(y, index, x.shape, 2), (y, index)),
        "batch_statistics": (ops.batch_statistics, (x,)),
        "batch_norm": (ops.batch_norm, (x, mean, var, c, c)),
        "batch_norm_backward": (ops.batch_norm_backward, (x, x, mean, var, c)),
        "dropout": (lambda x: ops.dropout(x, 0.5, Key(seed)), (x,)),
    }


OPS = sorted(calls(0))


def arrays(result) -> list[np.ndarray]:
    return [a for a in (result if isinstance(result, tuple) else (result,)) if a is not None]


def test_every_kernel_for_an_op_is_tried_here():
    assert {op for (op, library), f in registry._kernels.items() if f.__module__ == kernels.__name__} == set(OPS)


@pytest.mark.parametrize("op", OPS)
def test_nothing_is_written_to_and_no_result_is_overwritten_later(op):
    arena = cpu.Arena()
    with arena.active(), tiled(1 << 14):
        call, given = calls(0)[op]
        before = [a.copy() for a in given]
        found = arrays(call(*given))
        for a, b in zip(given, before, strict=True):
            assert a.tobytes() == b.tobytes()
        copies = [a.copy() for a in found]
        for seed in range(3):
            other, others = calls(seed)[op]
            other(*others)
        for a, b in zip(found, copies, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.flags.writeable


@pytest.mark.parametrize("op", OPS)
def test_the_bits_do_not_depend_on_threads(op):
    bits = []
    for threads in (1, 2, 3):
        cpu.set_num_threads(threads)
        try:
            with tiled(1 << 12):
                call, given = calls(0)[op]
                bits.append([a.tobytes() for a in arrays(call(*given))])
        finally:
            cpu.set_num_threads(None)
    assert bits[0] == bits[1] == bits[2]


@pytest.mark.parametrize("op", OPS)
def test_no_kernel_is_asked_where_the_generic_bodies_are_asked_for(op):
    call, given = calls(0)[op]
    with answers(op) as asked, generic():
        call(*given)
    assert asked == []


@pytest.mark.parametrize("op", OPS)
def test_the_generic_body_takes_the_other_dtypes(op):
    call, given = calls(0, "float16")[op]
    with answers(op) as asked, tiled(1 << 14):
        found = arrays(call(*given))
    assert asked in ([False], [False, True])  # the generic body may take a detour through float32
    assert found[0].dtype in (np.float16, np.bool_)


@pytest.mark.parametrize("op", ["batch_norm", "batch_norm_backward", "batch_statistics", "dropout"])
def test_the_generic_body_takes_small_arrays(op):
    call, given = calls(0)[op]
    with answers(op) as asked:
        call(*given)
    assert asked == [False]


def test_a_run_is_made_once_for_all_calls_alike():
    for samples in (2, 5):
        ops.conv2d(draw((samples, 2, 5, 5), 0), draw((3, 2, 3, 3), 0))
    assert kernels._convolution.cache_info().currsize == 1
    cut = cuts("", (3, 2, 3, 3), 1, 0, 1, 1)
    assert kernels._convolution((5, 5, 2), 3, cut, np.dtype("float64")) is not kernels._convolution(
        (5, 5, 2), 3, cut, np.dtype("float32")
    )
