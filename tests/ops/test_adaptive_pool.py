"""Windows, ties and NaN in adaptive and global pooling, against loops over the windows."""

import math

import numpy as np
import pytest

from xpcnn import layers as L
from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import ConfigError, ShapeError


def loops(x, out, reduce):
    """Each window by itself, its borders in exact fractions of the image."""
    n, c, h, w = x.shape
    y = np.zeros((n, c, *out))
    for i in range(out[0]):
        for j in range(out[1]):
            rows = slice(math.floor(i * h / out[0]), math.ceil((i + 1) * h / out[0]))
            cols = slice(math.floor(j * w / out[1]), math.ceil((j + 1) * w / out[1]))
            y[:, :, i, j] = reduce(x[:, :, rows, cols], axis=(2, 3))
    return y


SIZES = [(1, 1), (2, 3), (3, 2), (4, 4), (5, 7), (8, 6), (9, 11)]


@pytest.mark.parametrize("out", SIZES, ids=str)
def test_every_window_is_what_a_loop_says(out, space):
    x = normal((2, 3, 8, 6), Key(0))
    mean = to_numpy(ops.adaptive_avg_pool2d(space.asarray(x), out))
    np.testing.assert_allclose(mean, loops(x, out, np.mean), rtol=1e-13, atol=1e-14)
    largest, _ = ops.adaptive_max_pool2d(space.asarray(x), out)
    assert np.array_equal(to_numpy(largest), loops(x, out, np.max))


def max_gradient(x, space, out):
    x = space.asarray(x)
    y, places = ops.adaptive_max_pool2d(x, out)
    dy = space.asarray(np.arange(1.0, 1.0 + math.prod(y.shape)).reshape(y.shape))
    return to_numpy(ops.adaptive_max_pool2d_backward(dy, places, tuple(x.shape), out))


