"""Initial weights: bounds and moments against the formulas, fans against PyTorch's."""

import math

import numpy as np
import pytest

import xpcnn
from xpcnn.backend import Key
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.layers import initializers
from xpcnn.layers.initializers import (
    constant,
    fans,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    ones,
    orthogonal,
    torch_default,
    xavier_normal,
    xavier_uniform,
    zeros,
)

SHAPES = [(300, 200), (200, 40, 3, 5), (16, 256, 5, 5), (400, 1, 9, 9)]

# standard deviation by the papers' formulas, from fan-in and fan-out
DEVIATION = {
    xavier_uniform: lambda i, o: math.sqrt(2 / (i + o)),
    xavier_normal: lambda i, o: math.sqrt(2 / (i + o)),
    he_uniform: lambda i, o: math.sqrt(2 / i),
    he_normal: lambda i, o: math.sqrt(2 / i),
    torch_default: lambda i, o: math.sqrt(1 / (3 * i)),
    lecun_uniform: lambda i, o: math.sqrt(1 / i),
    lecun_normal: lambda i, o: math.sqrt(1 / i),
}
UNIFORM = (xavier_uniform, he_uniform, lecun_uniform, torch_default)
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


@pytest.mark.parametrize("initializer", [xavier_normal, he_normal, lecun_normal], ids=lambda f: f.__name__)
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
        assert all(repr(f.__name__) in str(caught.value) for f in (*DEVIATION, orthogonal, zeros, ones))
        assert "'constant:VALUE'" in str(caught.value)


MATRICES = [(5, 5), (3, 8), (8, 3), (1, 4), (4, 1), (1, 1), (6, 2, 2, 2), (20, 2, 3, 3), (9, 3, 3), (64, 1, 5, 5)]


@pytest.mark.parametrize("gain", [1.0, math.sqrt(2.0), -0.5])
@pytest.mark.parametrize("shape", MATRICES, ids=str)
def test_rows_or_columns_are_orthonormal(shape, gain):
    w = orthogonal(shape, Key(0), gain)
    assert w.shape == shape
    assert w.dtype == np.float64
    w = w.reshape(shape[0], -1)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(gram, gain**2 * np.eye(len(gram)), atol=1e-13)


def test_orthogonal_matrices_are_uniform_over_all():
    """Mean 0 and variance 1/n of every entry, also on the diagonal; without the sign it would be biased."""
    many = np.stack([orthogonal((3, 3), Key(seed)) for seed in range(2000)])
    np.testing.assert_allclose(many.mean(axis=0), 0.0, atol=5 / math.sqrt(3 * 2000))
    np.testing.assert_allclose(many.var(axis=0), 1 / 3, atol=0.05)
    assert (np.linalg.det(many) > 0).mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.oracle
@pytest.mark.parametrize("shape", MATRICES, ids=str)
def test_orthogonal_is_torchs_for_the_same_draw(shape):
    """PyTorch's own function, with its normal draw replaced by ours."""
    torch = pytest.importorskip("torch")
    from xpcnn.backend import normal

    rows, columns = shape[0], math.prod(shape[1:])
    ours = normal((max(rows, columns), min(rows, columns)), Key(2))
    draw = ours if rows >= columns else ours.T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "normal_", lambda x, *a, **k: x.copy_(torch.asarray(draw.copy())))
        w = torch.nn.init.orthogonal_(torch.empty(shape, dtype=torch.float64), gain=1.5)
    np.testing.assert_allclose(orthogonal(shape, Key(2), 1.5), w.numpy(), atol=1e-12)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 3)], ids=str)
def test_constants_are_of_any_shape(shape):
    for initializer, value in (("zeros", 0.0), ("ones", 1.0), ("constant:-2.5e-1", -0.25)):
        w = initializers.get(initializer)(shape, Key(0))
        assert w.shape == shape
        assert w.dtype == np.float64
        assert (w == value).all()
    assert (constant(shape, Key(0), 3.0) == 3.0).all()


def test_names_carry_values():
    w = initializers.get("orthogonal:2")((3, 4), Key(5))
    np.testing.assert_array_equal(w, orthogonal((3, 4), Key(5), 2.0))
    np.testing.assert_array_equal(initializers.get("orthogonal")((3, 4), Key(5)), orthogonal((3, 4), Key(5)))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("constant", "'constant:VALUE'|value to be a finite number"),
        ("constant:", "value to be a finite number"),
        ("constant:half", "value to be a finite number, got 'half'"),
        ("constant:nan", "value to be a finite number"),
        ("orthogonal:inf", "gain to be a finite number"),
        ("he_normal:2", "expected a function"),
        ("zeros:1", "expected a function"),
        ("lecun_norml", "did you mean 'lecun_normal'"),
        ("kaiming_normal", "did you mean 'he_normal'"),
        ("Kaiming_Uniform", "did you mean 'he_uniform'"),
        ("glorot_uniform", "did you mean 'xavier_uniform'"),
    ],
)
def test_bad_values_and_names_are_refused(name, text):
    with pytest.raises(ConfigError, match=text):
        initializers.get(name)


@pytest.mark.parametrize("shape", [(), (3,), (0, 3)], ids=str)
def test_orthogonal_wants_a_matrix(shape):
    with pytest.raises(ShapeError, match=r"expected a weight of shape"):
        orthogonal(shape, Key(0))


@pytest.mark.parametrize("name", ["orthogonal:1.4", "constant:0.5", "lecun_normal", "zeros", "ones"])
def test_model_file_keeps_the_name(name, tmp_path):
    model = xpcnn.Sequential(xpcnn.layers.Conv2d(1, 2, 3, init=name), xpcnn.layers.Flatten())
    model.save(tmp_path / "m.safetensors")
    again = xpcnn.load(tmp_path / "m.safetensors")
    assert again[0].init == name
    np.testing.assert_array_equal(again[0].params["weight"], model[0].params["weight"])


@by_name
@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (3, 0), (3, 3, 0, 3)], ids=str)
def test_shape_without_fans_is_refused(initializer, shape):
    with pytest.raises(ShapeError, match=r"expected a weight of shape"):
        initializer(shape, Key(0))
