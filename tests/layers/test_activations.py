"""Kinks and extremes of the activations."""

import numpy as np
import pytest

from xpcnn.backend import to_numpy
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.layers import LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh


def slope(layer, space, at):
    x = space.asarray(at)
    y, cache = layer.forward(x, train=True)
    return to_numpy(layer.backward(space.asarray(np.ones(tuple(y.shape))), cache)[0]).tolist()


def test_sigmoid_of_large_is_one(space):
    """deepnet computes 1 / (1 + exp(x)): the sign."""
    y = to_numpy(Sigmoid()(space.asarray([800.0, 2.0, 0.0, -2.0, -800.0])))
    assert y[0] == 1.0
    assert y[1] == pytest.approx(0.8807970779778823, rel=1e-15)
    assert y[2] == 0.5
    assert y[4] == 0.0 or y[4] < 1e-300


def test_sigmoid_of_very_negative_keeps_its_digits(space):
    y = to_numpy(Sigmoid()(space.asarray([-700.0])))
    assert y[0] == pytest.approx(9.859676543759770e-305, rel=1e-13)


def test_slopes_at_the_kinks(space):
    assert slope(ReLU(), space, [-1.0, 0.0, -0.0, 1.0]) == [0.0, 0.0, 0.0, 1.0]
    assert slope(LeakyReLU(0.25), space, [-1.0, 0.0, 1.0]) == [0.25, 0.25, 1.0]
    assert slope(LeakyReLU(2.0), space, [-1.0, 0.0, 1.0]) == [2.0, 2.0, 1.0]
    assert slope(Tanh(), space, [0.0, 1e3]) == [1.0, 0.0]


@pytest.mark.parametrize("layer", [ReLU(), LeakyReLU(), Sigmoid(), Tanh(), Softmax(), LogSoftmax()], ids=repr)
def test_nan_stays_nan(layer, space):
    y = to_numpy(layer(space.asarray([[np.nan, 1.0]])))
    assert np.isnan(y[0, 0])


@pytest.mark.parametrize("cls", [Softmax, LogSoftmax])
def test_softmax_never_mixes_samples(cls):
    with pytest.raises(ConfigError, match=r"dim .*batch.*got 0"):
        cls(0)
    for dim, shape in ((-2, (3, 4)), (-3, (2, 3, 4)), (2, (3, 4)), (1, (3,))):
        with pytest.raises(ShapeError, match=f"axis {dim}"):
            cls(dim).output_shape(shape[1:])
        with pytest.raises(ShapeError, match=f"axis {dim}"):
            cls(dim)(np.ones(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf, "0.1", None])
def test_leaky_slope_must_be_a_finite_number(bad):
    with pytest.raises(ConfigError, match="LeakyReLU: expected"):
        LeakyReLU(bad)
