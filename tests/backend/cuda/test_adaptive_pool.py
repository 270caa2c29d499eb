"""The kernels of adaptive and global pooling: maxima and gradients bit by bit, means against exact ones."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backend.cuda.on_cpu import generic
from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.backend.cuda import adaptive_pool

sides = st.integers(1, 9)
dtypes = st.sampled_from(["float32", "float64"])
shapes = st.tuples(st.integers(1, 2), st.one_of(st.integers(1, 4), st.just(70)), sides, sides)
outs = st.tuples(st.one_of(st.none(), sides), st.one_of(st.none(), sides))
KINDS = ["numbers", "ties", "nan", "infinite"]


def images(shape, dtype, kind="numbers", last=False):
    x = normal(shape, Key(0, "x")).astype(dtype)
    if kind == "ties":
        x = np.round(x)
    if kind in ("nan", "infinite"):
        x[normal(shape, Key(0, "where")) > 0.5] = {"nan": np.nan, "infinite": -np.inf}[kind]
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, 3)), 3, 1) if last else x


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=shapes, out=outs, kind=st.sampled_from(KINDS), dtype=dtypes, last=st.booleans())
def test_maxima_have_the_bits_of_the_generic_bodies(answering, shape, out, kind, dtype, last):
    x = images(shape, dtype, kind, last)
    y, places = generic(lambda: ops.adaptive_max_pool2d(x, out))
    dy = images(y.shape, dtype, "numbers" if kind == "ties" else kind, not last)
    dx = generic(lambda: ops.adaptive_max_pool2d_backward(dy, places, shape, out))
    answering.launched.clear()
    found, where = ops.adaptive_max_pool2d(x, out)
    back = ops.adaptive_max_pool2d_backward(dy, where, shape, out)
    assert answering.launched == ["window_maxima"] * 2 + ["window_maxima_backward"] * 2
    for a, b in ((found, y), (where[0], places[0]), (where[1], places[1]), (back, dx)):
        assert a.dtype == b.dtype
        assert np.moveaxis(a, 1, 3).flags.c_contiguous
        np.testing.assert_array_equal(a, b)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=shapes, out=outs, kind=st.sampled_from(["numbers", "nan", "infinite"]), dtype=dtypes, last=st.booleans())
def test_means_are_near_and_their_gradients_have_the_bits(answering, shape, out, kind, dtype, last):
    x = images(shape, dtype, kind, last)
    exact = generic(lambda: ops.adaptive_avg_pool2d(x.astype("float64"), out))
    dy = images(exact.shape, dtype, kind, not last)
    dx = generic(lambda: ops.adaptive_avg_pool2d_backward(dy, shape, out))
    answering.launched.clear()
    found, back = ops.adaptive_avg_pool2d(x, out), ops.adaptive_avg_pool2d_backward(dy, shape, out)
    assert answering.launched == ["window_means"] * 2 + ["window_means_backward"] * 2
    eps = np.finfo(dtype).eps  # of float64 the generic body's own errors are as large
    np.testing.assert_allclose(found, exact, rtol=2 * eps, atol=(1 if dtype == "float32" else 8) * eps * 4)
    assert found.dtype == back.dtype == x.dtype
    np.testing.assert_array_equal(back, dx)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 1, 3, 1)])
def test_sums_of_means_keep_what_large_numbers_leave(answering, shape):
    x = np.asarray([1e8, 1.0, -1e8], dtype="float32").reshape(shape)
    assert ops.adaptive_avg_pool2d(x, 1).item() == np.float32(1 / 3)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=shapes, kind=st.sampled_from(KINDS), dtype=dtypes)
def test_global_maxima_are_those_of_one_window(answering, shape, kind, dtype):
    x = images(shape, dtype, kind)
    y, places = generic(lambda: ops.global_max_pool2d(x))
    dx = generic(lambda: ops.global_max_pool2d_backward(y, places, shape))
    answering.launched.clear()
    found, where = ops.global_max_pool2d(x)
    np.testing.assert_array_equal(found, y)
    np.testing.assert_array_equal(ops.global_max_pool2d_backward(y, where, shape), dx)
    assert len(answering.launched) == 4


@pytest.mark.parametrize(("size", "dtypes"), [(255, ["uint8", "uint8"]), (256, ["uint8", "int32"])])
def test_places_in_long_windows_are_larger_numbers(answering, size, dtypes):
    x = images((1, 1, size, 2), "float32")
    y, places = ops.global_max_pool2d(x)
    assert [a.dtype for a in places] == dtypes
    assert y == x.max()
    assert ops.global_max_pool2d_backward(y, places, x.shape).sum() == y


def test_other_dtypes_are_left_to_the_generic_bodies(answering):
    x = np.ones((1, 2, 4, 4), "longdouble")
    y, places = ops.adaptive_max_pool2d(x, 2)
    ops.adaptive_max_pool2d_backward(y, places, x.shape, 2)
    ops.adaptive_avg_pool2d_backward(ops.adaptive_avg_pool2d(x, 2), x.shape, 2)
    long = tuple(a.astype("int64") for a in places)
    assert adaptive_pool.adaptive_max_pool2d_backward(y.astype("float32"), long, x.shape) is None
    assert not answering.launched


@pytest.mark.gpu
@pytest.mark.parametrize("out", [1, (4, 3), (9, 2)])
def test_a_gpu_gives_the_same(space_of_cupy, out):
    shape = (3, 5, 7, 8)
    x = images(shape, "float32", "nan")
    y, places = generic(lambda: ops.adaptive_max_pool2d(x, out))
    dx = generic(lambda: ops.adaptive_max_pool2d_backward(y, places, shape, out))
    found, where = ops.adaptive_max_pool2d(space_of_cupy.asarray(x), out)
    back = ops.adaptive_max_pool2d_backward(found, where, shape, out)
    for a, b in ((found, y), (where[0], places[0]), (where[1], places[1]), (back, dx)):
        np.testing.assert_array_equal(to_numpy(a), b)
    x = images(shape, "float32")
    mean = ops.adaptive_avg_pool2d(space_of_cupy.asarray(x), out)
    exact = generic(lambda: ops.adaptive_avg_pool2d(x.astype("float64"), out))
    np.testing.assert_allclose(to_numpy(mean), exact, rtol=1e-6, atol=1e-6)
    spread = to_numpy(ops.adaptive_avg_pool2d_backward(mean, shape, out))
    np.testing.assert_array_equal(spread, generic(lambda: ops.adaptive_avg_pool2d_backward(to_numpy(mean), shape, out)))
