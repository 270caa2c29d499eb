"""Mean, sum and none; weights of samples; names: what all losses have in common."""

import math

import numpy as np
import pytest

from tests.strategies import LOSSES
from xpcnn import layers as L
from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import ConfigError, DtypeError, LabelError, ShapeError
from xpcnn.layers.losses import names
from xpcnn.ops.losses import targets

every_loss = pytest.mark.parametrize("cls", LOSSES, ids=lambda cls: cls.__name__)


def problem(cls, n=5, k=4):
    """Predictions and targets for a loss, in NumPy."""
    z, t = normal((n, k), Key(1)), normal((n, k), Key(2))
    if cls in (L.SoftmaxCrossEntropy, L.NLLLoss, L.FocalLoss):
        return z, np.arange(n) * 3 % k
    return z, np.where(t > 0.0, 1.0, 0.0) if cls in (L.BCEWithLogitsLoss, L.SigmoidFocalLoss) else t


@every_loss
def test_none_adds_up_to_the_sum_and_the_mean(cls, space):
    x, t = problem(cls)
    (mean, dmean), (total, dsum), (each, deach) = (
        [to_numpy(a) for a in cls(reduction=r)(space.asarray(x), space.asarray(t))] for r in ("mean", "sum", "none")
    )
    assert mean.shape == total.shape == () and each.shape == ((5,) if t.ndim == 1 else (5, 4))
    assert each.sum() == pytest.approx(total, rel=1e-13) and each.mean() == pytest.approx(mean, rel=1e-13)
    np.testing.assert_allclose(dsum, deach, rtol=1e-15)
    np.testing.assert_allclose(dmean, deach / each.size, rtol=1e-13)


@every_loss
def test_scores_of_1e4_give_finite_values_and_gradients(cls, space):
    _, t = problem(cls)
    signs = np.where(np.arange(20).reshape(5, 4) % 3 == 1, 1e4, -1e4)
    for dtype in ("float32", "float64"):
        for reduction in ("mean", "sum", "none"):
            target = space.asarray(t, dtype if t.ndim == 2 else None)
            value, gradient = cls(reduction=reduction)(space.asarray(signs, dtype), target)
            assert np.isfinite(to_numpy(value)).all() and np.isfinite(to_numpy(gradient)).all()
            assert str(to_numpy(gradient).dtype) == dtype


@every_loss
@pytest.mark.parametrize("wrong", ["average", None, 1, "Mean"])
def test_unknown_reductions_are_refused(cls, wrong):
    with pytest.raises(ConfigError, match=f"{cls.__name__}: expected reduction to be 'mean', 'sum' or 'none', got "):
        cls(reduction=wrong)
    with pytest.raises(ConfigError, match="reduction"):
        ops.mse(np.ones(1), np.ones(1), wrong)


@every_loss
def test_a_weight_of_a_sample_multiplies_its_value_and_the_mean_is_over_the_batch(cls, space):
    """Keras: the weights do not change what is divided by."""
    (x, t), w = problem(cls), np.asarray([2.0, 0.0, 1.0, 0.5, 3.0])
    singles = [cls()(x[i : i + 1], t[i : i + 1]) for i in range(5)]
    expected = [w[i] * value for i, (value, _) in enumerate(singles)]
    slopes = [w[i] * slope for i, (_, slope) in enumerate(singles)]
    here = [space.asarray(a) for a in (x, t, w)]
    value, gradient = cls().weighted(*here)
    assert float(value) == pytest.approx(math.fsum(expected) / 5, rel=1e-13)
    np.testing.assert_allclose(to_numpy(gradient), np.concatenate(slopes) / 5, rtol=1e-12)
    value, gradient = cls(reduction="sum").weighted(*here)
    per_sample = 1 if t.ndim == 1 else 4
    assert float(value) == pytest.approx(math.fsum(expected) * per_sample, rel=1e-13)
    np.testing.assert_allclose(to_numpy(gradient), np.concatenate(slopes) * per_sample, rtol=1e-12)
    value, gradient = cls(reduction="none").weighted(*here)
    assert to_numpy(value).sum() == pytest.approx(math.fsum(expected) * per_sample, rel=1e-13)
    np.testing.assert_allclose(to_numpy(gradient), np.concatenate(slopes) * per_sample, rtol=1e-12)
    assert float(cls().weighted(*here[:2], None)[0]) == float(cls()(*here[:2])[0])


def test_weights_of_samples_beside_weights_of_classes_and_ignored_labels(space):
    z, t, w = normal((4, 3), Key(0)), np.asarray([0, 2, -100, 1]), np.asarray([2.0, 1.0, 7.0, 0.5])
    v = [1.0, 3.0, 0.25]
    value, gradient = L.SoftmaxCrossEntropy(v).weighted(space.asarray(z), space.asarray(t), space.asarray(w))
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    parts = [-w[i] * v[t[i]] * logp[i, t[i]] for i in (0, 1, 3)]
    assert float(value) == pytest.approx(math.fsum(parts) / (1.0 + 0.25 + 3.0), rel=1e-13)
    assert not to_numpy(gradient)[2].any()
    nothing = L.FocalLoss().weighted(space.asarray(z), space.asarray(np.full(4, -100)), space.asarray(w))
    assert np.isnan(float(nothing[0])) and not to_numpy(nothing[1]).any()


