"""Borders against numpy.pad, and their adjoints against the matrices that they are."""

import math

import numpy as np
import pytest

from xpcnn import layers as L
from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import ConfigError, ShapeError

PADS = {
    "zero": (ops.zero_pad2d, ops.zero_pad2d_backward, "constant"),
    "reflection": (ops.reflection_pad2d, ops.reflection_pad2d_backward, "reflect"),
    "replication": (ops.replication_pad2d, ops.replication_pad2d_backward, "edge"),
}
SIDES = [(0, 0, 0, 0), (1, 1, 1, 1), (1, 0, 0, 0), (0, 2, 0, 0), (0, 0, 3, 0), (0, 0, 0, 1), (4, 3, 2, 1), (4, 4, 3, 3)]
LAYERS = (L.ZeroPad2d, L.ReflectionPad2d, L.ReplicationPad2d)

every_pad = pytest.mark.parametrize("name", PADS)


def by_numpy(x, sides, mode):
    left, right, top, bottom = sides
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), mode=mode)


@every_pad
@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_numpy_pads_alike(name, sides, space):
    op, _, mode = PADS[name]
    x = normal((2, 3, 4, 5), Key(0))
    assert np.array_equal(to_numpy(op(space.asarray(x), sides)), by_numpy(x, sides, mode))


@every_pad
@pytest.mark.parametrize("sides", [*SIDES, (-1, 2, 3, -2), (-4, 4, -3, 3), (0, -1, -3, 0)], ids=str)
def test_gradient_is_the_transposed_matrix(name, sides, space):
    """The columns of the matrix are what the pixels become one by one."""
    op, backward, _ = PADS[name]
    matrix = to_numpy(op(space.asarray(np.eye(20).reshape(20, 1, 4, 5)), sides))
    dy = normal((1, *matrix.shape[1:]), Key(1))
    dx = to_numpy(backward(space.asarray(dy), (1, 1, 4, 5), sides))
    assert dx.shape == (1, 1, 4, 5)
    np.testing.assert_allclose(dx.ravel(), matrix.reshape(20, -1) @ dy.ravel(), rtol=1e-13, atol=1e-13)


@every_pad
def test_negative_padding_crops_after_the_border_was_made(name, space):
    """So a mirror image shows what is cut away, as in PyTorch."""
    op, _, mode = PADS[name]
    x = normal((1, 2, 4, 5), Key(2))
    y = to_numpy(op(space.asarray(x), (-2, 3, 1, -3)))
    assert np.array_equal(y, by_numpy(x, (0, 3, 1, 0), mode)[:, :, :-3, 2:])
    assert np.array_equal(to_numpy(op(space.asarray(x), -1)), x[:, :, 1:-1, 1:-1])


@every_pad
def test_one_number_is_all_four_sides(name):
    op, _, mode = PADS[name]
    x = normal((1, 1, 4, 4), Key(3))
    assert np.array_equal(op(x, 2), by_numpy(x, (2, 2, 2, 2), mode))
    assert np.array_equal(op(x, np.int64(2)), op(x, [2, 2, 2, 2]))


@every_pad
def test_infinities_stay_where_they_are(name, space):
    op, backward, mode = PADS[name]
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 0, 0], x[0, 0, 2, 1] = math.inf, math.nan
    assert np.array_equal(to_numpy(op(space.asarray(x), 1)), by_numpy(x, (1,) * 4, mode), equal_nan=True)
    dy = np.zeros((1, 1, 5, 5))
    dy[0, 0, 2, 2] = math.inf
    assert to_numpy(backward(space.asarray(dy), (1, 1, 3, 3), 1)).tolist()[0][0][1] == [0.0, math.inf, 0.0]


WRONG = [(1, 2), (1, 2, 3), 1.0, "same", None, (1, 2, 3, 4.0), (1, 1, 1, True), True]


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("padding", WRONG, ids=repr)
def test_wrong_paddings_raise(cls, padding):
    text = rf"{cls.__name__}: expected padding to be an integer or four \(left, right, top, bottom\), got"
    with pytest.raises(ConfigError, match=text):
        cls(padding)


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("padding", [-2, (-5, 0, 0, 0), (0, 0, -2, -2), (-6, 1, 0, 0)], ids=repr)
def test_a_crop_that_leaves_nothing_raises(cls, padding):
    text = rf"{cls.__name__}: expected padding .* to leave something of an image of \(4, 5\)"
    with pytest.raises(ShapeError, match=text):
        cls(padding)(np.ones((1, 1, 4, 5)))
    with pytest.raises(ShapeError, match="crop less"):
        cls(padding).output_shape((1, 4, 5))


TOO_WIDE = [4, (5, 0, 0, 0), (0, 5, 0, 0), (0, 0, 4, 0), (0, 0, 0, 4), (-5, 5, 0, 0)]


@pytest.mark.parametrize("padding", TOO_WIDE, ids=repr)
def test_a_mirror_image_is_smaller_than_the_image(padding):
    text = r"ReflectionPad2d: expected padding of less than the image's size \(4, 5\), got"
    with pytest.raises(ShapeError, match=text):
        L.ReflectionPad2d(padding)(np.ones((1, 1, 4, 5)))
    with pytest.raises(ShapeError, match="ReplicationPad2d"):
        L.ReflectionPad2d(padding).output_shape((1, 4, 5))


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 0, 4), (0, 3, 4, 4)], ids=str)
def test_wrong_shapes_raise(cls, shape):
    with pytest.raises(ShapeError, match=rf"{cls.__name__}: expected x of shape \(N, C, H, W\)"):
        cls(1)(np.ones(shape))


@every_pad
def test_wrong_gradients_raise(name):
    with pytest.raises(ShapeError, match=r"expected dy of the output's shape \(1, 1, 6, 6\), got \(1, 1, 6, 5\)"):
        PADS[name][1](np.ones((1, 1, 6, 5)), (1, 1, 4, 4), 1)
