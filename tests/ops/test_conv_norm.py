"""Ops with a rectifier, a norm or a sum behind them, on every array library: as the ops one after the other."""

import numpy as np
import pytest

from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import DtypeError, ShapeError

OPTIONS = {"stride": (2, 1), "padding": 1, "groups": 2}


def arrays(space, *shapes, dtype="float32"):
    return [space.asarray(normal(shape, Key(i, "a")), dtype) for i, shape in enumerate(shapes)]


def exact(a):
    return to_numpy(a).astype("float64")


def close(found, expected):
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("with_bias", [False, True])
def test_convolution_and_linear_rectified(space, with_bias):
    x, w, b = arrays(space, (2, 4, 5, 6), (6, 2, 3, 3), (6,))
    b = b if with_bias else None
    close(ops.conv2d(x, w, b, **OPTIONS, relu=True), np.maximum(to_numpy(ops.conv2d(x, w, b, **OPTIONS)), 0))
    x, w = arrays(space, (5, 4), (6, 4))
    close(ops.linear(x, w, b, relu=True), np.maximum(to_numpy(ops.linear(x, w, b)), 0))


def test_a_rectified_sum(space):
    a, b = arrays(space, (3, 4), (3, 4))
    close(ops.add_relu(a, b), np.maximum(exact(a) + exact(b), 0))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_a_norm_behind_a_convolution(space, learned, adds, relu):
    x, w, b, mean, var, scale, shift = arrays(space, (2, 4, 5, 6), (6, 2, 3, 3), *[(6,)] * 5)
    var = var * var + 0.5
    norm = (mean, var, scale, shift) if learned else (mean, var)
    y = ops.conv2d(x, w, b, **OPTIONS)
    (z,) = arrays(space, tuple(y.shape))
    found = ops.conv2d_norm(x, w, b, *norm, residual=z if adds else None, eps=0.1, relu=relu, **OPTIONS)
    each = (slice(None), None, None)
    expected = (exact(y) - exact(mean)[each]) / np.sqrt(exact(var)[each] + 0.1)
    expected = expected * exact(scale)[each] + exact(shift)[each] if learned else expected
    expected = expected + adds * exact(z)
    assert expected.min() < -0.1
    close(found, np.maximum(expected, 0) if relu else expected)


def test_what_does_not_fit_is_refused(space):
    x, w, c = arrays(space, (1, 2, 3, 3), (2, 2, 1, 1), (3,))
    with pytest.raises(ShapeError):
        ops.conv2d_norm(x, w, None, c, c)
    (wide,) = arrays(space, (2, 2, 1, 1), dtype="float64")
    with pytest.raises(DtypeError):
        ops.conv2d_norm(x, wide, None, c, c)
