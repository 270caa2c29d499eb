"""ConvTranspose2d against its scatter form, and against the convolution whose adjoint it is."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.strategies import LAYERS
from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import ConfigError, DtypeError, NamespaceError, ShapeError, XpcnnError
from xpcnn.layers import Conv1d, Conv2d, ConvTranspose2d

OPTIONS = ("stride", "padding", "output_padding", "groups", "dilation")


def both(value):
    return value if isinstance(value, tuple) else (value, value)


def cropped(padding, reach):
    """Rows and columns that a padding takes off: (top, bottom, left, right)."""
    if isinstance(padding, str):
        high, wide = ((r - 1 if padding == "same" else 0) for r in reach)
        return high // 2, high - high // 2, wide // 2, wide - wide // 2
    if isinstance(padding, tuple) and len(padding) == 4:
        return padding[2], padding[3], padding[0], padding[1]
    return *both(padding)[:1] * 2, *both(padding)[1:] * 2


def scatter_form(x, w, b, stride, padding, output_padding, groups, dilation):
    """Every entry stamps its kernel; slow loops over single numbers."""
    (n, c, h, wide), (_, o_group, kh, kw) = x.shape, w.shape
    stride, extra, dilation = both(stride), both(output_padding), both(dilation)
    reach = dilation[0] * (kh - 1) + 1, dilation[1] * (kw - 1) + 1
    size = (h - 1) * stride[0] + reach[0] + extra[0], (wide - 1) * stride[1] + reach[1] + extra[1]
    y = np.zeros((n, o_group * groups, *size))
    for i, k, p, q, o, u, v in np.ndindex(n, c, h, wide, o_group, kh, kw):
        out = (k // (c // groups)) * o_group + o
        y[i, out, p * stride[0] + u * dilation[0], q * stride[1] + v * dilation[1]] += x[i, k, p, q] * w[k, o, u, v]
    top, bottom, left, right = cropped(padding, reach)
    y = y[:, :, top : size[0] - bottom, left : size[1] - right]
    return y if b is None else y + b[:, None, None]


@settings(max_examples=40)
@given(LAYERS[ConvTranspose2d])
def test_conv_transpose2d_is_its_scatter_form(case):
    a = case.args
    w = normal((a["in_channels"], a["out_channels"] // a["groups"], *both(a["kernel_size"])), Key(case.seed))
    b = normal((a["out_channels"],), Key(case.seed, "b")) if a["bias"] else None
    options = {name: a[name] for name in OPTIONS}
    expected = scatter_form(case.x(), w, b, **options)
    y = ops.conv_transpose2d(case.x(), w, b, **options)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    assert ops.conv_transpose2d_shape(case.shape, w.shape, **options) == expected.shape


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
small = st.integers(0, 2)
paddings = st.one_of(small, st.tuples(small, small), st.tuples(small, small, small, small), st.sampled_from(["same"]))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_adjoint_of_conv2d(space, dtype):
    """<conv2d(x, w), y> == <x, conv_transpose2d(y, w)>, whatever the options; and so are the gradients."""

    @settings(max_examples=60 if space.name == "numpy" else 10)
    @given(pairs, pairs, pairs, pairs, paddings, st.integers(1, 3), pairs, st.integers(0, 99))
    def check(kernel, stride, dilation, channels, padding, groups, size, seed):
        stride = (1, 1) if padding == "same" else stride
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        border = cropped(padding, reach)
        added = border[0] + border[1], border[2] + border[3]
        size = [max(1, r - a) + s for r, a, s in zip(reach, added, size, strict=True)]
        w = space.asarray(normal((channels[0] * groups, channels[1], *kernel), Key(seed, "w")), dtype)
        x = space.asarray(normal((2, channels[1] * groups, *size), Key(seed, "x")), dtype)
        ax = ops.conv2d(x, w, **options)
        y = space.asarray(normal(tuple(ax.shape), Key(seed, "y")), dtype)
        # rows and columns that no window reached, and that the way back has to add
        rest = tuple((n + a - r) % s for n, a, r, s in zip(size, added, reach, stride, strict=True))
        at_y = ops.conv_transpose2d(y, w, **options, output_padding=rest)
        assert at_y.shape == x.shape
        assert at_y.dtype == x.dtype and space.device.owns(at_y)
        ax, at_y, hx, hy = (to_numpy(a).astype("float64") for a in (ax, at_y, x, y))
        scale = 1.0 + np.abs(ax * hy).sum() + np.abs(hx * at_y).sum()
        tolerance = {"float64": 1e-14, "float32": 1e-6}[dtype]
        assert abs((ax * hy).sum() - (hx * at_y).sum()) <= tolerance * scale

        # the same bilinear form <conv2d(x, w), y> differentiated from its other side
        dy, dw, _ = ops.conv_transpose2d_backward(x, y, w, **options, output_padding=rest)
        _, expected, _ = ops.conv2d_backward(y, x, w, **options)
        for got, wanted in ((dy, ax), (dw, expected)):
            bound = tolerance * scale * 10.0
            np.testing.assert_allclose(to_numpy(got), to_numpy(wanted), rtol=0.0, atol=bound)

    check()


def test_stamps_that_do_not_overlap_are_a_kronecker_product():
    x, w = normal((3, 4), Key(0)), normal((2, 3), Key(1))
    y = ops.conv_transpose2d(x[None, None], w[None, None], stride=w.shape)
    assert np.array_equal(y[0, 0], np.kron(x, w))


def test_the_kernel_is_not_flipped():
    one, w = np.ones((1, 1, 1, 1)), np.arange(6.0).reshape(1, 1, 2, 3)
    assert np.array_equal(ops.conv_transpose2d(one, w), w)


def test_output_padding_returns_to_every_size_that_conv2d_shrank():
    down, seen = Conv2d(1, 1, 3, stride=3, padding=1), set()
    for size in range(1, 12):
        small = down.output_shape((1, size, size))
        rest = (size + 2 - 3) % 3
        seen.add(rest)
        assert ConvTranspose2d(1, 1, 3, 3, 1, rest).output_shape(small) == (1, size, size)
    assert seen == {0, 1, 2}


def test_what_output_padding_adds_is_the_bias():
    """It lies beyond every stamp: at the bottom and at the right."""
    y = ops.conv_transpose2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1)), np.full(1, 7.0), stride=3, output_padding=2)
    assert y.shape == (1, 1, 6, 6)
    assert np.argwhere(y[0, 0] == 8.0).tolist() == [[0, 0], [0, 3], [3, 0], [3, 3]]
    assert np.count_nonzero(y == 7.0) == 32


def test_output_padding_beyond_the_stride_adds_no_window():
    """Allowed where the dilation is larger; then the convolution of dy has more windows than x has entries."""
    x, w = normal((1, 2, 3, 3), Key(0)), normal((2, 1, 2, 2), Key(1))
    options = {"dilation": 3, "output_padding": 2}
    dy = normal(ops.conv_transpose2d_shape(x.shape, w.shape, **options), Key(2))
    dx, dw, db = ops.conv_transpose2d_backward(dy, x, w, **options)
    assert dx.shape == x.shape
    np.testing.assert_allclose(dx, ops.conv2d(dy, w, dilation=3)[:, :, :3, :3], rtol=0.0, atol=1e-14)
    np.testing.assert_allclose(db, [dy.sum()], rtol=1e-13)
    dy[:, :, -2:] += 1.0
    assert np.array_equal(ops.conv_transpose2d_backward(dy, x, w, **options)[1], dw)


@pytest.mark.parametrize("cls", [Conv1d, Conv2d, ConvTranspose2d])
def test_the_gradient_of_x_can_be_left_out(cls):
    @settings(max_examples=10)
    @given(LAYERS[cls])
    def check(case):
        layer = case.layer()
        y, cache = layer.forward(case.x().astype("float32"), train=True)
        _, grads = layer.backward(y, cache)
        nothing, same = layer.backward(y, cache, input_grad=False)
        assert layer.spares_input_grad and nothing is None
        assert all(np.array_equal(same[name], g) for name, g in grads.items()) and set(same) == set(layer.params)
        assert repr(cls(**layer.config())) == repr(layer)

    check()


@settings(max_examples=100)
@given(LAYERS[ConvTranspose2d])
def test_the_cost_is_that_of_the_convolution_back(case):
    transposed, shape = case.layer(), case.shape[1:]
    options = {name: case.args[name] for name in ("stride", "padding", "dilation", "groups")}
    back = Conv2d(transposed.out_channels, transposed.in_channels, transposed.kernel_size, **options)
    output = transposed.output_shape(shape)
    assume(back.output_shape(output) == shape)  # not where output_padding lies beyond the stride
    assert transposed.cost(shape, 4) == back.cost(output, 4)
    assert back.cost(output, 4).macs > 0


def test_hard_values_are_drawn():
    beyond, leaves_one, growing = [], [], []

    @settings(max_examples=300)
    @given(LAYERS[ConvTranspose2d])
    def draw(case):
        extra, stride = both(case.args["output_padding"]), both(case.args["stride"])
        beyond.append(any(e >= s for e, s in zip(extra, stride, strict=True)))
        out = case.layer().output_shape(case.shape[1:])
        leaves_one.append(1 in out[1:] and case.args["padding"] not in (0, "valid"))
        growing.append(out[1] > case.shape[2] and out[2] > case.shape[3])

    draw()
    assert any(beyond) and any(leaves_one) and any(growing)


X, W = np.ones((1, 4, 3, 3)), np.ones((4, 2, 2, 2))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"stride": 0}, ConfigError, "ConvTranspose2d: expected stride of at least 1, got 0"),
        ({"dilation": (1, 0)}, ConfigError, "ConvTranspose2d: expected dilation of at least 1"),
        ({"padding": -1}, ConfigError, "ConvTranspose2d: expected padding of at least 0"),
        ({"padding": "full"}, ConfigError, "ConvTranspose2d: expected padding to be"),
        ({"padding": "same", "stride": 2}, ConfigError, r"ConvTranspose2d: padding='same' needs stride 1, got"),
        ({"output_padding": -1}, ConfigError, "ConvTranspose2d: expected output_padding of at least 0, got -1"),
        ({"output_padding": 0.5}, ConfigError, "ConvTranspose2d: expected output_padding to be an integer or a pair"),
        (
            {"output_padding": 1},
            ConfigError,
            r"ConvTranspose2d: expected output_padding smaller than the stride \(1, 1\) or the dilation .* got 1",
        ),
        (
            {"output_padding": (1, 2), "stride": 2},
            ConfigError,
            r"ConvTranspose2d: expected output_padding smaller than the stride \(2, 2\) .* got \(1, 2\)",
        ),
        ({"groups": 3}, ConfigError, "ConvTranspose2d: expected groups to divide .*=?4.*, got groups=3"),
    ],
)
def test_wrong_settings_raise(options, error, text):
    for call in (lambda: ops.conv_transpose2d(X, W, **options), lambda: ConvTranspose2d(4, 6, 2, **options)):
        with pytest.raises(error, match=text) as caught:
            call()
        assert isinstance(caught.value, XpcnnError)


def test_arrays_that_do_not_fit_raise():
    with pytest.raises(ShapeError, match=r"ConvTranspose2d: expected x of shape \(N, 4, H, W\), got \(1, 3, 3, 4\)"):
        ops.conv_transpose2d(np.ones((1, 3, 3, 4)), W)
    with pytest.raises(ShapeError, match=r"ConvTranspose2d: expected bias of shape \(4,\), got \(2,\)"):
        ops.conv_transpose2d(X, W, np.ones(2), groups=2)
    with pytest.raises(ShapeError, match=r"ConvTranspose2d: expected weight of shape \(C, O, KH, KW\)"):
        ops.conv_transpose2d(X, np.ones((4, 2, 2)))
    with pytest.raises(ShapeError, match=r"dy of the output's shape \(1, 2, 4, 4\), got \(1, 4, 3, 3\)"):
        ops.conv_transpose2d_backward(X, X, W)
    with pytest.raises(DtypeError, match="ConvTranspose2d: expected weight and x of one dtype"):
        ops.conv_transpose2d(X, W.astype("float32"))
    with pytest.raises(NamespaceError, match="ConvTranspose2d: expected x to be an array"):
        ops.conv_transpose2d(X.tolist(), W)


def test_an_output_without_pixels_is_refused():
    text = r"ConvTranspose2d: expected an output of at least one pixel, got \(0, 2\) from an image of \(3, 3\)"
    with pytest.raises(ShapeError, match=text):
        ops.conv_transpose2d(X, W, padding=(2, 1))
    with pytest.raises(ShapeError, match=r"ConvTranspose2d: .*at least one pixel"):
        ConvTranspose2d(4, 2, 2, padding=2).output_shape((4, 3, 3))
