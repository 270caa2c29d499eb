"""Ties, borders and counts in pooling."""

import math

import numpy as np
import pytest

from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import ConfigError, ShapeError


def gradient_of(x, space, *args, **kwargs):
    x = space.asarray(x)
    y, index = ops.max_pool2d(x, *args, **kwargs)
    dx = ops.max_pool2d_backward(space.asarray(np.ones(tuple(y.shape))), index, tuple(x.shape), *args, **kwargs)
    return to_numpy(y), to_numpy(dx)


def test_of_equal_entries_the_first_gets_the_gradient(space):
    _, dx = gradient_of(np.ones((1, 1, 2, 2)), space, 2)
    assert dx.tolist() == [[[[1.0, 0.0], [0.0, 0.0]]]]
    _, dx = gradient_of([[[[0.0, 3.0, 3.0], [3.0, 0.0, 0.0]]]], space, (2, 3))
    assert dx.tolist() == [[[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]]


def test_overlapping_windows_add_up(space):
    _, dx = gradient_of([[[[0.0, 9.0, 0.0]]]], space, (1, 2), 1)
    assert dx.tolist() == [[[[0.0, 2.0, 0.0]]]]


def test_the_border_never_wins(space):
    y, dx = gradient_of(np.full((1, 1, 2, 2), -5.0), space, 2, 2, 1)
    assert y.tolist() == [[[[-5.0, -5.0], [-5.0, -5.0]]]]
    assert dx.tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]


def test_nan_wins(space):
    y, dx = gradient_of([[[[1.0, math.nan], [2.0, 3.0]]]], space, 2)
    assert math.isnan(y[0, 0, 0, 0])
    assert dx.tolist() == [[[[0.0, 1.0], [0.0, 0.0]]]], "and gets the gradient, as in PyTorch"


def test_a_window_of_more_than_256_entries(space):
    x = np.zeros((1, 1, 17, 17))
    x[0, 0, 16, 15] = 1.0
    _, dx = gradient_of(x, space, 17)
    assert np.array_equal(dx, x)


@pytest.mark.parametrize("counted", [True, False])
def test_avg_pool_of_ones_is_one_where_the_border_does_not_count(space, counted):
    x = space.asarray(np.ones((1, 1, 4, 5)))
    y = to_numpy(ops.avg_pool2d(x, 3, 2, 1, True, counted))
    assert y.shape == (1, 1, 3, 3)
    # count of real entries and of all that are not beyond the padding, for each row and column of windows
    rows, cols = np.asarray([2, 3, 1]), np.asarray([2, 3, 2])
    wide_rows, wide_cols = np.asarray([3, 3, 2]), np.asarray([3, 3, 3])
    expected = np.outer(rows, cols) / np.outer(wide_rows, wide_cols) if counted else np.ones((3, 3))
    np.testing.assert_allclose(y[0, 0], expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        ((0,), ConfigError, "expected kernel_size of at least 1"),
        ((2, 0), ConfigError, "expected stride of at least 1"),
        ((2, 2, 2), ConfigError, "padding of at most half the kernel"),
        ((2, 2, "same"), ConfigError, "expected padding in numbers"),
        ((5,), ShapeError, r"at least the kernel's size \(5, 5\), got \(4, 4\)"),
    ],
)
@pytest.mark.parametrize("op", [ops.max_pool2d, ops.avg_pool2d])
def test_wrong_settings_raise(op, args, error, text):
    with pytest.raises(error, match=text):
        op(np.ones((1, 1, 4, 4)), *args)


@pytest.mark.parametrize("wrong", ["no", 1, None, 0.0])
def test_flags_must_be_true_or_false(wrong):
    x, dy, index = np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2)), np.zeros((1, 1, 2, 2), "uint8")
    calls = [
        ("ceil_mode", lambda: ops.max_pool2d(x, 2, ceil_mode=wrong)),
        ("ceil_mode", lambda: ops.max_pool2d_backward(dy, index, x.shape, 2, ceil_mode=wrong)),
        ("ceil_mode", lambda: ops.avg_pool2d(x, 2, ceil_mode=wrong)),
        ("ceil_mode", lambda: ops.pool_shape("AvgPool2d", x.shape, 2, ceil_mode=wrong)),
        ("count_include_pad", lambda: ops.avg_pool2d(x, 2, count_include_pad=wrong)),
        ("count_include_pad", lambda: ops.avg_pool2d_backward(dy, x.shape, 2, count_include_pad=wrong)),
    ]
    for name, call in calls:
        with pytest.raises(ConfigError, match=f"Pool2d: expected {name} to be True or False, got {wrong!r}"):
            call()


def test_wrong_index_raises():
    _, index = ops.max_pool2d(np.ones((1, 1, 4, 4)), 2)
    with pytest.raises(ShapeError):
        ops.max_pool2d_backward(np.ones((1, 1, 2, 2)), index[:, :, :1], (1, 1, 4, 4), 2)


def test_the_mean_of_a_whole_image_is_rounded_once(space):
    """Numbers around zero: 10,000 of them in float32 would be off by ten times as much."""
    x = normal((2, 16, 100, 100), Key(0)).astype("float32")
    y = to_numpy(ops.global_avg_pool2d(space.asarray(x, "float32")))
    exact = x.astype("float64").mean(axis=(2, 3))
    np.testing.assert_array_less(np.abs(y - exact), 0.5001 * np.spacing(np.abs(y)))
