"""Kinks and extremes of the activations."""

import numpy as np
import pytest

import xpcnn
from xpcnn import ops
from xpcnn.backend import Key, to_numpy
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.layers import (
    ELU,
    GELU,
    SELU,
    Hardswish,
    LeakyReLU,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)

SMOOTH = [ELU(), SELU(), GELU(), GELU("tanh"), SiLU(), Mish(), Hardswish(), Softplus(), Softplus(2.0, 1.0)]

# mpmath 1.3, 60 digits: {layer: {x: (y, dy/dx)}}
EXACT = {
    GELU(): {
        -30.0: (-1.47201417814445612e-196, -4.41603169070849437e-195),
        -8.5: (-8.0576045988728206e-17, -6.84650493869708435e-16),
        -0.7: (-0.169374556556151109, 0.0233858988663401557),
        -1e-10: (-4.9999999996010579e-11, 0.499999999920211544),
        1e-10: (5.00000000039894246e-11, 0.500000000079788456),
        0.7: (0.530625443443848846, 0.976614101133659844),
        8.5: (8.49999999999999992, 1.00000000000000068),
    },
    GELU("tanh"): {
        -8.5: (-1.01744473085982968e-24, -1.72398668677380592e-23),
        -0.7: (-0.169429865294883248, 0.0236427813438960541),
        -1e-10: (-4.9999999996010579e-11, 0.499999999920211544),
        1e-10: (5.00000000039894246e-11, 0.500000000079788456),
        0.7: (0.530570134705116708, 0.976357218656103946),
        8.5: (8.5, 1.0),
    },
    SiLU(): {
        -30.0: (-2.80728689065178969e-12, -2.713710660963134e-12),
        -8.5: (-0.0017291293134692554, -0.00152535058386314316),
        -0.7: (-0.232268559482283718, 0.176613216526657576),
        -1e-10: (-4.99999999975000018e-11, 0.49999999995),
        1e-10: (5.00000000025000018e-11, 0.50000000005),
        8.5: (8.49827087068653074, 1.00152535058386314),
    },
    Mish(): {
        -30.0: (-2.80728689065192103e-12, -2.71371066096339232e-12),
        -8.5: (-0.00172930518924106843, -0.00152568157257646462),
        -0.7: (-0.267870234795500965, 0.184416073256781919),
        -1e-10: (-5.99999999968000022e-11, 0.599999999936),
        1e-10: (6.00000000032000022e-11, 0.600000000064),
        8.5: (8.4999992964969273, 1.0000013239547968),
    },
    Softplus(): {
        -30.0: (9.35762296883973678e-14, 9.35762296883929895e-14),
        -8.5: (0.000203447672129443093, 0.000203426978055206517),
        -1e-10: (0.693147180509945309, 0.499999999975),
        8.5: (8.50020344767212944, 0.999796573021944793),
    },
    ELU(): {
        -30.0: (-0.999999999999906424, 9.3576229688401746e-14),
        -0.7: (-0.503414696208590463, 0.496585303791409537),
        -1e-10: (-9.99999999950000036e-11, 0.9999999999),
        1e-10: (1e-10, 1.0),
    },
}


def slope(layer, space, at):
    x = space.asarray(at)
    y, cache = layer.forward(x, train=True)
    return to_numpy(layer.backward(space.asarray(np.ones(tuple(y.shape))), cache)[0]).tolist()


def test_sigmoid_of_large_is_one(space):
    """deepnet computes 1 / (1 + exp(x)): the sign."""
    y = to_numpy(Sigmoid()(space.asarray([800.0, 2.0, 0.0, -2.0, -800.0])))
    assert y[0] == 1.0
    assert y[1] == pytest.approx(0.8807970779778823, rel=1e-15)
    assert y[2] == 0.5
    assert y[4] == 0.0 or y[4] < 1e-300


def test_sigmoid_of_very_negative_keeps_its_digits(space):
    y = to_numpy(Sigmoid()(space.asarray([-700.0])))
    assert y[0] == pytest.approx(9.859676543759770e-305, rel=1e-13)


def test_slope_of_sigmoid_is_off_by_little_more_than_one_rounding(space):
    """y (1 - y) is off by up to one and a half in float32 below y = 1/2, where 1 - y is rounded."""
    x = np.concatenate([np.linspace(-80.0, 1.0, 5001), np.linspace(-1e-3, 1e-3, 501)])
    y = Sigmoid()(space.asarray(x, "float32"))
    slopes = to_numpy(ops.sigmoid_backward(space.asarray(np.ones(y.shape), "float32"), y))
    exact = to_numpy(y).astype("float64")
    exact *= 1.0 - exact
    assert np.max(np.abs(slopes / exact - 1.0)) < 1.2 * 2.0**-24


