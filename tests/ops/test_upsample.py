"""Where the pixels of a resized image come from, and what goes back to them."""

import math

import numpy as np
import pytest

from xpcnn import layers as L
from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import ConfigError, ShapeError


def ramp(h, w):
    """An image that rises linearly: 2 a row, 3 a column."""
    return (2.0 * np.arange(h)[:, None] + 3.0 * np.arange(w)).reshape(1, 1, h, w)


def test_whole_factors_of_nearest_repeat_pixels(space):
    x = normal((2, 3, 4, 5), Key(0))
    for factor in (1, 2, 3, (1, 2), (4, 3), (41, 1)):
        rows, cols = np.broadcast_to(factor, 2)
        y = to_numpy(ops.upsample2d(space.asarray(x), scale_factor=factor))
        assert np.array_equal(y, x.repeat(rows, axis=2).repeat(cols, axis=3))
        sized = ops.upsample2d(space.asarray(x), size=(int(4 * rows), int(5 * cols)))
        assert np.array_equal(to_numpy(sized), y)


def test_whole_factors_hold_for_large_images(space):
    """41 * float32(1 / 41) is less than one."""
    x = np.arange(100.0).reshape(1, 1, 100, 1)
    y = to_numpy(ops.upsample2d(space.asarray(x, "float32"), scale_factor=(41, 1)))
    assert np.array_equal(y[0, 0, :, 0], np.arange(4100) // 41)


def test_halving_by_nearest_takes_every_other_pixel(space):
    x = normal((1, 2, 6, 4), Key(1))
    assert np.array_equal(to_numpy(ops.upsample2d(space.asarray(x), scale_factor=0.5)), x[:, :, ::2, ::2])


def test_nearest_reads_the_pixel_before(space):
    """floor(i 5 / 7) = 0, 0, 1, 2, 2, 3, 4."""
    y = ops.upsample2d(space.asarray(np.arange(5.0).reshape(1, 1, 1, 5)), size=(1, 7))
    assert to_numpy(y).tolist() == [[[[0.0, 0.0, 1.0, 2.0, 2.0, 3.0, 4.0]]]]


def test_the_factor_and_not_the_sizes_says_where_pixels_lie(space):
    """3 times 1.6 is 4 pixels; 1 / 1.6 and not 3 / 4 lie between them."""
    x = space.asarray(np.asarray([[[[0.0, 8.0, 16.0]]]]))
    y = to_numpy(ops.upsample2d(x, scale_factor=(1, 1.6), mode="bilinear"))
    np.testing.assert_allclose(y[0, 0, 0], [0.0, 3.5, 8.5, 13.5], rtol=1e-14)
    y = to_numpy(ops.upsample2d(x, size=(1, 4), mode="bilinear"))
    np.testing.assert_allclose(y[0, 0, 0], [0.0, 5.0, 11.0, 16.0], rtol=1e-14)
    y = to_numpy(ops.upsample2d(x, scale_factor=(1, 1.6)))
    assert y.tolist() == [[[[0.0, 0.0, 8.0, 8.0]]]]
    y = to_numpy(ops.upsample2d(x, scale_factor=(1, 3.2)))
    assert y.tolist() == [[[[0.0, 0.0, 0.0, 0.0, 8.0, 8.0, 8.0, 16.0, 16.0]]]]


def test_an_axis_that_keeps_its_size_is_copied_whatever_the_factor(space):
    x = normal((1, 1, 3, 4), Key(2))
    for mode in ("nearest", "bilinear"):
        y = to_numpy(ops.upsample2d(space.asarray(x), scale_factor=(1.3, 1.2), mode=mode))
        np.testing.assert_allclose(y, x, rtol=1e-15)


@pytest.mark.parametrize("out", [(3, 4), (5, 9), (7, 7), (2, 3)], ids=str)
def test_straight_lines_stay_straight_with_aligned_corners(out, space):
    y = to_numpy(ops.upsample2d(space.asarray(ramp(3, 4)), out, mode="bilinear", align_corners=True))
    expected = np.linspace(0, 4, out[0])[:, None] + np.linspace(0, 9, out[1])
    np.testing.assert_allclose(y[0, 0], expected, rtol=1e-14, atol=1e-14)


def test_edges_hold_the_outermost_pixel_without_aligned_corners(space):
    y = to_numpy(ops.upsample2d(space.asarray(ramp(1, 2)), (1, 4), mode="bilinear"))
    np.testing.assert_allclose(y[0, 0, 0], [0.0, 0.75, 2.25, 3.0], rtol=1e-14)
    y = to_numpy(ops.upsample2d(space.asarray(ramp(1, 4)), (1, 2), mode="bilinear"))
    np.testing.assert_allclose(y[0, 0, 0], [1.5, 7.5], rtol=1e-14)


SETTINGS = [
    {"size": (7, 9)},
    {"size": (2, 3)},
    {"scale_factor": 2},
    {"scale_factor": (3, 1)},
    {"scale_factor": (2, 1.7)},
    {"scale_factor": 0.6},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "corners"])
