"""Layer, group, instance and response normalization: over what, with which statistics, how accurately."""

import numpy as np
import pytest

from tests import reference
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.layers import GroupNorm, InstanceNorm2d, LayerNorm, LocalResponseNorm
from xpcnn.models import Sequential


def step(layer, space, x, dy, dtype="float64"):
    """Output, gradient at the input and at the parameters, of a layer with its initial ones and zeros."""
    layer.place(space.device, dtype, Key(0))
    y, cache = layer.forward(space.asarray(x, dtype), train=True)
    dx, grads = layer.backward(space.asarray(dy, dtype), cache)
    return to_numpy(y), to_numpy(dx), {name: to_numpy(g) for name, g in grads.items()}


def slow(x, groups, eps):
    """Rows in exact sums: each sample's groups as the channels of a batch norm over one sample."""
    rows = x.reshape(1, x.shape[0] * groups, -1)
    return reference.batch_norm(rows, np.ones(rows.shape[1]), np.zeros(rows.shape[1]), eps).reshape(x.shape)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [(3, 6), (2, 6, 5), (2, 6, 3, 4)])
def test_group_norm_is_the_formula(groups, shape, space):
    x = normal(shape, Key(groups)) * 3.0 + 5.0
    layer = space.settle(GroupNorm(groups, 6, eps=0.1))
    w, b = (to_numpy(layer.params[name]).reshape(1, 6, *[1] * (len(shape) - 2)) for name in ("weight", "bias"))
    y = to_numpy(layer.forward(space.asarray(x), train=True)[0])
    np.testing.assert_allclose(y, w * slow(x, groups, 0.1) + b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_layer_norm_is_the_formula(axes, space):
    x = normal((2, 3, 4, 5), Key(axes)) * 3.0 + 5.0
    layer = space.settle(LayerNorm(x.shape[-axes:], eps=0.1))
    w, b = (to_numpy(layer.params[name]) for name in ("weight", "bias"))
    rows = x.reshape(-1, *x.shape[-axes:])
    y = to_numpy(layer.forward(space.asarray(x), train=True)[0])
    np.testing.assert_allclose(y, w * slow(rows, 1, 0.1).reshape(x.shape) + b, rtol=1e-11, atol=1e-12)


def test_a_group_for_each_channel_is_instance_norm_and_one_group_layer_norm(space):
    x, dy = normal((2, 4, 3, 3), Key(0)), normal((2, 4, 3, 3), Key(1))
    y, dx, grads = step(GroupNorm(4, 4), space, x, dy)
    for mine, other in zip((y, dx), step(InstanceNorm2d(4), space, x, dy), strict=False):
        np.testing.assert_array_equal(mine, other)
    y, dx, grads = step(GroupNorm(1, 4), space, x, dy)
    other_y, other_dx, other_grads = step(LayerNorm((4, 3, 3)), space, x, dy)
    np.testing.assert_allclose(y, other_y, rtol=1e-13)
    np.testing.assert_allclose(dx, other_dx, rtol=1e-12, atol=1e-14)
    for name in ("weight", "bias"):  # one for each place there, one for each channel here
        np.testing.assert_allclose(grads[name], other_grads[name].sum(axis=(1, 2)), rtol=1e-12, atol=1e-14)


NORMS = [LayerNorm((8, 6, 6)), LayerNorm(6), GroupNorm(2, 8), InstanceNorm2d(8)]


@pytest.mark.parametrize("layer", NORMS, ids=repr)
@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4])
def test_float32_keeps_its_digits_whatever_the_mean(layer, offset, space):
    """The mean of 1e4, rounded, is off by as much as 5e-4; the deviations from it, by then, need not be."""
    x = (normal((2, 8, 6, 6), Key(0)) + offset).astype("float32")
    dy = normal((2, 8, 6, 6), Key(1)).astype("float32")
    exact = step(layer, space, x.astype("float64"), dy)
    got = step(layer, space, x, dy, "float32")
    for a, b in ((got[0], exact[0]), (got[1], exact[1]), *((got[2][n], exact[2][n]) for n in got[2])):
        np.testing.assert_allclose(a, b, atol=2e-6 * np.abs(b).max())


def test_without_bias_layer_norm_still_scales():
    assert set(LayerNorm(3, bias=False).params) == {"weight"}
    assert set(LayerNorm(3, elementwise_affine=False).params) == set()


def test_a_square_layer_norm_is_printed_as_one():
    assert repr(LayerNorm((5, 5))) == "LayerNorm([5, 5])"
    assert repr(LayerNorm(5, eps=0.1)) == "LayerNorm([5], eps=0.1)"


