"""Batch normalization: whose statistics, when, and how they are kept."""

import numpy as np
import pytest

from tests import reference
from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import ConfigError, DtypeError, ShapeError
from xpcnn.layers import BatchNorm1d, BatchNorm2d
from xpcnn.models import Sequential


def test_batchnorm_eval_uses_running_stats(space):
    """deepnet uses the batch's at prediction, so that an answer depends on its neighbours."""
    layer = space.settle(BatchNorm2d(2, eps=1e-3))
    x = normal((4, 2, 3, 3), Key(0)) * 3.0 + 1.0
    whole = to_numpy(layer(space.asarray(x)))
    alone = to_numpy(layer(space.asarray(x[:1])))
    assert np.array_equal(whole[:1], alone)
    state = layer.params | layer.buffers
    w, b, mean, var = (
        to_numpy(state[name])[:, None, None] for name in ("weight", "bias", "running_mean", "running_var")
    )
    np.testing.assert_allclose(whole, w * (x - mean) / np.sqrt(var + 1e-3) + b, rtol=1e-12)


@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_training_output_is_the_formula(space, eps):
    layer = space.settle(BatchNorm2d(3, eps=eps))
    x = normal((4, 3, 2, 5), Key(1)) * 2.0 + 7.0
    w, b = (to_numpy(layer.params[name]) for name in ("weight", "bias"))
    y = to_numpy(layer.forward(space.asarray(x), train=True)[0])
    np.testing.assert_allclose(y, reference.batch_norm(x, w, b, eps), rtol=1e-11, atol=1e-12)


def test_normalized_per_channel_not_per_place(space):
    """deepnet normalizes every pixel on its own."""
    layer = BatchNorm2d(2, affine=False, eps=1e-12)
    layer.place(space.device, "float64", Key(0))
    y = to_numpy(layer.forward(space.asarray(normal((5, 2, 4, 4), Key(2)) + 3.0), train=True)[0])
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0.0, atol=1e-13)
    np.testing.assert_allclose(y.var(axis=(0, 2, 3)), 1.0, rtol=1e-9)


def test_running_statistics_move_by_momentum_and_count_batches(space):
    x = normal((4, 2), Key(3)) + 2.0
    mean, var = x.mean(axis=0), x.var(axis=0, ddof=1)
    expected = {0.0: (0.0 * mean, 0.0 * var + 1.0), 1.0: (mean, var), 0.25: (0.25 * mean, 0.25 * var + 0.75)}
    for momentum, (wanted_mean, wanted_var) in expected.items():
        layer = BatchNorm1d(2, momentum=momentum)
        layer.place(space.device, "float64", Key(0))
        layer.forward(space.asarray(x), train=True)
        np.testing.assert_allclose(to_numpy(layer.buffers["running_mean"]), wanted_mean, rtol=1e-14)
        np.testing.assert_allclose(to_numpy(layer.buffers["running_var"]), wanted_var, rtol=1e-14)
        assert int(layer.buffers["num_batches_tracked"]) == 1


def test_no_momentum_is_the_plain_average_of_batches(space):
    layer = BatchNorm1d(2, momentum=None)
    layer.place(space.device, "float64", Key(0))
    batches = [normal((4, 2), Key(i)) for i in range(5)]
    for x in batches:
        layer.forward(space.asarray(x), train=True)
    wanted = np.mean([x.mean(axis=0) for x in batches], axis=0)
    np.testing.assert_allclose(to_numpy(layer.buffers["running_mean"]), wanted, rtol=1e-12)
    wanted = np.mean([x.var(axis=0, ddof=1) for x in batches], axis=0)
    np.testing.assert_allclose(to_numpy(layer.buffers["running_var"]), wanted, rtol=1e-12)


