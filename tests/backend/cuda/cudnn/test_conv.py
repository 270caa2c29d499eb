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