def test_instance_norm_tracks_the_mean_over_the_batch_of_each_images_statistics(space):
    x = normal((4, 2, 3, 5), Key(3)) * 2.0 + 3.0
    means, variances = x.mean(axis=(2, 3)), x.var(axis=(2, 3), ddof=1)
    for momentum in (0.0, 0.25, 1.0):
        layer = InstanceNorm2d(2, momentum=momentum, track_running_stats=True)
        layer.place(space.device, "float64", Key(0))
        before = to_numpy(layer(space.asarray(x)))
        np.testing.assert_allclose(before, x / np.sqrt(1.0 + 1e-5), rtol=1e-12)
        y = to_numpy(layer.forward(space.asarray(x), train=True)[0])
        np.testing.assert_allclose(y, slow(x, 2, 1e-5), rtol=1e-11, atol=1e-12)
        mean, var = (to_numpy(layer.buffers[name]) for name in ("running_mean", "running_var"))
        np.testing.assert_allclose(mean, momentum * means.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(var, (1.0 - momentum) + momentum * variances.mean(axis=0), rtol=1e-13)
        after = to_numpy(layer(space.asarray(x)))
        place = (1, 2, 1, 1)
        wanted = (x - mean.reshape(place)) / np.sqrt(var.reshape(place) + 1e-5)
        np.testing.assert_allclose(after, wanted, rtol=1e-12, atol=1e-13)


def test_frozen_statistics_of_instance_norm_normalize_in_training_too(space):
    model = Sequential(InstanceNorm2d(2, affine=True, track_running_stats=True), dtype="float64")
    model.to(like=space.asarray(np.zeros(1)))
    model.freeze()
    x, dy = (space.asarray(normal((3, 2, 2, 4), Key(i)) + 2.0) for i in (0, 1))
    layer = model[0]
    y, cache = layer.forward(x, train=True)
    np.testing.assert_allclose(to_numpy(y), to_numpy(x) / np.sqrt(1.0 + 1e-5), rtol=1e-12)
    dx, grads = layer.backward(dy, cache)
    np.testing.assert_allclose(to_numpy(dx), to_numpy(dy) / np.sqrt(1.0 + 1e-5), rtol=1e-12)
    np.testing.assert_allclose(to_numpy(grads["bias"]), to_numpy(dy).sum(axis=(0, 2, 3)), rtol=1e-12)
    assert to_numpy(layer.buffers["running_mean"]).tolist() == [0.0, 0.0]


def test_an_image_of_one_pixel_has_no_spread():
    one = np.ones((2, 3, 1, 1), dtype="float32")
    text = "InstanceNorm2d: expected images of more than one pixel, got"
    for train in (False, True):
        with pytest.raises(ShapeError, match=text):
            InstanceNorm2d(3).forward(one, train=train)
    with pytest.raises(ShapeError, match=text):
        InstanceNorm2d(3).output_shape((3, 1, 1))
    tracking = InstanceNorm2d(3, track_running_stats=True)
    assert tracking(one).shape == one.shape == (2, *tracking.output_shape((3, 1, 1)))
    with pytest.raises(ShapeError, match=text):
        tracking.forward(one, train=True)
    assert tracking.buffers["running_mean"].tolist() == [0.0] * 3
    assert tracking.min_batch((3, 1, 1)) == 1


@pytest.mark.parametrize("layer", [LayerNorm(1), GroupNorm(3, 3)], ids=repr)
def test_a_number_normalized_by_itself_is_zero(layer):
    assert not layer(np.full((1, 3, 1), 7.0, dtype="float32")).any()


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (LayerNorm((3, 4)), (2, 4, 3), r"LayerNorm: expected x of shape \(N, 3, 4\), got \(2, 4, 3\)"),
        (LayerNorm((3, 4)), (3, 4), r"LayerNorm: expected x of shape \(N, 3, 4\), got \(3, 4\)"),
        (LayerNorm(4), (2, 5, 3), r"LayerNorm: expected x of shape \(N, L, 4\)"),
        (LayerNorm(4), (0, 4), "it is empty"),
        (GroupNorm(2, 4), (2, 3, 5), r"GroupNorm: expected x of shape \(N, 4, H\), got \(2, 3, 5\)"),
        (GroupNorm(2, 4), (4,), r"GroupNorm: expected x of shape \(N, 4\), got \(4,\)"),
        (InstanceNorm2d(4), (2, 5, 5, 4), r"channels come first; permute to \(2, 4, 5, 5\)"),
        (LocalResponseNorm(3), (2, 4), r"LocalResponseNorm: expected x of shape \(N, C, H\), got \(2, 4\)"),
        (LocalResponseNorm(3), (2, 4, 0), "it is empty"),
    ],
    ids=lambda v: repr(v)[:30],
)
def test_wrong_shapes_raise(layer, shape, text):
    for train in (False, True):
        with pytest.raises(ShapeError, match=text):
            layer.forward(np.ones(shape, dtype="float32"), train=train)
    if 0 not in shape:
        with pytest.raises(ShapeError):
            layer.output_shape(shape[1:])


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: LayerNorm(()), r"LayerNorm: expected normalized_shape to name at least one axis, got \(\)"),
        (lambda: LayerNorm(0), "LayerNorm: expected normalized_shape to be a tuple of integers of at least 1"),
        (lambda: LayerNorm(2.5), "LayerNorm: expected normalized_shape to be"),
        (lambda: LayerNorm(3, eps=0.0), "LayerNorm: expected eps to be a finite number > 0, got 0.0"),
        (lambda: LayerNorm(3, bias=1), "LayerNorm: expected bias to be True or False, got 1"),
        (lambda: GroupNorm(4, 6), "GroupNorm: expected num_groups to divide num_channels=6, got num_groups=4"),
        (lambda: GroupNorm(0, 6), "GroupNorm: expected num_groups to be an integer of at least 1, got 0"),
        (lambda: InstanceNorm2d(0), "InstanceNorm2d: expected num_features to be an integer of at least 1, got 0"),
        (lambda: InstanceNorm2d(3, momentum=None), "InstanceNorm2d: expected momentum to be a finite number"),
        (lambda: LocalResponseNorm(0), "LocalResponseNorm: expected size to be an integer of at least 1, got 0"),
        (lambda: LocalResponseNorm(3, k=0.0), "LocalResponseNorm: expected k to be a finite number > 0, got 0.0"),
        (lambda: LocalResponseNorm(3, alpha=-1.0), "LocalResponseNorm: expected alpha to be a finite number >= 0"),
    ],
)
def test_wrong_settings_raise(build, text):
    with pytest.raises(ConfigError, match=text):
        build()
