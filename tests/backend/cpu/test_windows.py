"""Convolution by windows against a naive one, and its gradients as adjoints of it."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xpcnn.backend import Key, normal
from xpcnn.backend.cpu import windows
from xpcnn.backend.cpu.windows import WindowConvolution

pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


def numbers(shape, name, dtype="float64"):
    return normal(shape, Key(0, name)).astype(dtype)


def naive(x, w, stride, dilation, border):
    """The definition, a filter's tap at a time; x is (N, H, W, C), w is (O, C, KH, KW)."""
    top, bottom, left, right = border
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    kh, kw = w.shape[2:]
    rows = (x.shape[1] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    width = (x.shape[2] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((len(x), rows, width, len(w)), x.dtype)
    for oh, ow, i, j in itertools.product(range(rows), range(width), range(kh), range(kw)):
        y[:, oh, ow] += x[:, oh * stride[0] + i * dilation[0], ow * stride[1] + j * dilation[1]] @ w[:, :, i, j].T
    return y


@st.composite
def convolutions(draw):
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride, dilation = draw(st.one_of(st.just((1, 1)), pairs)), draw(st.one_of(st.just((1, 1)), pairs))
    border = draw(st.one_of(st.just((0, 0, 0, 0)), st.tuples(*[st.integers(0, 6)] * 4)))
    h, w = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    assume(h + border[0] + border[1] > dilation[0] * (kernel[0] - 1))
    assume(w + border[2] + border[3] > dilation[1] * (kernel[1] - 1))
    return (h, w, draw(st.integers(1, 3))), draw(st.integers(1, 3)), kernel, stride, dilation, border


@settings(max_examples=80)
@given(of=convolutions(), samples=st.integers(1, 3), piece=st.sampled_from([5.0, 1e6]), least=st.sampled_from([1, 64]))
def test_forward_is_the_definition_and_the_rest_its_adjoint(of, samples, piece, least):
    image, filters, kernel, stride, dilation, border = of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "PIECE", piece)  # dear pieces are avoided by windows of many pixels
        patch.setattr(windows, "STRIP", least)  # of a single image, as many strips as it has rows
        patch.setattr(windows, "PLACES", least)
        conv = WindowConvolution(*of, np.dtype("float64"))
        x, w = numbers((samples, *image), "x"), numbers((filters, image[2], *kernel), "w")
        y = np.empty((samples, *conv.output))
        matrix = conv.weights(w)
        conv.forward(x, matrix, y)
    np.testing.assert_allclose(y, naive(x, w, stride, dilation, border), rtol=1e-12, atol=1e-12)

    dy = numbers(y.shape, "dy")
    gradient = np.empty(conv.gradient_shape())
    conv.weight_gradient(x, dy, gradient)
    dw = conv.filters_of(gradient)
    assert dw.shape == w.shape
    dx = np.full(x.shape, np.nan)
    conv.scatter(dy, matrix, dx)
    value = np.vdot(y, dy)
    np.testing.assert_allclose([np.vdot(dw, w), np.vdot(dx, x)], value, rtol=1e-11, atol=1e-11)
    # the product is linear in each weight and each input, so a difference is the derivative
    for array, gradient_, other in ((w, dw, lambda v: naive(x, v, stride, dilation, border)),
                                    (x, dx, lambda v: naive(v, w, stride, dilation, border))):  # fmt: skip
        v = numbers(array.shape, "v")
        np.testing.assert_allclose(np.vdot(gradient_, v), np.vdot(dy, other(v)), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("samples", [1, 2])
def test_a_large_image_under_a_1x1_filter_goes_in_strips(samples):
    conv = WindowConvolution((112, 112, 64), 64, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), np.dtype("float32"))
    assert conv.strips > 1
    x, w = numbers((samples, 112, 112, 64), "x", "float32"), numbers((64, 64, 1, 1), "w", "float32")
    y = np.empty((samples, *conv.output), "float32")
    conv.forward(x, conv.weights(w), y)
    np.testing.assert_allclose(y, x @ w[:, :, 0, 0].T, rtol=1e-4, atol=1e-4)


def test_dear_pieces_make_wide_windows():
    image = (6, 12, 1)
    conv = WindowConvolution(image, 4, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), np.dtype("float32"))
    assert conv.pixels > 1
    assert conv.width % conv.pixels == 0
    for stride, dilation in (((1, 2), (1, 1)), ((1, 1), (1, 2))):
        conv = WindowConvolution(image, 4, (3, 3), stride, dilation, (2, 2, 2, 2), np.dtype("float32"))
        assert conv.pixels == 1


@pytest.mark.parametrize("border", [(0, 0, 0, 0), (1, 2, 0, 3)])
def test_a_tile_may_lie_in_memory_in_any_way(border):
    conv = WindowConvolution((6, 7, 3), 2, (3, 2), (1, 1), (1, 1), border, np.dtype("float64"))
    x, w = numbers((4, 6, 7, 3), "x"), numbers((2, 3, 3, 2), "w")
    expected = naive(x, w, (1, 1), (1, 1), border)
    for lay in (
        lambda a: np.ascontiguousarray(a.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1),
        lambda a: np.ascontiguousarray(a[:, ::-1, ::-1])[:, ::-1, ::-1],
        lambda a: np.repeat(a, 2, axis=2)[:, :, ::2],
        lambda a: np.repeat(a, 2, axis=0)[::2],
        np.asfortranarray,
    ):
        y = np.empty((4, *conv.output))
        conv.forward(lay(x), conv.weights(w), y)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
        gradient = np.empty(conv.gradient_shape())
        conv.weight_gradient(lay(x), lay(expected), gradient)
        np.testing.assert_allclose(np.vdot(conv.filters_of(gradient), w), np.vdot(expected, expected), rtol=1e-11)


def test_rows_of_zeros_lie_around_a_tile_and_nowhere_else():
    x = np.ones((2, 3, 4, 1), "float32")
    out = windows.pad(x, (3 + 1 + 2, 4 + 3 + 0, 1), (1, 2, 3, 0), np.dtype("float32"))
    expected = np.pad(x, ((0, 0), (1, 2), (3, 0), (0, 0)))
    assert (out == expected).all()
    out[...] = 5.0  # what stood in scratch memory before
    assert (windows.pad(x, (6, 7, 1), (1, 2, 3, 0), np.dtype("float32")) == expected).all()
