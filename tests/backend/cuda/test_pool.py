"""The kernels of max pooling against the generic bodies, bit by bit, with every setting."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.backend.cuda import pool
from xpcnn.errors import XpcnnError
from xpcnn.ops.pool_windows import pool_windows
from xpcnn.ops.windows import crop, pad

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
KINDS = ["numbers", "ties", "nan", "infinite"]


def images(shape, kind, dtype):
    x = normal(shape, Key(0, "x")).astype(dtype)
    if kind == "ties":
        return np.round(x)
    if kind == "nan":
        x[normal(shape, Key(0, "where")) > 1.0] = np.nan
    if kind == "infinite":
        x[normal(shape, Key(0, "where")) > 1.0] = -np.inf
    return x


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)),
    kernel=pairs,
    stride=st.one_of(st.none(), pairs),
    padding=st.tuples(*[st.integers(0, 1)] * 2),
    dilation=pairs,
    ceil_mode=st.booleans(),
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_bits_are_those_of_the_generic_bodies(cupy, shape, kernel, stride, padding, dilation, ceil_mode, kind, dtype):
    options = (kernel, stride, padding, dilation, ceil_mode)
    try:
        win = pool_windows("MaxPool2d", shape, *options)
    except XpcnnError:
        assume(False)
    x = images(shape, kind, dtype)
    with pytest.MonkeyPatch.context() as patch, np.errstate(invalid="ignore"):
        patch.setenv("XPCNN_KERNELS", "generic")
        y, index = ops.max_pool2d(x, *options)
        dy = normal(y.shape, Key(0, "dy")).astype(dtype)
        dx = ops.max_pool2d_backward(dy, index, shape, *options)
    found, place = pool.max_pool2d(pad(x, win.border, -np.inf), win)
    assert place.dtype == index.dtype
    np.testing.assert_array_equal(found, y)
    np.testing.assert_array_equal(place, index)
    back = crop(pool.max_pool2d_backward(dy, place, shape, win), win.border)
    assert back.dtype == dx.dtype
    np.testing.assert_array_equal(back, dx)


@pytest.mark.parametrize(("size", "dtype"), [(16, "uint8"), (17, "int32")])
def test_places_in_large_windows_are_larger_numbers(cupy, size, dtype):
    shape = (1, 2, size, 2 * size)
    win = pool_windows("MaxPool2d", shape, size, None, 0, 1, ceil_mode=False)
    x = images(shape, "numbers", "float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPCNN_KERNELS", "generic")
        y, index = ops.max_pool2d(x, size)
    found, place = pool.max_pool2d(x, win)
    assert place.dtype == index.dtype == dtype
    assert (found == y).all()
    assert (place == index).all()
    assert cupy.launched == ["max_pool"]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gpu_gives_the_same_bits(space_of_cupy, dtype):
    shape, options = (3, 5, 9, 8), ((3, 2), (2, 1), (1, 0), (1, 2), True)
    x = images(shape, "nan", dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPCNN_KERNELS", "generic")
        y, index = ops.max_pool2d(x, *options)
        dy = normal(y.shape, Key(0, "dy")).astype(dtype)
        dx = ops.max_pool2d_backward(dy, index, shape, *options)
    found, place = ops.max_pool2d(space_of_cupy.asarray(x), *options)
    back = ops.max_pool2d_backward(space_of_cupy.asarray(dy), place, shape, *options)
    for a, b in ((found, y), (place, index), (back, dx)):
        np.testing.assert_array_equal(to_numpy(a), b)