def test_of_equal_entries_the_first_in_reading_order_gets_the_gradient(space):
    dx = max_gradient([[[[0.0, 0.0, 7.0], [7.0, 0.0, 7.0], [7.0, 7.0, 0.0]]]], space, 1)
    assert dx.tolist() == [[[[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]]
    dx = max_gradient(np.ones((1, 1, 3, 3)), space, 2)
    assert dx.tolist() == [[[[1.0, 2.0, 0.0], [3.0, 4.0, 0.0], [0.0, 0.0, 0.0]]]]


def test_windows_that_overlap_add_up(space):
    dx = max_gradient([[[[0.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 0.0]]]], space, 2)
    assert dx.tolist() == [[[[0.0, 0.0, 0.0], [0.0, 10.0, 0.0], [0.0, 0.0, 0.0]]]]


def test_nan_wins_in_its_windows_only(space):
    x = np.asarray([[[[1.0, math.nan, 2.0, 9.0], [0.0, math.nan, 3.0, 4.0]]]])
    y, _ = ops.adaptive_max_pool2d(space.asarray(x), (1, 2))
    assert np.array_equal(to_numpy(y), [[[[math.nan, 9.0]]]], equal_nan=True)
    y = ops.adaptive_avg_pool2d(space.asarray(x), (1, 2))
    assert np.array_equal(to_numpy(y), [[[[math.nan, 4.5]]]], equal_nan=True)
    assert max_gradient(x, space, (1, 2)).tolist() == [[[[0.0, 1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]]]]


def test_all_minus_infinity_still_has_a_first(space):
    dx = max_gradient(np.full((1, 1, 2, 2), -math.inf), space, 1)
    assert dx.tolist() == [[[[1.0, 0.0], [0.0, 0.0]]]]


@pytest.mark.parametrize("size", [255, 256, 257, 300])
def test_places_count_beyond_a_byte(size, space):
    x = np.zeros((1, 1, 1, size))
    x[..., -1] = 1.0
    assert np.array_equal(max_gradient(x, space, 1), x)
    assert np.array_equal(max_gradient(x.reshape(1, 1, size, 1), space, 1), x.reshape(1, 1, size, 1))


def test_global_max_is_that_of_each_channel_with_its_gradient_at_the_first(space):
    x = np.asarray([[[[1.0, 5.0], [5.0, 3.0]], [[-2.0, -3.0], [-2.0, -1.0]]]])
    y, places = ops.global_max_pool2d(space.asarray(x))
    assert to_numpy(y).tolist() == [[5.0, -1.0]]
    dx = ops.global_max_pool2d_backward(space.asarray([[2.0, 3.0]]), places, x.shape)
    assert to_numpy(dx).tolist() == [[[[0.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 3.0]]]]
    y, _ = ops.global_max_pool2d(space.asarray([[[[1.0, math.nan]], [[2.0, 3.0]]]]))
    assert np.array_equal(to_numpy(y), [[math.nan, 3.0]], equal_nan=True)


def test_float32_means_of_large_numbers_are_good_to_the_last_digit(space):
    x = (1e4 + normal((1, 2, 90, 70), Key(1))).astype("float32")
    y = to_numpy(ops.adaptive_avg_pool2d(space.asarray(x), 4))
    np.testing.assert_allclose(y, loops(x.astype("float64"), (4, 4), np.mean), rtol=3e-7)


LAYERS = (L.AdaptiveAvgPool2d, L.AdaptiveMaxPool2d)


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("size", [0, -1, 2.0, "2", None, (2,), (1, 2, 3), (0, None), (True, 2), True, {1, 2}], ids=repr)
def test_wrong_sizes_raise(cls, size):
    text = f"{cls.__name__}: expected output_size to be an integer of at least 1 or a pair"
    with pytest.raises(ConfigError, match=text):
        cls(size)
    op = ops.adaptive_avg_pool2d if cls is L.AdaptiveAvgPool2d else ops.adaptive_max_pool2d
    with pytest.raises(ConfigError, match=text):
        op(np.ones((1, 1, 4, 4)), size)


EACH = [*(cls(2) for cls in LAYERS), L.GlobalMaxPool2d()]


@pytest.mark.parametrize("layer", EACH, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 0, 4), (0, 3, 4, 4)], ids=str)
def test_wrong_shapes_raise(layer, shape):
    with pytest.raises(ShapeError, match=rf"{type(layer).__name__}: expected x of shape \(N, C, H, W\)"):
        layer(np.ones(shape))
    if shape[0]:
        with pytest.raises(ShapeError, match=type(layer).__name__):
            layer.output_shape(shape[1:])


def test_wrong_gradients_and_places_raise():
    x = np.ones((1, 1, 4, 5))
    y, (columns, rows) = ops.adaptive_max_pool2d(x, 2)
    for dy, places in ((y[:, :, :1], (columns, rows)), (y, (columns[:, :, :3], rows)), (y, (columns, rows[:, :, :1]))):
        with pytest.raises(ShapeError, match="AdaptiveMaxPool2d"):
            ops.adaptive_max_pool2d_backward(dy, places, x.shape, 2)
    with pytest.raises(ShapeError, match="AdaptiveAvgPool2d"):
        ops.adaptive_avg_pool2d_backward(y, x.shape, 3)
    with pytest.raises(ShapeError, match="GlobalMaxPool2d"):
        ops.global_max_pool2d_backward(np.ones((1, 2)), ops.global_max_pool2d(x)[1], x.shape)


SHAPES = [(3, 8, 6), (1, 254, 3), (1, 3, 254), (1, 300, 2), (1, 255, 255), (2, 511, 5)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cost_is_what_the_cache_holds(shape):
    for layer in (L.AdaptiveMaxPool2d(2), L.AdaptiveMaxPool2d((1, 2)), L.GlobalMaxPool2d()):
        _, cache = layer.forward(np.zeros((1, *shape), "float32"), train=True)
        assert layer.cost(shape, 4).extra == sum(a.nbytes for a in cache.saved[0])