def test_a_function_cannot_weigh_samples():
    with pytest.raises(ConfigError, match="no weights of samples: the loss has one value for all"):
        L.get_loss(lambda x, t: (x, t)).weighted(np.ones((1, 1)), np.ones((1, 1)), np.ones(1))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("cls", [L.SoftmaxCrossEntropy, L.NLLLoss, L.FocalLoss], ids=lambda cls: cls.__name__)
def test_labels_out_of_range_give_nan_where_reading_would_wait(cls, reduction, strict, monkeypatch):
    monkeypatch.setattr(targets, "is_host", lambda a: False)
    z = strict.asarray(np.zeros((3, 2)))
    value, gradient = (to_numpy(a) for a in cls(reduction=reduction)(z, strict.asarray([0, 2, -100])))
    assert np.isnan(value).any() and np.isnan(gradient[1]).all()
    if reduction == "none":
        assert np.isfinite(value[[0, 2]]).all() and np.isfinite(gradient[[0, 2]]).all()
    assert np.isfinite(to_numpy(cls(reduction=reduction)(z, strict.asarray([0, 1, -100]))[0])).all()


@every_loss
def test_every_loss_has_a_name(cls):
    assert sum(type(L.get_loss(name)) is cls for name in names._NAMES) == 1


@every_loss
def test_targets_are_checked_before_anything_is_computed(cls):
    x, t = problem(cls)
    cls().check(x.shape, t)
    for wrong in (t[:-1], t[..., None], t.astype("complex128")):
        with pytest.raises((ShapeError, LabelError, DtypeError), match=f"{cls.__name__}: expected"):
            cls().check(x.shape, wrong)
    if not cls.classifies:
        with pytest.raises(DtypeError, match="real floating dtype, got int64: convert it"):
            cls().check(x.shape, t.astype("int64"))


@pytest.mark.parametrize("cls", [L.NLLLoss, L.FocalLoss], ids=lambda cls: cls.__name__)
def test_labels_only(cls):
    z = np.zeros((2, 3))
    with pytest.raises(LabelError, match=f"{cls.__name__}: expected target of 2 integer labels, got float64"):
        cls()(z, np.full((2, 3), 1 / 3))
    with pytest.raises(LabelError, match=r"take y.argmax\(axis=1\)$"):
        cls()(z, np.eye(3, dtype=int)[:2])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: L.HuberLoss(delta=0.0), "HuberLoss: expected delta to be a finite number > 0"),
        (lambda: L.SmoothL1Loss(beta=-1.0), "SmoothL1Loss: expected beta to be a finite number >= 0"),
        (lambda: L.FocalLoss(gamma=-1.0), "FocalLoss: expected gamma to be a finite number >= 0"),
        (lambda: L.FocalLoss(alpha=0.25), "FocalLoss: expected a alpha of at least 0 for each class"),
        (lambda: L.FocalLoss(alpha=[1.0, -1.0]), "the alpha of class 1 to be a finite number >= 0"),
        (lambda: L.SigmoidFocalLoss(alpha=2.0), "alpha to be a finite number >= 0 and <= 1"),
        (lambda: L.NLLLoss(weight=[]), "NLLLoss: expected a weight of at least 0 for each class"),
        (lambda: L.NLLLoss(ignore_index=0.5), "ignore_index to be an integer"),
        (lambda: L.BCEWithLogitsLoss(weight=[1.0, -1.0]), r"weight\[1\] to be a finite number >= 0"),
        (lambda: L.BCEWithLogitsLoss(pos_weight=[[1.0], [1.0, 2.0]]), "pos_weight with rows of one length"),
        (lambda: L.BCEWithLogitsLoss(pos_weight=[]), "pos_weight with rows of one length, not empty"),
        (lambda: L.BCEWithLogitsLoss(weight="heavy"), "weight to be a finite number >= 0, got 'heavy'"),
    ],
)
def test_settings_without_sense_are_refused(make, text):
    with pytest.raises(ConfigError, match=text):
        make()


def test_weights_that_do_not_fit_are_refused(space):
    x = space.asarray(np.zeros((2, 3)))
    for wrong in ([1.0, 2.0], [[1.0], [2.0], [3.0]], np.ones((1, 2, 3))):
        for name in ("weight", "pos_weight"):
            text = rf"BCEWithLogitsLoss: expected {name} of a shape that broadcasts to \(2, 3\), got"
            with pytest.raises(ShapeError, match=text):
                L.BCEWithLogitsLoss(**{name: wrong})(x, x)
    with pytest.raises(ShapeError, match=r"FocalLoss: expected weight of shape \(3,\), got \(2,\)"):
        L.FocalLoss(alpha=[1.0, 2.0])(x, space.asarray([0, 1]))
    with pytest.raises(ShapeError, match="FocalLoss: expected alpha for each of 3 classes, got 2"):
        L.FocalLoss(alpha=[1.0, 2.0]).check((2, 3), np.asarray([0, 1]))
