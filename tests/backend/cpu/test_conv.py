"""Convolution of runs: derivatives, accuracy over options, and how much is worked on."""

import numpy as np
import pytest

from tests.backend.cpu.compare import cache_of, settled
from tests.backend.cpu.test_windows import numbers
from xpcnn import layers as L
from xpcnn.backend import cpu
from xpcnn.models import Sequential

OPTIONS = {
    "plain": {},
    "padded": {"padding": 1},
    "padded beyond the filter": {"padding": (3, 4, 5, 3)},
    "one side": {"padding": (0, 2, 1, 0)},
    "wide filter": {"kernel_size": (1, 5), "padding": "same"},
    "even filter": {"kernel_size": 2, "padding": (0, 1, 0, 1)},
    "one pixel": {"kernel_size": 1},
    "one pixel, stride": {"kernel_size": 1, "stride": 2},
    "one pixel, padded": {"kernel_size": 1, "padding": 1},
    "stride": {"stride": (2, 1), "padding": 1},
    "stride beyond the filter": {"kernel_size": 2, "stride": 3},
    "dilation": {"dilation": (1, 2), "padding": "same"},
    "stride and dilation": {"stride": (1, 2), "dilation": 2, "padding": 3},
}


def model(options, bias=True):
    options = {"kernel_size": 3, **options}
    return settled(Sequential(L.Conv2d(3, 4, bias=bias, **options), dtype="float64"))


@pytest.mark.oracle
@pytest.mark.parametrize("way", ["winograd", "wide"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_torch_gives_the_same(name, bias, way):
    torch = pytest.importorskip("torch")
    net, options = model(OPTIONS[name], bias), {"kernel_size": 3, **OPTIONS[name]}
    x = numbers((5, 3, 8, 7), "x")
    with cache_of(1 << 10, way=way):
        y, cache = net.forward(x, train=True)
        dy = numbers(y.shape, "dy")
        dx, grads = net.backward(dy, cache)

    xt = torch.tensor(x, requires_grad=True)
    params = {name: torch.tensor(a, requires_grad=True) for name, a in net.params.items()}
    padding, padded = options.get("padding", 0), xt
    if isinstance(padding, tuple):
        padded, padding = torch.nn.functional.pad(xt, padding), 0
    yt = torch.nn.functional.conv2d(
        padded,
        params["0.weight"],
        params.get("0.bias"),
        stride=options.get("stride", 1),
        padding=padding,
        dilation=options.get("dilation", 1),
    )
    yt.backward(torch.tensor(dy))
    close = {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(y, yt.detach().numpy(), **close)
    np.testing.assert_allclose(dx, xt.grad.numpy(), **close)
    assert grads.keys() == params.keys()
    for key, p in params.items():
        np.testing.assert_allclose(grads[key], p.grad.numpy(), **close)


@pytest.mark.parametrize("way", ["winograd", "wide"])
@pytest.mark.parametrize("name", OPTIONS)
def test_backward_is_the_adjoint_of_forward(name, way):
    """``<conv(x) - b, dy> = <x, dx> = <w, dw>`` and ``<b, db>`` is what is left: no other body is asked."""
    net, x = model(OPTIONS[name]), numbers((5, 3, 8, 7), "x")
    with cache_of(1 << 10, way=way):
        y, cache = net.forward(x, train=True)
        dy = numbers(y.shape, "dy")
        dx, grads = net.backward(dy, cache)
    value = np.vdot(y - net.params["0.bias"][:, None, None], dy)
    np.testing.assert_allclose(np.vdot(x, dx), value, rtol=1e-11)
    np.testing.assert_allclose(np.vdot(net.params["0.weight"], grads["0.weight"]), value, rtol=1e-11)
    np.testing.assert_allclose(grads["0.bias"], dy.sum(axis=(0, 2, 3)), rtol=1e-11)


@pytest.mark.parametrize("way", ["winograd", "wide"])
def test_single_images_and_many_give_the_same_rows(way):
    net = model({"padding": 1}, True)
    x = numbers((23, 3, 8, 7), "x")
    with cache_of(1 << 10, way=way):
        whole = net(x)
        for part in (slice(0, 1), slice(5, 7), slice(11, 22)):
            np.testing.assert_allclose(net(x[part]), whole[part], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cache", [1 << 8, 1 << 12, 1 << 16])
@pytest.mark.parametrize("size", [(31, 17), (64, 8), (5, 40)])
def test_a_single_image_cut_in_strips_gives_the_same(cache, size):
    net, x = model({"padding": 1}), numbers((1, 3, *size), "x")
    whole = model({"padding": 1})(x)
    with cache_of(cache, way="wide"):
        np.testing.assert_allclose(net(x), whole, rtol=1e-12, atol=1e-12)


def test_weights_are_those_of_now():
    """Whatever is made of the weights belongs to one pass."""
    for way in ("winograd", "wide"):
        net, x = model({"padding": 1}), numbers((4, 3, 8, 7), "x")
        with cache_of(1 << 10, way=way):
            before = net(x)
            net.params["0.weight"][...] *= 2.0
            net.params["0.bias"][...] *= 2.0
            np.testing.assert_allclose(net(x), 2.0 * before, rtol=1e-12)


def test_bias_of_float32_is_added_up_in_more_digits():
    """A sum over a quarter of a million places, in pieces: no worse than the rounding of some hundred additions."""
    net = Sequential(L.Conv2d(1, 1, 1))
    x = np.zeros((16, 1, 128, 128), "float32")
    _, cache = net.forward(x, train=True)
    dy = np.full(x.shape, 0.1, "float32")
    found = net.backward(dy, cache)[1]["0.bias"]
    np.testing.assert_allclose(found, float(dy[0, 0, 0, 0]) * dy.size, rtol=2e-6)


def test_cost_is_what_the_work_is_cut_by():
    of = {"stride": (1, 1), "dilation": (1, 1), "bias": True, "dtype": np.dtype("float32")}
    small = cpu.Convolution((14, 14, 8), 8, kernel=(3, 3), border=(1, 1, 1, 1), **of)
    large = cpu.Convolution((28, 28, 8), 8, kernel=(3, 3), border=(1, 1, 1, 1), **of)
    assert 3.5 * small.bytes <= large.bytes <= 4.5 * small.bytes
    assert small.out == (14, 14, 8)
    assert small.bytes >= 2 * 14 * 14 * 8 * 4  # input and output at least


def test_folding_makes_another_convolution_and_leaves_this_one():
    float32 = np.dtype("float32")
    node = cpu.Convolution((8, 8, 3), 4, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), True, float32)
    norm = cpu.BatchNorm((8, 8, 4), 1e-5, True, True, float32)
    plain = node.describe(7)
    both = node.folding(norm)
    assert (node.norm, both.norm) == (None, norm)
    assert node.describe(7) == plain
    assert "batch norm folded into" in both.describe(7)
    assert both.out == node.out