def test_slopes_at_the_kinks(space):
    assert slope(ReLU(), space, [-1.0, 0.0, -0.0, 1.0]) == [0.0, 0.0, 0.0, 1.0]
    assert slope(LeakyReLU(0.25), space, [-1.0, 0.0, 1.0]) == [0.25, 0.25, 1.0]
    assert slope(LeakyReLU(2.0), space, [-1.0, 0.0, 1.0]) == [2.0, 2.0, 1.0]
    assert slope(Tanh(), space, [0.0, 1e3]) == [1.0, 0.0]


@pytest.mark.parametrize(
    "layer", [ReLU(), LeakyReLU(), Sigmoid(), Tanh(), Softmax(), LogSoftmax(), *SMOOTH], ids=repr
)
def test_nan_stays_nan(layer, space):
    y = to_numpy(layer(space.asarray([[np.nan, 1.0]])))
    assert np.isnan(y[0, 0])


@pytest.mark.parametrize("layer", [*SMOOTH[2:-2]], ids=repr)
def test_nan_has_no_slope(layer, space):
    assert np.isnan(slope(layer, space, [[np.nan]]))


@pytest.mark.parametrize("layer", EXACT, ids=repr)
def test_values_and_slopes_keep_their_digits(layer, space):
    """Also where they are tiny: relative to themselves, not to 1."""
    x, (y, dx) = list(EXACT[layer]), zip(*EXACT[layer].values(), strict=True)
    # far left the exponent is rounded, which shifts the result by as many epsilons as it is large
    tolerance = [1e-15 * (4.0 + v * v) for v in x]
    errors = np.abs(to_numpy(layer(space.asarray(x))) / y - 1.0), np.abs(np.asarray(slope(layer, space, x)) / dx - 1.0)
    assert (errors[0] <= tolerance).all(), errors[0]
    assert (errors[1] <= 10.0 * np.asarray(tolerance)).all(), errors[1]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layer", SMOOTH, ids=repr)
def test_far_out_they_are_straight_lines(layer, dtype, space):
    """No overflow, no inf * 0: to the left they level off, to the right they are x or a multiple of it."""
    x = space.asarray([-np.inf, -1e30, -1e4, 1e4, 1e30, np.inf], dtype)
    y, cache = layer.forward(x, train=True)
    dx = to_numpy(layer.backward(space.asarray(np.ones(6), dtype), cache)[0])
    rise = 1.0507009873554805 if isinstance(layer, SELU) else 1.0
    floor = {ELU: -1.0, SELU: -1.7580993408473766}.get(type(layer), 0.0)
    expected = [floor] * 3 + [1e4 * rise, 1e30 * rise, np.inf]
    np.testing.assert_allclose(to_numpy(y), np.asarray(expected, dtype), rtol=1e-6)
    np.testing.assert_allclose(dx, [0.0] * 3 + [rise] * 3, rtol=1e-6)


def test_slopes_at_the_kinks_of_the_newer_ones(space):
    """As PyTorch 2.13 has them: at 0 the left side's, at hardswish's kinks the outer side's."""
    assert slope(ELU(0.25), space, [-0.0, 0.0, 1.0]) == [0.25, 0.25, 1.0]
    assert slope(ELU(-1.0), space, [-1e-300, 0.0]) == [-1.0, -1.0]
    assert slope(SELU(), space, [0.0]) == pytest.approx([1.7580993408473766], rel=1e-15)
    assert slope(Hardswish(), space, [-3.0, 0.0, 3.0]) == [0.0, 0.5, 1.0]
    inside = slope(Hardswish(), space, [np.nextafter(-3.0, 0.0), np.nextafter(3.0, 0.0)])
    assert inside == pytest.approx([-0.5, 1.5], rel=1e-15)
    assert slope(Softplus(2.0, threshold=3.0), space, [1.5, np.nextafter(1.5, 2.0)]) == [
        pytest.approx(1.0 / (1.0 + np.exp(-3.0)), rel=1e-15),
        1.0,
    ]
    learned = PReLU()
    learned.place(space.device, "float64", Key(0))
    assert slope(learned, space, [[0.0, -0.0, -1.0, 1.0]]) == [[0.25, 0.25, 0.25, 1.0]]


