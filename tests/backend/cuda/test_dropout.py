"""Dropout's kernel draws the masks of every other library, and scales as the generic body does."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backend.cuda.on_cpu import generic
from xpcnn import ops
from xpcnn.backend import Key, keep_mask, normal, to_numpy
from xpcnn.backend.cuda import dropout as kernels
from xpcnn.backend.cuda.dropout import dropout
from xpcnn.backend.random import philox_words

shapes = st.one_of(st.tuples(st.integers(1, 3), st.integers(1, 40)), st.tuples(*[st.integers(1, 4)] * 4))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=shapes,
    p=st.sampled_from([0.0, 1e-9, 0.25, 0.5, 1.0 - 1e-9, 1.0]),
    first=st.sampled_from([0, 1, 5, 2**40]),
    step=st.sampled_from([0, 3, 2**63 + 1]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_bits_are_those_of_the_generic_body(cupy, shape, p, first, step, dtype):
    x = normal(shape, Key(0, "x")).astype(dtype)
    x.reshape(-1)[0] = math.inf  # a masked infinity is NaN in both
    key = Key(2**64 - 1, "dropout/3", step, first)
    with pytest.MonkeyPatch.context() as patch, np.errstate(invalid="ignore"):
        patch.setenv("XPCNN_KERNELS", "generic")
        y, mask = ops.dropout(x, p, key)
    found, found_mask = dropout(x, p, key)
    assert (found_mask == mask).all()
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found, y)


def test_the_last_entries_are_drawn_too(cupy):
    # 2,045 entries that begin in the middle of a block need a thread more than a full block of threads has
    x, key = np.ones((1, 2045), "float32"), Key(0, "dropout", first=1)
    assert (dropout(x, 0.5, key)[1] == keep_mask(x, 0.5, key)).all()


def test_a_word_at_the_threshold_is_kept(cupy):
    key = Key(3, "dropout")
    p = int(philox_words(np, 1, key)[0]) / 2**32
    assert dropout(np.ones((1, 1), "float32"), p, key)[1].all()


def test_images_come_back_channels_last(cupy):
    x = np.ones((2, 3, 4, 5), "float32")
    for a in dropout(x, 0.5, Key(0)):
        assert a.shape == x.shape
        assert a.transpose(0, 2, 3, 1).flags.c_contiguous
    assert cupy.launched == ["dropout"]


def test_other_dtypes_are_left_to_the_generic_body(cupy):
    assert dropout(np.ones((2, 3), "int32"), 0.5, Key(0)) is None
    assert not cupy.launched


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.one_of(shapes, st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 30))),
    p=st.sampled_from([0.0, 1e-9, 0.25, 0.5, 1.0]),
    first=st.sampled_from([0, 1, 5, 2**40]),
    step=st.sampled_from([0, 3, 2**63 + 1]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_masks_alone_are_those_of_every_library(answering, shape, p, first, step, dtype):
    x, key = np.zeros(shape, dtype), Key(2**64 - 1, "dropout/3", step, first)
    expected = generic(lambda: keep_mask(x, p, key))
    answering.launched.clear()
    mask = keep_mask(x, p, key)
    assert answering.launched == ["keep_mask"]
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, expected)


def test_a_word_at_the_threshold_is_kept_in_masks_alone(cupy):
    key = Key(3, "dropout")
    p = int(philox_words(np, 1, key)[0]) / 2**32
    assert kernels.keep_mask(np.ones((1, 1), "float32"), p, key).all()
    assert kernels.keep_mask(np.ones((1, 1), "int32"), p, key) is None


def test_channels_are_dropped_as_everywhere(answering):
    x, key = normal((3, 5, 4, 2), Key(0, "x")), Key(5, "dropout", 3, 2)
    y, mask = generic(lambda: ops.dropout2d(x, 0.3, key))
    found, found_mask = ops.dropout2d(x, 0.3, key)
    assert answering.launched == ["keep_mask"]
    np.testing.assert_array_equal(found, y)
    np.testing.assert_array_equal(found_mask, mask)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(7, 33), (3, 5, 4, 6)])
def test_a_gpu_draws_the_same_mask(space_of_cupy, shape):
    x, key = normal(shape, Key(0, "x")).astype("float32"), Key(5, "dropout", 3, 2)
    y, mask = ops.dropout(x, 0.3, key)
    found, found_mask = ops.dropout(space_of_cupy.asarray(x), 0.3, key)
    np.testing.assert_array_equal(to_numpy(found_mask), mask)
    np.testing.assert_array_equal(to_numpy(found), y)


@pytest.mark.gpu
def test_a_gpu_drops_the_same_channels(space_of_cupy):
    x, key = normal((3, 5, 4, 6), Key(0, "x")).astype("float32"), Key(5, "dropout", 3, 2)
    y, mask = ops.dropout2d(x, 0.3, key)
    found, found_mask = ops.dropout2d(space_of_cupy.asarray(x), 0.3, key)
    np.testing.assert_array_equal(to_numpy(found_mask), mask)
    np.testing.assert_array_equal(to_numpy(found), y)