def test_a_cache_holds_its_own_statistics(space):
    """Running statistics that move on between forward and backward do not reach the gradient."""
    layer = space.settle(BatchNorm2d(2))
    x, dy = (space.asarray(normal((3, 2, 2, 2), Key(i))) for i in (0, 1))
    _, cache = layer.forward(x, train=True)
    before = to_numpy(layer.backward(dy, cache)[0]).copy()
    layer.forward(space.asarray(100.0 + normal((3, 2, 2, 2), Key(2))), train=True)
    assert np.array_equal(to_numpy(layer.backward(dy, cache)[0]), before)


def test_large_mean_does_not_swallow_the_variance(space):
    """E[x^2] - E[x]^2 would leave rounding errors only."""
    x = (normal((64, 2), Key(0)) + 1000.0).astype("float32")
    layer = BatchNorm1d(2, affine=False, eps=1e-12)
    layer.place(space.device, "float32", Key(0))
    y = to_numpy(layer.forward(space.asarray(x), train=True)[0]).astype("float64")
    exact = x.astype("float64")
    exact = (exact - exact.mean(axis=0)) / exact.std(axis=0)
    np.testing.assert_allclose(y, exact, atol=2e-4)


def test_the_mean_of_large_numbers_is_the_nearest_number(space):
    x = (normal((25_000, 8), Key(1)) + 100.0).astype("float32")
    mean = to_numpy(ops.batch_statistics(space.asarray(x))[0])
    exact = x.astype("float64").mean(axis=0)
    np.testing.assert_array_less(np.abs(mean - exact), 0.51 * np.spacing(mean))


def test_a_running_mean_of_numbers_around_zero_is_rounded_once(space):
    """The mean of 10,000 is a hundredth of their size: a sum in float32 would be off by ten times as much."""
    x = normal((10_000, 64), Key(1)).astype("float32")
    layer = BatchNorm1d(64, momentum=0.1)
    layer.place(space.device, "float32", Key(0))
    layer.forward(space.asarray(x), train=True)
    running = to_numpy(layer.buffers["running_mean"])
    exact = 0.1 * x.astype("float64").mean(axis=0)
    np.testing.assert_array_less(np.abs(running - exact), 0.5001 * np.spacing(np.abs(running)))


@pytest.mark.parametrize("affine", [False, True])
def test_a_mean_of_ten_thousand_costs_no_digits(affine, space):
    """The mean, rounded to float32, is off by up to 5e-4: what that leaves over is taken into account."""
    x = (normal((300, 16), Key(1)) + 1e4).astype("float32")
    w, b, dy = (normal(shape, Key(i)).astype("float32") for i, shape in ((2, (16,)), (3, (16,)), (4, (300, 16))))
    if not affine:
        w, b = np.ones_like(w), np.zeros_like(b)
    mean, var = ops.batch_statistics(space.asarray(x, "float32"), exact=True)
    weight, bias = (space.asarray(a, "float32") if affine else None for a in (w, b))
    y = to_numpy(ops.batch_norm(space.asarray(x, "float32"), mean, var, weight, bias))
    dx, dw, _ = ops.batch_norm_backward(space.asarray(dy, "float32"), space.asarray(x, "float32"), mean, var, weight)
    wide, g = x.astype("float64"), dy.astype("float64")
    spread = np.sqrt(wide.var(axis=0) + 1e-5)
    xhat = (wide - wide.mean(axis=0)) / spread
    np.testing.assert_allclose(y, xhat * w + b, atol=1e-6)
    np.testing.assert_allclose(to_numpy(dw), (g * xhat).sum(axis=0), atol=2e-5)
    exact = (g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0)) * w / spread
    np.testing.assert_allclose(to_numpy(dx), exact, atol=2e-6)


def test_statistics_are_of_the_dtype_of_x_or_both_float64():
    x, wide = np.ones((2, 3), dtype="float32"), np.ones(3)
    assert ops.batch_norm(x, wide, wide).dtype == x.dtype
    for mean, var in ((wide, wide.astype("float32")), (wide.astype("float32"), wide)):
        with pytest.raises(DtypeError, match=r"BatchNorm: expected .* of one dtype"):
            ops.batch_norm(x, mean, var)