def test_softplus_above_its_threshold_is_x_itself(space):
    y = to_numpy(Softplus(2.0, threshold=3.0)(space.asarray([1.5, 1.5000001])))
    assert y[0] == pytest.approx(np.log1p(np.exp(3.0)) / 2.0, rel=1e-15)
    assert y[1] == 1.5000001


def test_selu_leaves_a_standard_normal_number_standard():
    """What its two constants are for (Klambauer et al., 2017): mean 0 and variance 1 are a fixed point."""
    x = np.linspace(-12.0, 12.0, 2_400_001)
    weight = np.exp(-0.5 * x * x) / np.exp(-0.5 * x * x).sum()
    y = SELU()(x)
    assert (y * weight).sum() == pytest.approx(0.0, abs=1e-10)
    assert (y * y * weight).sum() == pytest.approx(1.0, abs=1e-9)


def test_gelu_by_tanh_is_near_the_exact_one():
    x = np.linspace(-6.0, 6.0, 1001)
    difference = np.abs(GELU()(x) - GELU("tanh")(x))
    assert 4e-4 < difference.max() < 5e-4


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 2, 2)])
def test_a_slope_for_each_channel_or_one_for_all(shape, space):
    x = -np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)
    dy = np.cos(x)
    others = tuple(axis for axis in range(len(shape)) if axis != 1)
    for layer, wanted in ((PReLU(3), (dy * x).sum(axis=others)), (PReLU(), (dy * x).sum(keepdims=True).reshape(1))):
        layer = space.settle(layer)
        w = to_numpy(layer.params["weight"])
        y, cache = layer.forward(space.asarray(x), train=True)
        np.testing.assert_allclose(to_numpy(y), x * w.reshape(1, -1, *[1] * (len(shape) - 2)), rtol=1e-15)
        np.testing.assert_allclose(to_numpy(layer.backward(space.asarray(dy), cache)[1]["weight"]), wanted, rtol=1e-13)


def test_prelu_starts_from_init():
    assert PReLU(3, init=0.5).params["weight"].tolist() == [0.5] * 3


@pytest.mark.parametrize("shape", [(2, 4), (2, 1, 3), (3,), (0, 3)])
def test_prelu_refuses_other_numbers_of_channels(shape):
    with pytest.raises(ShapeError, match=r"PReLU: expected x of shape \(N, 3"):
        PReLU(3)(np.ones(shape, dtype="float32"))


def test_hardswish_goes_by_both_spellings():
    assert xpcnn.HardSwish is xpcnn.Hardswish
    assert repr(xpcnn.HardSwish()) == "Hardswish()"


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: ELU(np.inf), "ELU: expected alpha to be a finite number, got inf"),
        (lambda: GELU("erf"), "GELU: expected approximate to be 'none' or 'tanh', got 'erf'"),
        (lambda: GELU(None), "GELU: expected approximate to be 'none' or 'tanh', got None"),
        (lambda: Softplus(0.0), "Softplus: expected beta to be a finite number > 0, got 0.0"),
        (lambda: Softplus(1.0, -1.0), "Softplus: expected threshold to be a finite number >= 0, got -1.0"),
        (lambda: PReLU(0), "PReLU: expected num_parameters to be an integer of at least 1, got 0"),
        (lambda: PReLU(1, "he_normal"), "PReLU: expected init to be a finite number, got 'he_normal'"),
    ],
)
def test_wrong_settings_raise(build, text):
    with pytest.raises(ConfigError, match=text):
        build()


@pytest.mark.parametrize("cls", [Softmax, LogSoftmax])
def test_softmax_never_mixes_samples(cls):
    with pytest.raises(ConfigError, match=r"dim .*batch.*got 0"):
        cls(0)
    for dim, shape in ((-2, (3, 4)), (-3, (2, 3, 4)), (2, (3, 4)), (1, (3,))):
        with pytest.raises(ShapeError, match=f"axis {dim}"):
            cls(dim).output_shape(shape[1:])
        with pytest.raises(ShapeError, match=f"axis {dim}"):
            cls(dim)(np.ones(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf, "0.1", None])
def test_leaky_slope_must_be_a_finite_number(bad):
    with pytest.raises(ConfigError, match="LeakyReLU: expected"):
        LeakyReLU(bad)
