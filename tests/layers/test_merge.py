"""Add, Multiply, Concatenate: what the laws, which see one input, cannot see."""

import numpy as np
import pytest

from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import ConfigError, DtypeError, NamespaceError, ShapeError, StateError
from xpcnn.layers import Add, Concatenate, Merge, Multiply


def made(space, *shapes, dtype="float64"):
    return tuple(space.asarray(normal(shape, Key(i)), dtype) for i, shape in enumerate(shapes))


def test_forward_is_numpys(space):
    a, b, gate = made(space, (2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 1, 1))
    wide = space.asarray(normal((2, 1, 4, 5), Key(9)))
    cases = [
        (Add(), (a, b, a), lambda a, b, c: a + b + c),
        (Multiply(), (a, gate, b), lambda a, g, b: a * g * b),
        (Concatenate(), (a, wide), lambda *xs: np.concatenate(xs, axis=1)),
        (Concatenate(-2), (a, b), lambda *xs: np.concatenate(xs, axis=2)),
    ]
    for layer, xs, expected in cases:
        y = layer(xs)
        assert space.device.owns(y)
        np.testing.assert_array_equal(to_numpy(y), expected(*map(to_numpy, xs)))
        shape = layer.output_shape(tuple(tuple(x.shape[1:]) for x in xs))
        assert tuple(y.shape) == (2, *shape)


@pytest.mark.parametrize("layer", [Add(), Multiply(), Concatenate()], ids=repr)
def test_one_input_comes_out_as_a_new_array(layer, space):
    (x,) = made(space, (2, 3))
    y, cache = layer.forward((x,), train=True)
    np.testing.assert_array_equal(to_numpy(y), to_numpy(x))
    assert y is not x
    if space.xp is np:
        assert not np.shares_memory(y, x)
    (dx,), grads = layer.backward(x, cache)
    np.testing.assert_array_equal(to_numpy(dx), to_numpy(x))
    assert grads == {}


def test_a_factor_of_zero_has_the_gradient_of_the_others():
    xs = (np.zeros((1, 2)), np.asarray([[2.0, 3.0]]), np.asarray([[5.0, 0.0]]))
    _, cache = Multiply().forward(xs, train=True)
    with pytest.raises(StateError):
        Multiply().backward(np.ones((1, 2)), cache)
    layer = Multiply()
    _, cache = layer.forward(xs, train=True)
    dxs, _ = layer.backward(np.ones((1, 2)), cache)
    assert [dx.tolist() for dx in dxs] == [[[10.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.0]]]


def test_inputs_that_do_not_fit(space):
    a, b, c = made(space, (2, 3, 4), (2, 1, 4), (1, 3, 4))
    (flat,) = made(space, (2, 3))
    for layer, xs in (
        (Add(), (a, b)),  # NumPy would stretch b
        (Add(), (a, flat)),
        (Multiply(), (a, c)),  # nor may the batch be stretched
        (Multiply(), (a, flat)),
        (Multiply(), (a, a[:, :2, ...])),
        (Concatenate(), (a, c)),
        (Concatenate(2), (a, b)),
        (Concatenate(), (a, flat)),
        (Concatenate(3), (a, a)),
        (Concatenate(-3), (a, a)),
    ):
        with pytest.raises(ShapeError, match=f"{type(layer).__name__}: expected inputs"):
            layer(xs)
        if xs[1] is not c:
            with pytest.raises(ShapeError, match=f"{type(layer).__name__}: expected inputs"):
                layer.output_shape(tuple(tuple(x.shape[1:]) for x in xs))
    other = space.asarray(np.ones((2, 3, 4)), "float32")
    for layer in (Add(), Multiply(), Concatenate()):
        with pytest.raises(DtypeError, match="expected input_1 and input_0 of one dtype"):
            layer((a, other))
        for wrong in (a, (), "ab", None, (a, [1.0])):
            with pytest.raises(NamespaceError, match="expected"):
                layer(wrong)
        for wrong in ((), (3, 4), ((3, 4), 3)):
            with pytest.raises(ShapeError, match="expected a tuple of shapes"):
                layer.output_shape(wrong)


def test_the_batch_axis_cannot_be_joined():
    for dim in (0, 1.5, True, None):
        with pytest.raises(ConfigError, match="Concatenate: expected dim"):
            Concatenate(dim)


def test_a_merge_of_ones_own_takes_equal_shapes_unless_it_says_otherwise():
    class Largest(Merge):
        def merge(self, xs):
            return np.maximum(*xs), xs

        def unmerge(self, dy, saved):
            a, b = saved
            return dy * (a >= b), dy * (a < b)

    assert Largest().output_shape(((2, 3), (2, 3))) == (2, 3)
    with pytest.raises(ShapeError, match="Largest: expected inputs of one shape"):
        Largest().output_shape(((2, 3), (2, 1)))
