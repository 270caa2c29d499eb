"""Convolution through cuDNN's graphs: every option arrives there, and the numbers are the generic body's."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpcnn import ops
from xpcnn.backend import Key, normal


@st.composite
def convolutions(draw):
    """Arrays x, w, b and the options of a convolution."""
    groups, kernel = draw(st.sampled_from([1, 1, 2, 3])), draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    options = {
        "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "padding": draw(st.tuples(*[st.integers(0, 2)] * 4)),
        "dilation": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "groups": groups,
    }
    x = (draw(st.integers(1, 3)), groups * draw(st.integers(1, 3)), draw(st.integers(5, 8)), draw(st.integers(5, 8)))
    w = (groups * draw(st.integers(1, 3)), x[1] // groups, *kernel)
    return x, w, draw(st.booleans()), options


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(given=convolutions(), input_grad=st.booleans())
def test_values_and_gradients_are_the_generic_ones(gpu, given, input_grad):
    x_shape, w_shape, with_bias, options = given
    x, w = (normal(shape, Key(i, "x")).astype("float32") for i, shape in enumerate((x_shape, w_shape)))
    b = normal(w_shape[:1], Key(2, "b")).astype("float32") if with_bias else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPCNN_KERNELS", "generic")
        y = ops.conv2d(x.astype("float64"), w.astype("float64"), None if b is None else b.astype("float64"), **options)
        dy = normal(y.shape, Key(3, "dy")).astype("float32")
        expected = ops.conv2d_backward(*(a.astype("float64") for a in (dy, x, w)), **options, input_grad=input_grad)
    on_gpu = [None if a is None else gpu.upload(a) for a in (x, w, b, dy)]
    waits, gpu.done = gpu.waits, []
    found = ops.conv2d(*on_gpu[:3], **options)
    assert gpu.done[-1] == ("conv_fprop+bias" if with_bias else "conv_fprop")
    np.testing.assert_allclose(found.host, y, rtol=1e-5, atol=1e-5)
    assert found.host.transpose(0, 2, 3, 1).flags.c_contiguous
    gradients = ops.conv2d_backward(on_gpu[3], *on_gpu[:2], **options, input_grad=input_grad)
    assert {"conv_wgrad", *(["conv_dgrad"] if input_grad else [])} <= set(gpu.done)
    assert gpu.waits == waits
    for gradient, right in zip(gradients, expected, strict=True):
        if right is None:
            assert gradient is None
            continue
        np.testing.assert_allclose(gradient.host, right, rtol=1e-4, atol=1e-4)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(given=convolutions())
def test_rectified_it_is_one_kernel_and_has_the_bits_of_two(gpu, given):
    x_shape, w_shape, with_bias, options = given
    x, w = (gpu.upload(normal(shape, Key(i, "x")).astype("float32")) for i, shape in enumerate((x_shape, w_shape)))
    b = gpu.upload(normal(w_shape[:1], Key(2, "b")).astype("float32")) if with_bias else None
    gpu.done = []
    found = ops.conv2d(x, w, b, **options, relu=True)
    assert gpu.done[-1] == ("conv_fprop+bias+relu" if with_bias else "conv_fprop+relu")
    np.testing.assert_array_equal(found.host, ops.relu(ops.conv2d(x, w, b, **options)).host)


def norm_of(gpu, channels, dtype="float32"):
    mean, var, scale, shift = (normal((channels,), Key(i, "norm")).astype(dtype) for i in range(4))
    return [gpu.upload(a) for a in (mean, np.exp(var), scale, shift)]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(given=convolutions(), learned=st.booleans(), relu=st.booleans(), adds=st.booleans())
def test_a_norm_behind_it_is_folded_to_a_few_roundings(gpu, given, learned, relu, adds):
    x_shape, w_shape, with_bias, options = given
    x, w = (gpu.upload(normal(shape, Key(i, "x")).astype("float32")) for i, shape in enumerate((x_shape, w_shape)))
    b = gpu.upload(normal(w_shape[:1], Key(2, "b")).astype("float32")) if with_bias else None
    norm = norm_of(gpu, w_shape[0])
    mean, var, scale, shift = norm if learned else (*norm[:2], None, None)
    y = ops.batch_norm(ops.conv2d(x, w, b, **options), mean, var, scale, shift, eps=1e-3)
    z = gpu.upload(normal(y.shape, Key(4, "z")).astype("float32")) if adds else None
    y = y.host if z is None else y.host + z.host
    gpu.done = []
    found = ops.conv2d_norm(x, w, b, mean, var, scale, shift, z, eps=1e-3, relu=relu, **options)
    pays = w.size <= y.size
    if pays:
        assert gpu.done[-1] == "conv_fprop+bias" + "+add" * adds + "+relu" * relu
        assert "fold" in gpu.done
    else:
        assert "fold" not in gpu.done
    expected = np.maximum(y, 0.0) if relu else y
    np.testing.assert_allclose(found.host, expected, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(y).max()))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_norm_is_folded_before_weights_are_rounded_to_16_bits(gpu, dtype):
    narrow = gpu.device.dtype(dtype)
    x = gpu.upload(np.ones((1, 2, 1, 1)).astype(narrow))
    # larger than float16 can be, and times the gain not
    w, b = gpu.upload(np.full((1, 2, 1, 1), 3e5, "float32")), gpu.upload(np.full(1, 1e5, "float32"))
    mean, var = gpu.upload(np.full(1, 1e5, "float32")), gpu.upload(np.full(1, 1e10, "float32"))
    found = ops.conv2d_norm(x, w, b, mean, var)
    assert found.dtype == narrow and found.host.astype("float32").ravel().tolist() == [6.0]


def test_filters_in_any_memory_order_are_folded(gpu):
    x, w = (normal(shape, Key(i, "x")).astype("float32") for i, shape in enumerate(((4, 3, 6, 6), (2, 3, 3, 2))))
    norm = norm_of(gpu, 2)
    orders = (0, 1, 2, 3), (0, 2, 3, 1), (3, 1, 0, 2)
    laid = [gpu.upload(w.transpose(order)).transpose(*np.argsort(order)) for order in orders]
    assert len({a.strides for a in laid}) == 3
    first, *others = (ops.conv2d_norm(gpu.upload(x), a, None, *norm).host for a in laid)
    for a in others:
        np.testing.assert_array_equal(a, first)


def test_a_convolution_without_a_plan_is_computed_by_the_generic_body(gpu, caplog):
    gpu.cudnn.refused.add("conv_fprop")
    x, w = gpu.upload(np.ones((1, 1, 3, 3), "float32")), gpu.upload(np.ones((1, 1, 2, 2), "float32"))
    for _ in range(2):
        assert ops.conv2d(x, w).host.tolist() == [[[[4.0, 4.0], [4.0, 4.0]]]]
    assert len([r for r in caplog.records if "no plan of cuDNN for forward" in r.getMessage()]) == 1


def test_without_the_gradient_at_the_input_or_with_one_of_two_plans_nothing_is_half_done(gpu):
    gpu.cudnn.refused.add("conv_dgrad")
    dy, x, w = (gpu.upload(np.ones(shape, "float32")) for shape in ((1, 1, 2, 2), (1, 1, 3, 3), (1, 1, 2, 2)))
    dx, dw, _ = ops.conv2d_backward(dy, x, w)
    assert "conv_wgrad" not in gpu.done
    assert (dx.host.sum(), dw.host.sum()) == (16.0, 16.0)


def test_double_precision_is_left_to_the_generic_body(gpu):
    x, w = gpu.upload(np.ones((1, 1, 3, 3))), gpu.upload(np.ones((1, 1, 2, 2)))
    assert ops.conv2d(x, w).host.tolist() == [[[[4.0, 4.0], [4.0, 4.0]]]]
    assert not gpu.cudnn.graphs


def test_an_array_that_begins_between_two_places_is_copied(gpu):
    host = np.ones(3 * 3 * 5 + 1, "float32")
    x = gpu.upload(host)[1:].reshape(5, 1, 3, 3)
    assert x.data.ptr % 16
    assert ops.conv2d(x, gpu.upload(np.ones((1, 1, 2, 2), "float32"))).host.max() == 4.0


@pytest.mark.gpu
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("adds", [False, True])
def test_a_gpu_folds_the_same(space_of_cupy, relu, adds):
    x, w, b, z = (normal(s, Key(i, "x")) for i, s in enumerate([(5, 3, 9, 8), (8, 3, 3, 3), (8,), (5, 8, 7, 6)]))
    norm = [np.exp(normal((8,), Key(i, "norm"))) for i in range(4)]
    y = ops.batch_norm(ops.conv2d(x, w, b), *norm) + adds * z
    given = [space_of_cupy.asarray(a, "float32") for a in (x, w, b, *norm, z)]
    found = ops.conv2d_norm(*given[:-1], given[-1] if adds else None, relu=relu)
    np.testing.assert_allclose(found.get(), np.maximum(y, 0.0) if relu else y, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        ops.conv2d(*given[:3], relu=True).get(), np.maximum(ops.conv2d(x, w, b), 0.0), rtol=1e-4, atol=1e-4
    )


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gpu_gives_the_same_numbers(space_of_cupy, dtype):
    x, w, b = (normal(s, Key(i, "x")) for i, s in enumerate([(5, 3, 9, 8), (8, 3, 3, 3), (8,)]))
    y = ops.conv2d(x, w, b, stride=(2, 1), padding=1)
    dy = normal(y.shape, Key(3, "dy"))
    expected = y, *ops.conv2d_backward(dy, x, w, stride=(2, 1), padding=1)
    given = [space_of_cupy.asarray(a, dtype) for a in (x, w, b, dy)]
    found = ops.conv2d(*given[:3], stride=(2, 1), padding=1)
    found = found, *ops.conv2d_backward(given[3], *given[:2], stride=(2, 1), padding=1)
    for a, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.get(), right, rtol=1e-4, atol=1e-4)