@pytest.mark.parametrize("value", [1e-20, 0.3, 1e6, 3.3e15])
def test_equal_values_have_no_variance_and_become_zero(value, space):
    """What rounding leaves of their mean, squared, would make the variance negative, and its root NaN."""
    x = space.asarray(np.full((49, 3), value), "float32")
    assert to_numpy(ops.batch_statistics(x)[1]).tolist() == [0.0, 0.0, 0.0]
    layer = BatchNorm1d(3)
    layer.place(space.device, "float32", Key(0))
    assert not to_numpy(layer.forward(x, train=True)[0]).any()


def test_what_rounding_leaves_of_the_mean_does_not_count_as_variance(space):
    """A mean of 3e6 is rounded by up to 0.125, and a spread of 1 would seem larger by the square of that."""
    x = (normal((500, 8), Key(1)) + 3e6).astype("float32")
    mean, var = (to_numpy(a) for a in ops.batch_statistics(space.asarray(x)))
    exact = x.astype("float64")
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=2e-7)
    np.testing.assert_allclose(var, exact.var(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("cls", "shape"), [(BatchNorm1d, (1, 3)), (BatchNorm1d, (1, 3, 1)), (BatchNorm2d, (1, 3, 1, 1))]
)
def test_one_value_per_channel_in_training_raises_and_changes_nothing(cls, shape):
    layer = cls(3)
    with pytest.raises(ShapeError, match=f"{cls.__name__}: expected more than one value per channel in training"):
        layer.forward(np.ones(shape, dtype="float32"), train=True)
    assert int(layer.buffers["num_batches_tracked"]) == 0
    assert layer(np.ones(shape, dtype="float32")).shape == shape
    assert layer.min_batch(shape[1:]) == 2


@pytest.mark.parametrize(
    ("cls", "shape", "text"),
    [
        (BatchNorm2d, (2, 3), r"\(N, 4, H, W\), got \(2, 3\)"),
        (BatchNorm2d, (2, 3, 5, 5), r"\(N, 4, H, W\), got \(2, 3, 5, 5\)"),
        (BatchNorm2d, (2, 5, 6, 4), r"channels come first; permute to \(2, 4, 5, 6\)"),
        (BatchNorm1d, (2, 4, 5, 5), r"\(N, 4\) or \(N, 4, L\), got \(2, 4, 5, 5\)"),
        (BatchNorm1d, (2, 3), r"\(N, 4\), got \(2, 3\)"),
        (BatchNorm2d, (0, 4, 5, 5), "it is empty"),
        (BatchNorm2d, (2, 4, 0, 5), "it is empty"),
    ],
)
@pytest.mark.parametrize("train", [False, True])
def test_wrong_shapes_raise(cls, shape, text, train):
    with pytest.raises(ShapeError, match=text):
        cls(4).forward(np.ones(shape, dtype="float32"), train=train)


def test_dtype_other_than_the_parameters_raises():
    with pytest.raises(DtypeError, match=r"BatchNorm2d: expected .* of one dtype"):
        BatchNorm2d(4)(np.ones((2, 4, 3, 3)))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"num_features": 0},
        {"eps": 0.0},
        {"eps": -1.0},
        {"eps": np.nan},
        {"momentum": -0.1},
        {"momentum": 1.5},
        {"momentum": np.nan},
    ],
)
@pytest.mark.parametrize("cls", [BatchNorm1d, BatchNorm2d])
def test_wrong_settings_raise(cls, kwargs):
    with pytest.raises(ConfigError, match=f"{cls.__name__}: expected"):
        cls(**({"num_features": 3} | kwargs))


def test_a_wrong_layer_behind_a_norm_leaves_its_statistics_alone():
    """Shapes are known beforehand: nothing is changed by a step that cannot be."""
    from xpcnn.layers import Linear

    model = Sequential(BatchNorm1d(3), Linear(4, 2))
    with pytest.raises(ShapeError, match="layer '1' of Sequential"):
        model.forward(np.ones((2, 3), dtype="float32"), train=True)
    assert int(model.buffers["0.num_batches_tracked"]) == 0
