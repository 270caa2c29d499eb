"""Winograd's filtering against the definition, as an adjoint, and as exact as usual convolution."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.backend.cpu.compare import cache_of, generic
from tests.backend.cpu.test_windows import naive, numbers
from xpcnn import ops
from xpcnn.backend import cpu
from xpcnn.backend.cpu.windows import WindowConvolution
from xpcnn.backend.cpu.winograd import Winograd
from xpcnn.layers import Conv2d
from xpcnn.models import Sequential

ONE = (1, 1)


@st.composite
def convolutions(draw):
    border = draw(st.one_of(st.just((1, 1, 1, 1)), st.tuples(*[st.integers(0, 5)] * 4)))
    h, w = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    assume(min(h + border[0] + border[1], w + border[2] + border[3]) >= 3)
    return (h, w, draw(st.integers(1, 4))), draw(st.integers(1, 4)), border


@settings(max_examples=80)
@given(of=convolutions(), samples=st.integers(1, 5), cache=st.sampled_from([1 << 8, 1 << 11, 1 << 14, 1 << 20]))
def test_forward_is_the_definition_and_the_rest_its_adjoint(of, samples, cache):
    image, filters, border = of
    with cache_of(cache):
        conv = Winograd(*of, np.dtype("float64"))
    x, w = numbers((samples, *image), "x"), numbers((filters, image[2], 3, 3), "w")
    y = np.full((samples, *conv.output), np.nan)
    u = conv.weights(w)
    conv.forward(x, u, y)
    expected = naive(x, w, ONE, ONE, border)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)

    dy = numbers(y.shape, "dy")
    gradient = np.full(conv.gradient_shape(), np.nan)
    conv.weight_gradient(x, dy, gradient)
    dw = conv.filters_of(gradient)
    assert dw.shape == w.shape
    for v in (w, numbers(w.shape, "v")):
        np.testing.assert_allclose(np.vdot(dw, v), np.vdot(dy, naive(x, v, ONE, ONE, border)), rtol=1e-11, atol=1e-11)

    # turned: the convolution that gives dx, by the weights of the forward pass
    back = tuple(2 - b for b in border)
    if min(back) >= 0:
        with cache_of(cache):
            turned = Winograd(conv.output, image[2], back, np.dtype("float64"))
        dx = np.full(x.shape, np.nan)
        turned.forward(dy, u, dx, turned=True)
        for v in (x, numbers(x.shape, "v")):
            np.testing.assert_allclose(
                np.vdot(dx, v), np.vdot(dy, naive(v, w, ONE, ONE, border)), rtol=1e-11, atol=1e-11
            )


def test_a_small_cache_makes_strips_and_a_large_one_whole_images():
    of = (16, 16, 8), 8, (1, 1, 1, 1), np.dtype("float32")
    for cache, strip in ((1 << 10, (1, 7)), (1 << 30, (9, 10**9))):
        with cache_of(cache):
            assert strip[0] <= Winograd(*of).strip <= strip[1]


def test_sixteen_products_of_a_block_are_those_of_the_paper():
    """Equations 5 and 8 of Lavin and Gray with their matrices, for one block."""
    bt = np.asarray([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1.0]])
    g = np.asarray([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1.0]])
    at = np.asarray([[1, 1, 1, 0], [0, 1, -1, -1.0]])
    d, w = numbers((4, 4), "d"), numbers((3, 3), "w")
    conv = Winograd((4, 4, 1), 1, (0, 0, 0, 0), np.dtype("float64"))
    u = conv.weights(w[None, None])
    sign = np.diag([1, 1, 1, -1.0])  # in U, and not in A
    np.testing.assert_allclose(u.reshape(4, 4), sign @ g @ w @ g.T @ sign, rtol=1e-14, atol=1e-15)
    y = np.empty((1, 2, 2, 1))
    conv.forward(d[None, ..., None], u, y)
    np.testing.assert_allclose(y[0, ..., 0], at @ ((g @ w @ g.T) * (bt @ d @ bt.T)) @ at.T, rtol=1e-13)


# As exact as usual.


def error(a, truth):
    """Root of the mean square of the errors, of the numbers' own."""
    return float(np.sqrt(np.mean((a - truth) ** 2) / np.mean(truth**2)))


@pytest.mark.parametrize("channels", [8, 64, 512])  # 72 to 4,608 products in a sum
@pytest.mark.parametrize("way", ["winograd", "windows"])
def test_float32_is_no_more_than_twice_as_inexact_as_the_generic_body(way, channels):
    x, w = numbers((2, channels, 8, 8), "x"), numbers((64, channels, 3, 3), "w")
    dy = numbers((2, 64, 8, 8), "dy")
    y = ops.conv2d(x, w, padding=1)
    dx, dw, _ = ops.conv2d_backward(dy, x, w, padding=1)
    errors = []
    for mode in (generic, lambda: cache_of(1 << 18, way=way)):
        with mode():
            model = Sequential(Conv2d(channels, 64, 3, padding=1, bias=False))
            model.params["0.weight"][...] = w.astype("float32")
            y_found, cache = model.forward(x.astype("float32"), train=True)
            dx_found, grads = model.backward(dy.astype("float32"), cache)
            errors.append((error(y_found, y), error(dx_found, dx), error(grads["0.weight"], dw)))
    for name, usual, found in zip(("y", "dx", "dw"), *errors, strict=True):
        assert found <= 2.0 * usual, name


def test_the_way_is_chosen_by_the_size():
    of = dict(kernel=(3, 3), stride=ONE, dilation=ONE, border=(1, 1, 1, 1), bias=False, dtype=np.dtype("float32"))
    few, many = cpu.Convolution((28, 28, 1), 8, **of), cpu.Convolution((32, 32, 64), 64, **of)
    assert isinstance(few.way(32), WindowConvolution)
    assert isinstance(many.way(32), Winograd)
    for name, value in (("kernel", (1, 3)), ("stride", (2, 1)), ("dilation", (1, 2))):
        other = cpu.Convolution((32, 32, 64), 64, **{**of, name: value})
        assert isinstance(other.way(32), WindowConvolution), name
