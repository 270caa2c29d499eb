"""The kernels of average pooling against the generic bodies, bit by bit, with every setting."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.backend.cuda.on_cpu import generic
from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import XpcnnError

pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
dtypes = st.sampled_from(["float32", "float64"])
shapes = st.tuples(st.integers(1, 2), st.one_of(st.integers(1, 4), st.just(70)), st.integers(1, 7), st.integers(1, 7))


def images(shape, dtype, last=False, odd=False):
    x = normal(shape, Key(0, "x")).astype(dtype)
    if odd:
        x[normal(shape, Key(0, "where")) > 1.5] = np.nan
        x[normal(shape, Key(0, "where")) < -1.5] = np.inf
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, 3)), 3, 1) if last else x


def in_memory_order(a):
    return np.moveaxis(a, 1, 3).flags.c_contiguous


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=shapes,
    kernel=pairs,
    stride=st.one_of(st.none(), pairs),
    padding=st.one_of(st.tuples(*[st.integers(0, 2)] * 2), st.tuples(*[st.integers(0, 2)] * 4)),
    ceil_mode=st.booleans(),
    include=st.booleans(),
    dtype=dtypes,
    last=st.booleans(),
    odd=st.booleans(),
)
def test_bits_are_those_of_the_generic_bodies(
    answering, shape, kernel, stride, padding, ceil_mode, include, dtype, last, odd
):
    x, options = images(shape, dtype, last, odd), (kernel, stride, padding, ceil_mode, include)
    try:
        y = generic(lambda: ops.avg_pool2d(x, *options))
    except XpcnnError:
        assume(False)
    dy = images(y.shape, dtype, not last, odd)
    dx = generic(lambda: ops.avg_pool2d_backward(dy, shape, *options))
    answering.launched.clear()
    found, back = ops.avg_pool2d(x, *options), ops.avg_pool2d_backward(dy, shape, *options)
    assert answering.launched == ["avg_pool", "avg_pool_backward"]
    for a, b in ((found, y), (back, dx)):
        assert a.dtype == b.dtype
        assert in_memory_order(a)
        np.testing.assert_array_equal(a, b)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=shapes, dtype=dtypes, last=st.booleans(), size=st.sampled_from([1.0, 1e6]))
def test_global_means_are_rounded_once(answering, shape, dtype, last, size):
    x = (size * images(shape, dtype, last)).astype(dtype)
    y = ops.global_avg_pool2d(x)
    assert (y.shape, y.dtype) == (shape[:2], x.dtype)
    exact = x.astype("longdouble").mean(axis=(2, 3)).astype("float64")
    np.testing.assert_allclose(y, exact, rtol=np.finfo(dtype).eps, atol=1e-15 * np.abs(x).max())
    dy = images((*shape[:2], 1, 1), dtype)[:, :, 0, 0]
    dx = ops.global_avg_pool2d_backward(dy, shape)
    assert in_memory_order(dx)
    np.testing.assert_array_equal(dx, generic(lambda: ops.global_avg_pool2d_backward(dy, shape)))
    assert answering.launched[-1] == "global_avg_pool_backward"


def test_large_images_are_added_by_many_threads(answering):
    x = images((2, 3, 30, 31), "float32")
    np.testing.assert_array_equal(ops.global_avg_pool2d(x), x.mean(axis=(2, 3), dtype="float64").astype("float32"))
    assert answering.launched == ["sum_rows"] * 2


def test_other_dtypes_are_left_to_the_generic_bodies(answering):
    x = np.ones((1, 2, 4, 4), "longdouble")
    ops.avg_pool2d_backward(ops.avg_pool2d(x, 2), x.shape, 2)
    ops.global_avg_pool2d_backward(ops.global_avg_pool2d(x), x.shape)
    assert not answering.launched


@pytest.mark.gpu
@pytest.mark.parametrize("include", [True, False])
def test_a_gpu_gives_the_same_bits(space_of_cupy, include):
    shape, options = (3, 5, 9, 8), ((3, 2), (2, 1), (1, 0), True, include)
    x = images(shape, "float32")
    y = generic(lambda: ops.avg_pool2d(x, *options))
    dx = generic(lambda: ops.avg_pool2d_backward(y, shape, *options))
    found = ops.avg_pool2d(space_of_cupy.asarray(x), *options)
    back = ops.avg_pool2d_backward(space_of_cupy.asarray(y), shape, *options)
    for a, b in ((found, y), (back, dx)):
        np.testing.assert_array_equal(to_numpy(a), b)
    mean = ops.global_avg_pool2d(space_of_cupy.asarray(x))
    np.testing.assert_allclose(to_numpy(mean), x.mean(axis=(2, 3), dtype="float64"), rtol=2e-7)
    spread = to_numpy(ops.global_avg_pool2d_backward(mean, shape))
    np.testing.assert_array_equal(spread, generic(lambda: ops.global_avg_pool2d_backward(to_numpy(mean), shape)))