def test_gradient_is_the_transposed_matrix(settings, mode, space):
    """The columns of the matrix are what the pixels become one by one; each output is a mean, so they sum to one."""
    modes = {"corners": {"mode": "bilinear", "align_corners": True}}
    settings = settings | modes.get(mode, {"mode": mode})
    matrix = to_numpy(ops.upsample2d(space.asarray(np.eye(20).reshape(20, 1, 4, 5)), **settings))
    np.testing.assert_allclose(matrix.sum(axis=0), 1.0, rtol=1e-14)
    dy = normal((1, *matrix.shape[1:]), Key(4))
    dx = to_numpy(ops.upsample2d_backward(space.asarray(dy), (1, 1, 4, 5), **settings))
    np.testing.assert_allclose(dx.ravel(), matrix.reshape(20, -1) @ dy.ravel(), rtol=1e-13, atol=1e-13)


def test_float32_weights_are_good_in_wide_images(space):
    """A place of 900 in float32 has lost three digits of its fraction."""
    x = normal((1, 1, 1, 1000), Key(5)).astype("float32")
    exact = ops.upsample2d(x.astype("float64"), (1, 1371), mode="bilinear")
    y = to_numpy(ops.upsample2d(space.asarray(x), (1, 1371), mode="bilinear"))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, exact, rtol=0.0, atol=1e-6)


def test_nearest_keeps_infinities_where_they_are(space):
    x = np.asarray([[[[1.0, math.inf, math.nan]]]])
    for width, index in ((6, [0, 0, 1, 1, 2, 2]), (4, [0, 0, 1, 2])):
        y = to_numpy(ops.upsample2d(space.asarray(x), (1, width)))
        assert np.array_equal(y[0, 0, 0], x[0, 0, 0, index], equal_nan=True)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({}, "expected either size or scale_factor, got size=None, scale_factor=None"),
        ({"size": 2, "scale_factor": 2}, "expected either size or scale_factor, got size=2, scale_factor=2"),
        ({"size": 0}, "expected size of at least 1"),
        ({"size": 2.5}, "expected size to be an integer or a pair"),
        ({"size": (2, None)}, "expected size to be an integer or a pair"),
        ({"scale_factor": 0}, "expected scale_factor to be a finite number > 0, got 0"),
        ({"scale_factor": -1.0}, "expected scale_factor to be a finite number > 0"),
        ({"scale_factor": math.inf}, "expected scale_factor to be a finite number > 0"),
        ({"scale_factor": True}, "expected scale_factor to be a finite number > 0"),
        ({"scale_factor": "2"}, "expected scale_factor to be a finite number > 0"),
        ({"scale_factor": (1, 2, 3)}, "expected scale_factor to be a number or a pair"),
        ({"scale_factor": (1, 0)}, "expected scale_factor to be a finite number > 0"),
        ({"size": 2, "mode": "bicubic"}, "expected mode to be one of 'nearest', 'bilinear', got 'bicubic'"),
        ({"size": 2, "mode": ["nearest"]}, "expected mode to be one of"),
        ({"size": 2, "align_corners": False}, "expected no align_corners for mode 'nearest', got False"),
        ({"size": 2, "mode": "bilinear", "align_corners": 1}, "expected align_corners to be True or False, got 1"),
    ],
    ids=str,
)
def test_wrong_settings_raise(args, text):
    for call in (lambda: L.Upsample(**args), lambda: ops.upsample2d(np.ones((1, 1, 4, 4)), **args)):
        with pytest.raises(ConfigError, match=f"^Upsample: {text}"):
            call()


def test_a_factor_that_leaves_nothing_raises():
    text = r"Upsample: expected scale_factor 0.3 to leave something of an image of \(4, 3\)"
    with pytest.raises(ShapeError, match=text):
        L.Upsample(scale_factor=0.3)(np.ones((1, 1, 4, 3)))
    with pytest.raises(ShapeError, match=text):
        L.Upsample(scale_factor=0.3).output_shape((1, 4, 3))


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 0, 4), (0, 3, 4, 4)], ids=str)
def test_wrong_shapes_raise(shape):
    with pytest.raises(ShapeError, match=r"Upsample: expected x of shape \(N, C, H, W\)"):
        L.Upsample(2)(np.ones(shape))


def test_wrong_gradients_raise():
    for mode in ("nearest", "bilinear"):
        with pytest.raises(ShapeError, match=r"expected dy of the output's shape \(1, 1, 8, 8\), got \(1, 1, 8, 7\)"):
            ops.upsample2d_backward(np.ones((1, 1, 8, 7)), (1, 1, 4, 4), scale_factor=2, mode=mode)


def test_settings_are_kept_as_plain_numbers():
    layer = L.Upsample(scale_factor=np.float32(2), mode="bilinear", align_corners=np.bool_(True))
    assert [type(v) for v in layer.config().values()] == [type(None), float, str, bool]
    assert L.Upsample(scale_factor=[2, 1.5]).scale_factor == (2.0, 1.5)
    assert repr(L.Upsample((3, 4))) == "Upsample(size=(3, 4))"
