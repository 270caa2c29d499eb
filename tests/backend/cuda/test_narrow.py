"""Kernels on numbers of 16 bits: what is rounded is the result, and sums are wide."""

import numpy as np
import pytest

from tests.backend.cuda.on_cpu import COMPILER
from xpcnn import ops
from xpcnn.backend import Device, Key, normal
from xpcnn.backend.cuda import launch
from xpcnn.backend.cuda.bias import bias_relu

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler is installed (g++ or clang++)")

DTYPES = ["float16", "bfloat16"]


def dtype_of(name):
    return np.dtype(Device("cpu", np, "cpu").dtype(name))


@pytest.fixture(params=DTYPES)
def narrow(request):
    return dtype_of(request.param)


def close(found, expected, dtype, share=1.0):
    """Within so many roundings to 16 bits of what float64 gives."""
    assert found.dtype == dtype
    eps = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype.name]
    slack = share * eps * np.abs(expected).max()
    np.testing.assert_allclose(found.host.astype("float64"), expected, rtol=share * eps, atol=slack / 4)


def numbers():
    """All sorts of float32: of every size, halfway between two of 16 bits, and what is no number."""
    bits = np.arange(0, 2**32, 9973 * 7, dtype=np.uint64).astype(np.uint32)
    halves = (np.arange(2**16, dtype=np.uint32) << 16) | 0x8000
    exact = np.arange(2**16, dtype=np.uint16).view(np.float16).astype("float32")
    between = (exact[:-1] + exact[1:]) / 2
    return np.concatenate([bits.view("float32"), halves.view("float32"), exact, between])


def test_rounding_is_that_of_numpy(gpu, narrow):
    with np.errstate(all="ignore"):
        x = numbers()
        expected = x.astype(narrow)
    code = f"{launch.source('narrow.cuh')}\nextern \"C\" __global__ void rounded"
    code += f"(const float *x, {narrow.name} *y, float *z)"
    code += " { int i = blockIdx.x * blockDim.x + threadIdx.x; y[i] = x[i]; z[i] = y[i]; }"
    given, y, z = gpu.upload(x), gpu.make_empty(x.shape, narrow), gpu.make_empty(x.shape, np.float32)
    launch.compiled(code, "rounded")((len(x),), (1,), (given, y, z))
    nan = np.isnan(x)
    np.testing.assert_array_equal(y.host.view("uint16")[~nan], expected.view("uint16")[~nan])
    assert np.isnan(y.host[nan].astype("float32")).all() and np.isnan(z.host[nan]).all()
    np.testing.assert_array_equal(z.host[~nan], expected[~nan].astype("float32"))


def images(narrow, *shape, seed=0):
    return normal(shape, Key(seed, "x")).astype("float32").astype(narrow)


def test_batch_norm_keeps_parameters_and_statistics_wide(gpu, narrow):
    x = images(narrow, 6, 3, 5, 4) + narrow.type(30)
    dy, w, b = images(narrow, *x.shape, seed=1), *(normal((3,), Key(i, "w")).astype("float32") for i in (2, 3))
    wide, dy64 = x.astype("float64"), dy.astype("float64")
    mean, var = ops.batch_statistics(wide)
    y = ops.batch_norm(wide, mean, var, w.astype("float64"), b.astype("float64"))
    expected = ops.batch_norm_backward(dy64, wide, mean, var, w.astype("float64"))
    given = [gpu.upload(a) for a in (x, w, b, dy)]
    gpu.launched = []
    found = ops.batch_statistics(given[0], exact=True)
    for a, right in zip(found, (mean, var), strict=True):
        np.testing.assert_allclose(a.host, right, rtol=1e-12)
    close(ops.batch_norm(given[0], *found, *given[1:3]), y, narrow, 2)
    dx, dw, db = ops.batch_norm_backward(given[3], given[0], *found, given[1])
    close(dx, expected[0], narrow, 3)
    for a, right in ((dw, expected[1]), (db, expected[2])):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a.host, right, rtol=1e-5)
    assert {"deviations", "statistics", "normalize", "gradient_sums", "batch_norm_backward"} <= set(gpu.launched)


