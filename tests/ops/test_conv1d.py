"""Conv1d against its index form, written as loops, and what it says when something is wrong."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.strategies import LAYERS
from xpcnn import ops
from xpcnn.backend import Key, normal
from xpcnn.errors import ConfigError, DtypeError, NamespaceError, ShapeError, XpcnnError
from xpcnn.layers import Conv1d


def index_form(x, w, b, stride, left, right, dilation, groups):
    (n, _, length), (o, c_group, k) = x.shape, w.shape
    places = (length + left + right - dilation * (k - 1) - 1) // stride + 1
    y = np.zeros((n, o, places))
    for i, f, p in np.ndindex(*y.shape):
        first = (f // (o // groups)) * c_group
        y[i, f, p] = 0.0 if b is None else b[f]
        for c, t in np.ndindex(c_group, k):
            place = p * stride + t * dilation - left
            if 0 <= place < length:
                y[i, f, p] += w[f, c, t] * x[i, first + c, place]
    return y


def ends(padding, reach):
    """Zeros on the left and on the right."""
    if isinstance(padding, str):
        total = reach - 1 if padding == "same" else 0
        return total // 2, total - total // 2
    return padding if isinstance(padding, tuple) else (padding, padding)


@settings(max_examples=40)
@given(LAYERS[Conv1d])
def test_conv1d_is_its_index_form(case):
    a = case.args
    w = normal((a["out_channels"], a["in_channels"] // a["groups"], a["kernel_size"]), Key(case.seed))
    b = normal((a["out_channels"],), Key(case.seed, "b")) if a["bias"] else None
    left, right = ends(a["padding"], a["dilation"] * (a["kernel_size"] - 1) + 1)
    expected = index_form(case.x(), w, b, a["stride"], left, right, a["dilation"], a["groups"])
    options = {name: a[name] for name in ("stride", "padding", "dilation", "groups")}
    y = ops.conv1d(case.x(), w, b, **options)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    assert ops.conv1d_shape(case.shape, w.shape, **options) == expected.shape


def test_the_kernel_is_not_flipped():
    assert ops.conv1d(np.asarray([[[1.0, 2.0]]]), np.asarray([[[10.0, 1.0]]])).tolist() == [[[12.0]]]


def test_padding_is_left_then_right():
    x, w = np.asarray([[[1.0, 2.0]]]), np.ones((1, 1, 1))
    assert ops.conv1d(x, w, padding=(1, 2)).tolist() == [[[0.0, 1.0, 2.0, 0.0, 0.0]]]
    assert ops.conv1d(x, np.ones((1, 1, 2)), padding="same").tolist() == [[[3.0, 2.0]]], "the odd one at the end"


def test_a_causal_convolution_does_not_see_what_comes_later():
    layer, x = Conv1d(2, 3, 3, padding=(4, 0), dilation=2), normal((1, 2, 9), Key(0)).astype("float32")
    later = x.copy()
    later[:, :, 5:] += 1.0
    before, after = layer(x), layer(later)
    assert before.shape == (1, 3, 9)
    assert np.array_equal(before[:, :, :5], after[:, :, :5])
    assert not np.any(before[:, :, 5] == after[:, :, 5])


def test_sizes_may_be_tuples_of_one():
    """As PyTorch prints them."""
    layer = Conv1d(1, 2, (3,), stride=(2,), padding=(1,), dilation=[1])
    assert layer.output_shape((1, 8)) == (2, 4)
    assert repr(layer) == "Conv1d(1, 2, 3, stride=2, padding=(1,))"
    assert repr(Conv1d(1, 2, 3, padding=np.int64(1))) == "Conv1d(1, 2, 3, padding=1)"


def test_the_cost_counts_products_and_windows():
    cost = Conv1d(4, 6, 5, stride=2, groups=2).cost((4, 21), 8)
    assert cost.macs == 9 * 6 * (4 // 2) * 5
    assert cost.workspace == 9 * 4 * 5 * 8, "V: a row for each place, a column for each tap and channel"
    assert cost.keeps_input and not cost.keeps_output


X, W = np.ones((1, 2, 4)), np.ones((2, 2, 2))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"stride": 0}, ConfigError, "Conv1d: expected stride of at least 1, got 0"),
        ({"stride": (1, 1)}, ConfigError, r"Conv1d: expected stride to be an integer, got \(1, 1\)"),
        ({"dilation": 1.5}, ConfigError, "Conv1d: expected dilation to be an integer, got 1.5"),
        ({"dilation": True}, ConfigError, "Conv1d: expected dilation to be an integer, got True"),
        ({"padding": -1}, ConfigError, "Conv1d: expected padding of at least 0"),
        ({"padding": (0, -1)}, ConfigError, "Conv1d: expected padding of at least 0"),
        ({"padding": (1, 2, 3)}, ConfigError, r"Conv1d: expected padding to be an integer, \(left, right\), 'same' or"),
        ({"padding": ()}, ConfigError, "Conv1d: expected padding to be"),
        ({"padding": (1.0, 1)}, ConfigError, "Conv1d: expected padding to be"),
        ({"padding": "full"}, ConfigError, "Conv1d: expected padding to be .* got 'full'"),
        ({"padding": "same", "stride": 2}, ConfigError, "Conv1d: padding='same' needs stride 1, got stride 2"),
        ({"groups": 0}, ConfigError, "Conv1d: expected groups"),
        ({"groups": 2}, ShapeError, r"Conv1d: expected x of shape \(N, 4, L\), got \(1, 2, 4\)"),
        ({"dilation": 4}, ShapeError, "Conv1d: expected a padded sequence of at least the kernel's size 5, got 4 from"),
    ],
)
def test_wrong_settings_raise(options, error, text):
    with pytest.raises(error, match=text) as caught:
        ops.conv1d(X, W, **options)
    assert isinstance(caught.value, XpcnnError)
    with pytest.raises(error, match=text):
        ops.conv1d_backward(np.ones((1, 2, 3)), X, W, **options)
    if error is ConfigError:
        with pytest.raises(error, match=text):
            Conv1d(2, 2, 2, **options)


def test_arrays_that_do_not_fit_raise():
    with pytest.raises(ShapeError, match=r"Conv1d: expected bias of shape \(2,\), got \(3,\)"):
        ops.conv1d(X, W, np.ones(3))
    with pytest.raises(ShapeError, match=r"Conv1d: expected weight of shape \(O, C, K\)"):
        ops.conv1d(X, np.ones((2, 2, 2, 2)))
    with pytest.raises(ConfigError, match="Conv1d: expected groups to divide the 3 output channels, got groups=2"):
        ops.conv1d(X, np.ones((3, 1, 2)), groups=2)
    with pytest.raises(ShapeError, match=r"Conv1d: expected dy of the output's shape \(1, 2, 3\), got \(1, 2, 4\)"):
        ops.conv1d_backward(X, X, W)
    with pytest.raises(DtypeError, match="Conv1d: expected weight and x of one dtype"):
        ops.conv1d(X, W.astype("float32"))
    with pytest.raises(NamespaceError, match="Conv1d: expected x to be an array"):
        ops.conv1d(X.tolist(), W)


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((8, 100, 3), r"channels come first; permute to \(8, 3, 100\)"),
        ((3, 100), r"add the batch axis, as in x\[None\] of shape \(1, 3, 100\)"),
        ((8, 3, 1, 100), r"\(8, 3, 1, 100\)$"),
        ((8, 3, 0), "it is empty"),
        ((), r"\(\)$"),
    ],
)
def test_wrong_sequences_raise_and_say_what_would_fit(shape, hint):
    with pytest.raises(ShapeError, match=rf"^Conv1d: expected x of shape \(N, 3, L\), got .*{hint}"):
        Conv1d(3, 2, 3)(np.ones(shape, "float32"))


def test_sequences_of_one_channel_may_lack_its_axis():
    with pytest.raises(ShapeError, match=r"add the channel axis, as in x\[:, None\] of shape \(8, 1, 100\)"):
        Conv1d(1, 2, 3)(np.ones((8, 100), "float32"))
