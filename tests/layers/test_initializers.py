"""Initial weights: bounds and moments against the formulas, fans against PyTorch's."""

import math

import numpy as np
import pytest

from xpcnn.backend import Key
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.layers import initializers
from xpcnn.layers.initializers import fans, he_normal, he_uniform, torch_default, xavier_normal, xavier_uniform

SHAPES = [(300, 200), (200, 40, 3, 5), (16, 256, 5, 5), (400, 1, 9, 9)]

# standard deviation by the papers' formulas, from fan-in and fan-out
DEVIATION = {
    xavier_uniform: lambda i, o: math.sqrt(2 / (i + o)),
    xavier_normal: lambda i, o: math.sqrt(2 / (i + o)),
    he_uniform: lambda i, o: math.sqrt(2 / i),
    he_normal: lambda i, o: math.sqrt(2 / i),
    torch_default: lambda i, o: math.sqrt(1 / (3 * i)),
}
UNIFORM = (xavier_uniform, he_uniform, torch_default)
by_name = pytest.mark.parametrize("initializer", DEVIATION, ids=lambda f: f.__name__)


def by_hand(shape):
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


@by_name
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_mean_and_deviation_follow_the_formula(initializer, shape):
    w = initializer(shape, Key(0))
    n, deviation = w.size, DEVIATION[initializer](*by_hand(shape))
    assert w.shape == shape
    assert w.dtype == np.float64
    assert abs(w.mean()) < 4 * deviation / math.sqrt(n)
    assert w.std() == pytest.approx(deviation, rel=4 / math.sqrt(2 * n))


@pytest.mark.parametrize("initializer", UNIFORM, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_uniform_fills_its_interval_and_no_more(initializer, shape):
    w, bound = initializer(shape, Key(1)), math.sqrt(3) * DEVIATION[initializer](*by_hand(shape))
    assert -bound <= w.min() < -0.999 * bound
    assert 0.999 * bound < w.max() < bound


@pytest.mark.parametrize("initializer", [xavier_normal, he_normal], ids=lambda f: f.__name__)
def test_normal_is_normal(initializer):
    w = initializer((300, 200), Key(1))
    w = w / w.std()
    assert (w**4).mean() == pytest.approx(3.0, rel=0.05)
    assert abs((w**3).mean()) < 0.05


def test_he_normal_uses_fan_in():
    """deepnet divided by sqrt(n_filter / 2), which is neither fan-in nor fan-out: other filters, other weights."""
    few, many = he_normal((4, 16, 3, 3), Key(0)), he_normal((64, 16, 3, 3), Key(0))
    np.testing.assert_array_equal(few, many[:4])
    wide = he_normal((64, 64, 3, 3), Key(0))
    np.testing.assert_allclose(wide.ravel()[: many.size], many.ravel() / 2, rtol=1e-15)
    assert many.std() == pytest.approx(math.sqrt(2 / (16 * 3 * 3)), rel=0.03)


def test_fans_of_a_grouped_convolution_count_one_groups_channels():
    assert fans((64, 32 // 4, 3, 5)) == (8 * 15, 64 * 15)
    assert fans((10, 120)) == (120, 10)


@pytest.mark.oracle
@pytest.mark.parametrize("shape", [*SHAPES, (7, 1), (3, 4, 5)], ids=str)
def test_fans_are_torchs(shape):
    torch = pytest.importorskip("torch")
    assert fans(shape) == torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))


@pytest.mark.oracle
@pytest.mark.parametrize("shape", SHAPES[:2], ids=str)
def test_bounds_are_torchs(shape):
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    for ours, theirs in (
        (xavier_uniform, torch.nn.init.xavier_uniform_),
        (he_uniform, lambda w, **kw: torch.nn.init.kaiming_uniform_(w, nonlinearity="relu", **kw)),
        (torch_default, lambda w, **kw: torch.nn.init.kaiming_uniform_(w, a=math.sqrt(5), **kw)),
    ):
        bound = float(theirs(torch.empty(shape, dtype=torch.float64), generator=generator).abs().max())
        assert abs(ours(shape, Key(0))).max() == pytest.approx(bound, rel=1e-3)


@by_name
def test_same_key_same_weights_and_other_key_others(initializer):
    w = initializer((8, 4), Key(3, "init/0.weight"))
    np.testing.assert_array_equal(w, initializer((8, 4), Key(3, "init/0.weight")))
    assert (w != initializer((8, 4), Key(3, "init/1.weight"))).all()
    assert (w != initializer((8, 4), Key(4, "init/0.weight"))).all()


@by_name
def test_get_knows_every_name(initializer):
    assert initializers.get(initializer.__name__) is initializer
    assert initializers.get(initializer) is initializer


def test_get_lists_the_names_when_there_is_no_such_one():
    for wrong in ("he", None, 3, ["he_normal"]):
        with pytest.raises(ConfigError) as caught:
            initializers.get(wrong)
        assert all(repr(f.__name__) in str(caught.value) for f in DEVIATION)


@by_name
@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (3, 0), (3, 3, 0, 3)], ids=str)
def test_shape_without_fans_is_refused(initializer, shape):
    with pytest.raises(ShapeError, match=r"expected a weight of shape"):
        initializer(shape, Key(0))
