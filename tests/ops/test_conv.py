"""Convolution against its index form, written as loops."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests import reference
from tests.strategies import LAYERS
from xpcnn import ops
from xpcnn.backend import Key, normal
from xpcnn.errors import ConfigError, ShapeError, XpcnnError
from xpcnn.layers import Conv2d
from xpcnn.ops.geometry import pads, pair


@settings(max_examples=25)
@given(LAYERS[Conv2d])
def test_conv2d_is_its_index_form(case):
    a = case.args
    kernel, stride, dilation = (pair("", name, a[name]) for name in ("kernel_size", "stride", "dilation"))
    w = normal((a["out_channels"], a["in_channels"] // a["groups"], *kernel), Key(case.seed))
    b = normal((a["out_channels"],), Key(case.seed, "b")) if a["bias"] else None
    border = pads("", a["padding"], kernel, stride, dilation)
    settings = {"stride": a["stride"], "padding": a["padding"], "dilation": a["dilation"], "groups": a["groups"]}
    expected = reference.conv2d(case.x(), w, b, stride, border, dilation, a["groups"])
    np.testing.assert_allclose(ops.conv2d(case.x(), w, b, **settings), expected, rtol=1e-12, atol=1e-12)


def test_non_square_kernel():
    """deepnet checked the width against the kernel's height, and refused or mis-cut non-square kernels."""
    x = np.arange(2.0 * 3 * 4 * 7).reshape(2, 3, 4, 7)
    for kernel in ((4, 1), (1, 7), (2, 5), (4, 7)):
        w = normal((2, 3, *kernel), Key(0))
        y = Conv2d(3, 2, kernel, bias=False).output_shape((3, 4, 7))
        assert y == (2, 4 - kernel[0] + 1, 7 - kernel[1] + 1)
        np.testing.assert_allclose(ops.conv2d(x, w), reference.conv2d(x, w), rtol=1e-12)


def test_four_paddings_are_left_right_top_bottom():
    """The order of torch.nn.functional.pad."""
    x = np.ones((1, 1, 2, 2))
    y = ops.conv2d(x, np.ones((1, 1, 1, 1)), padding=(1, 2, 3, 0))
    assert y.shape == (1, 1, 5, 5)
    assert y[0, 0, 3:, 1:3].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert y.sum() == 4.0


def test_same_puts_the_odd_column_at_the_end():
    y = ops.conv2d(np.asarray([[[[1.0, 2.0, 3.0]]]]), np.ones((1, 1, 1, 2)), padding="same")
    assert y.tolist() == [[[[3.0, 5.0, 3.0]]]]


def test_the_kernel_is_not_flipped():
    y = ops.conv2d(np.asarray([[[[1.0, 2.0]]]]), np.asarray([[[[10.0, 1.0]]]]))
    assert y.tolist() == [[[[12.0]]]]


@pytest.mark.parametrize(
    ("kwargs", "error", "text"),
    [
        ({"stride": 0}, ConfigError, "expected stride of at least 1, got 0"),
        ({"dilation": (1, 0)}, ConfigError, "expected dilation of at least 1"),
        ({"stride": 1.5}, ConfigError, "expected stride to be an integer or a pair"),
        ({"stride": True}, ConfigError, "expected stride to be an integer or a pair"),
        ({"padding": -1}, ConfigError, "expected padding of at least 0"),
        ({"padding": (0, 0, 0, -1)}, ConfigError, "expected padding of at least 0"),
        ({"padding": (1, 2, 3)}, ConfigError, "expected padding to be"),
        ({"padding": "full"}, ConfigError, "expected padding to be"),
        ({"padding": "same", "stride": 2}, ConfigError, "needs stride 1"),
        ({"groups": 2}, ShapeError, r"expected x of shape \(N, 4, H, W\)"),
        ({"dilation": 4}, ShapeError, r"at least the kernel's size \(5, 5\), got \(4, 4\)"),
    ],
)
def test_wrong_settings_raise(kwargs, error, text):
    with pytest.raises(error, match=text) as caught:
        ops.conv2d(np.ones((1, 2, 4, 4)), np.ones((2, 2, 2, 2)), **kwargs)
    assert isinstance(caught.value, XpcnnError)


def test_parameters_of_wrong_shape_raise():
    x = np.ones((1, 2, 4, 4))
    with pytest.raises(ShapeError, match=r"expected bias of shape \(3,\), got \(2,\)"):
        ops.conv2d(x, np.ones((3, 2, 2, 2)), np.ones(2))
    with pytest.raises(ShapeError, match="expected weight of shape"):
        ops.conv2d(x, np.ones((3, 2, 2)))
    with pytest.raises(ConfigError, match="groups to divide the 3 output channels"):
        ops.conv2d(x, np.ones((3, 1, 2, 2)), groups=2)