def test_pooling_gives_what_float64_gives_rounded(gpu, narrow):
    x, dy = images(narrow, 2, 3, 7, 6), images(narrow, 2, 3, 5, 4, seed=1)
    wide, dy64 = x.astype("float64"), dy.astype("float64")
    given, slope = gpu.upload(x), gpu.upload(dy)
    y, places = ops.max_pool2d(given, 3, 1)
    right, right_places = ops.max_pool2d(wide, 3, 1)
    close(y, right, narrow, 0)
    dx = ops.max_pool2d_backward(slope, places, x.shape, 3, 1)
    # a sum in float32, rounded once
    exact = ops.max_pool2d_backward(dy64, right_places, x.shape, 3, 1).astype("float32")
    np.testing.assert_array_equal(dx.host, exact.astype(narrow))
    assert (exact.astype(narrow) != exact).any()
    close(ops.avg_pool2d(given, 3, 1), ops.avg_pool2d(wide, 3, 1), narrow, 4)
    close(ops.global_avg_pool2d(given), ops.global_avg_pool2d(wide), narrow, 4)
    close(ops.adaptive_avg_pool2d(given, 2), ops.adaptive_avg_pool2d(wide, 2), narrow, 4)
    assert "max_pool" in gpu.launched and "avg_pool" in gpu.launched


def test_dropout_draws_the_same_mask(gpu, narrow):
    x, key = images(narrow, 3, 2, 4, 5), Key(1, "drop")
    y, mask = ops.dropout(gpu.upload(x), 0.25, key)
    right, right_mask = ops.dropout(x.astype("float64"), 0.25, key)
    np.testing.assert_array_equal(mask.host, right_mask)
    close(y, right, narrow, 2)
    assert gpu.launched == ["dropout"]


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "leaky_relu", "silu"])
def test_activations_are_one_kernel_and_round_each_step(gpu, narrow, name):
    x = images(narrow, 2, 3, 4, 5)
    body = getattr(ops, name)
    x_there = gpu.device.asarray(x)
    gpu.done = []
    y = body(x_there)
    assert len(gpu.done) == 1 and y.host.transpose(0, 2, 3, 1).flags.c_contiguous
    close(y, body(x.astype("float64")), narrow, 6)


def test_sums_of_16_bits_are_made_in_double(gpu, narrow):
    rows = np.full((5000, 3), 0.1, narrow)
    found = ops.sums.sum_rows(gpu.upload(rows))
    close(found, 5000 * float(rows[0, 0]), narrow)


def test_a_rectified_norm_has_the_bits_of_the_rectifier_behind_it(gpu, narrow):
    x, dy = (gpu.upload(images(narrow, 4, 3, 5, 5, seed=i)) for i in range(2))
    w, b = (gpu.upload(normal((3,), Key(i, "w")).astype("float32")) for i in range(2))
    for dtype in ("float32", "float64"):
        mean, var = (gpu.upload(np.exp(normal((3,), Key(i, "m"))).astype(dtype)) for i in range(2))
        y = ops.relu(ops.batch_norm(x, mean, var, w, b))
        found = ops.batch_norm(x, mean, var, w, b, relu=True)
        np.testing.assert_array_equal(found.host.view("uint16"), y.host.view("uint16"))
        expected = ops.batch_norm_backward(ops.relu_backward(dy, y), x, mean, var, w)
        for a, right in zip(ops.batch_norm_backward(dy, x, mean, var, w, b, relu=True), expected, strict=True):
            np.testing.assert_array_equal(a.host.astype("float32"), right.host.astype("float32"))


def test_a_rectified_sum_of_rows_and_bias_is_rounded_in_between(gpu, narrow):
    x, b = gpu.upload(images(narrow, 60, 7)), gpu.upload(images(narrow, 7, seed=1))
    found = bias_relu(x, b)
    expected = ops.relu(x + b)
    np.testing.assert_array_equal(found.host.view("uint16"), expected.host.view("uint16"))
