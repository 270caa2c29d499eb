"""The kernel that adds a bias and rectifies against the two ops."""

import numpy as np
import pytest

from tests.backend.cuda.on_cpu import generic
from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.backend.cuda.bias import bias_relu


def arrays(dtype, n=30, i=7, o=5):
    x, w, b = (normal(shape, Key(k, "x")).astype(dtype) for k, shape in enumerate([(n, i), (o, i), (o,)]))
    x[0, 0], x[1, 1], x[2, 2] = np.nan, np.inf, -np.inf
    return x, w, b


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_it_has_the_bits_of_the_generic_body(answering, dtype, order):
    x, _, b = arrays(dtype, i=5)
    x = np.asarray(x, order=order)
    expected = generic(lambda: ops.relu(x + b))
    found = bias_relu(x, np.stack([b, b], axis=1)[:, 0])
    assert answering.launched == ["bias_relu"]
    assert found.flags.c_contiguous and not np.shares_memory(found, x)
    np.testing.assert_array_equal(found, expected)


def test_a_linear_layer_asks_for_it_where_it_is_rectified_and_has_a_bias(gpu):
    x, w, b = (gpu.upload(a) for a in arrays("float32"))
    for bias, last in ((b, ["bias_relu"]), (None, ["xpcnn_relu"])):
        gpu.launched.clear()
        found = ops.linear(x, w, bias, relu=True)
        assert gpu.launched == last
        np.testing.assert_array_equal(found.host, ops.relu(ops.linear(x, w, bias)).host)
    gpu.launched.clear()
    ops.linear(x, w, b)
    assert not gpu.launched


def test_other_dtypes_are_left_to_the_generic_body(answering):
    x = np.ones((2, 3), "longdouble")
    assert bias_relu(x, x[0]) is None
    assert bias_relu(x.astype("float32"), x[0].astype("float64")) is None


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gpu_gives_the_same(space_of_cupy, dtype):
    x, _, b = arrays(dtype, n=3000, i=33, o=33)
    found = bias_relu(*(space_of_cupy.asarray(a) for a in (x, b)))
    np.testing.assert_array_equal(to_numpy(found), generic(lambda: ops.relu(x + b)))
