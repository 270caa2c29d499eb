"""The kernels of augmentation against the generic bodies, bit by bit."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backend.cuda.on_cpu import generic
from xpcnn.backend import Key, normal, to_numpy, uniform
from xpcnn.data.augment import Compose, RandomCrop, RandomHorizontalFlip, RandomRotation, RandomShift
from xpcnn.data.augment.sampling import gather, rotate

sides = st.integers(1, 9)
dtypes = st.sampled_from(["float32", "float64"])
shapes = st.tuples(st.integers(1, 4), st.one_of(st.integers(1, 4), st.just(70)), sides, sides)
layouts = st.sampled_from(["first", "last", "neither"])


def images(shape, dtype, layout="first"):
    x = normal(shape, Key(0, "x")).astype(dtype)
    x[normal(shape, Key(0, "where")) > 2.0] = np.nan
    if layout == "last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, 3)), 3, 1)
    return x if layout == "first" else np.asarray(x, order="F")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=shapes,
    out=st.tuples(sides, sides),
    least=st.sampled_from([-1, 0]),
    fill=st.sampled_from([0.0, 0.1]),
    dtype=dtypes,
    layout=layouts,
)
def test_gathered_bits_are_those_of_the_generic_body(answering, shape, out, least, fill, dtype, layout):
    x = images(shape, dtype, layout)
    rows, cols = (
        np.floor(uniform((shape[0], count), Key(0, name)) * (size - least)).astype(np.int64) + least
        for count, size, name in zip(out, shape[2:], ("rows", "cols"), strict=True)
    )
    expected = generic(lambda: gather(x, rows, cols, fill))
    answering.launched.clear()
    y = gather(x, rows, cols, fill)
    assert answering.launched == ["gather"]
    assert y.dtype == x.dtype
    assert np.moveaxis(y, 1, 3).flags.c_contiguous
    np.testing.assert_array_equal(y, expected)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=shapes,
    degrees=st.sampled_from([0.0, 30.0, 90.0, 180.0, -717.3]),
    fill=st.sampled_from([0.0, 0.1]),
    dtype=dtypes,
    layout=layouts,
)
def test_turned_bits_are_those_of_the_generic_body(answering, shape, degrees, fill, dtype, layout):
    x, angles = images(shape, dtype, layout), degrees + 7.0 * np.arange(shape[0])
    expected = generic(lambda: rotate(x, angles, fill))
    answering.launched.clear()
    y = rotate(x, angles, fill)
    assert answering.launched == ["rotate"]
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, expected)


def test_transforms_ask_them(answering):
    x, index = images((6, 3, 8, 9), "float32"), np.arange(6)
    moves = [RandomHorizontalFlip(), RandomShift(2, padding_mode="reflect"), RandomCrop(7, padding=1)]
    for transform, launched in ((Compose(moves), "gather"), (RandomRotation(30), "rotate")):
        expected = generic(lambda transform=transform: transform(x, index=index)[0])
        answering.launched.clear()
        np.testing.assert_array_equal(transform(x, index=index)[0], expected)
        assert answering.launched == ["sample_uniform", launched]


def test_other_dtypes_are_left_to_the_generic_bodies(answering):
    x = np.ones((1, 2, 3, 4), "float16")
    assert gather(x, np.asarray([[0]]), np.asarray([[-1]])).dtype == "float16"
    assert rotate(x, np.asarray([30.0])).dtype == "float16"
    assert not answering.launched


@pytest.mark.gpu
@pytest.mark.parametrize("transform", [RandomCrop(7, padding=2, fill=0.5), RandomRotation(30)], ids=repr)
def test_a_gpu_moves_the_same_pixels(space_of_cupy, transform):
    x, index = images((6, 3, 8, 9), "float32"), np.arange(6)
    expected = generic(lambda: transform(x, index=index)[0])
    y = transform(space_of_cupy.asarray(x), index=index)[0]
    np.testing.assert_array_equal(to_numpy(y), expected)
