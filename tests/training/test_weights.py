"""Weights of classes and samples, and the share that is split off for validation."""

import numpy as np
import pytest

from tests.training.helpers import digits, same, small_net, weights
from xpcnn import MSE, Flatten, Linear, Sequential, SoftmaxCrossEntropy, Trainer, optimizers
from xpcnn.backend import to_numpy
from xpcnn.errors import ConfigError, DtypeError, NamespaceError, ShapeError

W = np.asarray([0.0, 2.0, 1.0, 0.5, 3.0, 1.0, 0.25, 1.5])


def plain_net(**options):
    return Sequential(Flatten(), Linear(36, 3), dtype="float64", **options)


def test_a_weighted_step_is_the_sum_of_single_steps_gradients_over_the_number_of_samples(space):
    """Keras divides by the number of samples, whatever the weights."""
    x, y = digits(n=8)
    x = x.astype("float64")
    model = plain_net().to(like=space.asarray([0.0]))
    start = {name: to_numpy(p).copy() for name, p in model.params.items()}
    value = Trainer(model, optimizer=optimizers.SGD(lr=1.0)).step(x, y, W)
    slopes, total = {name: 0.0 for name in start}, 0.0
    for i in range(8):
        one = plain_net()
        scores, cache = one.forward(x[i : i + 1], train=True)
        single, dscores = SoftmaxCrossEntropy()(scores, y[i : i + 1])
        for name, g in one.backward(dscores, cache)[1].items():
            slopes[name] = slopes[name] + W[i] * g / 8
        total += W[i] * float(single) / 8
    assert float(value) == pytest.approx(total, rel=1e-12)
    for name, p in model.params.items():
        np.testing.assert_allclose(to_numpy(p), start[name] - slopes[name], atol=1e-12)


def test_weights_of_ones_change_nothing_and_a_weight_of_two_is_a_sample_twice():
    x, y = digits(n=8)
    a, b, c, d = (plain_net() for _ in range(4))
    history = [m.fit(x, y, epochs=2, batch_size=3, sample_weight=w, verbose=0).history["loss"]
               for m, w in ((a, None), (b, np.ones(8)))]  # fmt: skip
    np.testing.assert_allclose(history[0], history[1], rtol=1e-12)
    np.testing.assert_allclose(a.params["1.weight"], b.params["1.weight"], rtol=1e-9)
    sgd = {"optimizer": optimizers.SGD(lr=0.1), "loss": SoftmaxCrossEntropy(reduction="sum"), "verbose": 0}
    c.fit(x, y, batch_size=8, sample_weight=np.asarray([2, 1, 1, 1, 1, 1, 1, 0]), **sgd)
    d.fit(np.concatenate([x[:1], x[:7]]), np.concatenate([y[:1], y[:7]]), batch_size=8, **sgd)
    np.testing.assert_allclose(c.params["1.weight"], d.params["1.weight"], rtol=1e-9)


@pytest.mark.parametrize("shuffle", [True, False])
def test_weights_go_with_their_samples(shuffle, space):
    """Samples of weight 0 can be anything."""
    x, y = digits(n=12)
    w = np.where(np.arange(12) % 3 == 1, 0.0, 1.5)
    nonsense = np.where(w[:, None, None, None] == 0.0, 7.0, x).astype("float64")
    runs = []
    for data in (x.astype("float64"), nonsense):
        model = plain_net(seed=3).to(like=space.asarray([0.0]))
        model.fit(data, y, epochs=2, batch_size=5, sample_weight=w, shuffle=shuffle, verbose=0)
        runs.append(to_numpy(model.params["1.weight"]))
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-10)


@pytest.mark.parametrize("given", [{1: 3.0, 2: 0.5}, [1.0, 3.0, 0.5], (1, 3, 0.5), np.asarray([1.0, 3.0, 0.5])])
@pytest.mark.parametrize("rows", [False, True], ids=["labels", "probabilities"])
def test_the_weight_of_a_class_is_that_of_its_samples(given, rows):
    x, y = digits(n=8)
    target = np.eye(3)[y] * 0.8 + 0.1 if rows else y
    a, b = plain_net(), plain_net()
    one = a.fit(x, target, batch_size=3, class_weight=given, verbose=0).history
    two = b.fit(x, target, batch_size=3, sample_weight=np.asarray([1.0, 3.0, 0.5])[y], verbose=0).history
    assert same(weights(a), weights(b)) and one == two


@pytest.mark.parametrize("options", [{"validation_split": 0.25}, {"overfit_batches": 2}], ids=str)
def test_weights_of_classes_are_for_training_only(options):
    """As in Keras: samples keep their own weights where they are split off, classes have none there."""
    x, y = digits(n=12)
    model = plain_net()
    history = model.fit(x, y, batch_size=4, class_weight=[0.1, 5.0, 2.0], verbose=0, **options).history
    part = slice(9, None) if "validation_split" in options else slice(8)
    assert history["val_loss"] == [model.evaluate(x[part], y[part])["loss"]]


def test_ignored_labels_need_no_weight():
    x, y = digits(n=8)
    y[2] = -100
    assert np.isfinite(plain_net().fit(x, y, class_weight=[1.0, 2.0, 3.0], verbose=0).history["loss"][0])


def test_accuracy_does_not_know_of_weights():
    x, y = digits(n=8)
    sgd = optimizers.SGD(lr=1e-9)
    plain = plain_net().fit(x, y, optimizer=sgd, verbose=0).history
    weighted = plain_net().fit(x, y, optimizer=sgd, sample_weight=W, verbose=0).history
    assert plain["accuracy"] == weighted["accuracy"] and plain["loss"] != weighted["loss"]


def test_validation_data_may_have_weights_and_evaluate_too():
    x, y = digits(n=8)
    model = plain_net()
    history = model.fit(x, y, validation_data=(x, y, W), verbose=0).history
    expected = model.evaluate(x, y, sample_weight=W)
    assert history["val_loss"][0] == expected["loss"] != model.evaluate(x, y)["loss"]
    singles = [model.evaluate(x[i : i + 1], y[i : i + 1])["loss"] for i in range(8)]
    assert expected["loss"] == pytest.approx(float(np.dot(W, singles)) / 8, rel=1e-12)
    assert model.evaluate(x, y, sample_weight=W, batch_size=3)["loss"] == pytest.approx(expected["loss"], rel=1e-12)


def test_validation_split_takes_the_last_share_as_it_lies():
    x, y = digits(n=10)
    a, b = small_net(seed=1), small_net(seed=1)
    one = a.fit(x, y, epochs=2, batch_size=4, validation_split=0.3, verbose=0).history
    two = b.fit(x[:7], y[:7], epochs=2, batch_size=4, validation_data=(x[7:], y[7:]), verbose=0).history
    assert one == two and same(weights(a), weights(b))
    w = np.arange(10.0)
    a, b = plain_net(), plain_net()
    one = a.fit(x, y, validation_split=0.25, sample_weight=w, verbose=0).history  # 7 and 3, as Keras rounds
    validation = (x[7:], y[7:], w[7:])
    two = b.fit(x[:7], y[:7], validation_data=validation, sample_weight=w[:7], verbose=0).history
    assert one == two and same(weights(a), weights(b))


def test_reported_losses_are_means_whatever_the_reduction():
    x, y = digits(n=10)
    model = plain_net()
    assert model.evaluate(x, y, loss=SoftmaxCrossEntropy(reduction="sum"), batch_size=4)["loss"] == pytest.approx(
        model.evaluate(x, y)["loss"], rel=1e-12
    )
    target = np.eye(3)[y]
    assert model.evaluate(x, target, loss=MSE("sum"), batch_size=4)["loss"] == pytest.approx(
        model.evaluate(x, target, loss="mse")["loss"], rel=1e-12
    )


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"sample_weight": W[:7]}, ShapeError, r"sample_weight of shape \(8,\), one for each sample, got \(7,\)"),
        ({"sample_weight": W[:, None]}, ShapeError, r"got \(8, 1\)"),
        ({"sample_weight": W.tolist()}, NamespaceError, "expected sample_weight to be an array, got list"),
        ({"sample_weight": -W}, ConfigError, r"finite numbers of at least 0, got -3.0 to"),
        ({"sample_weight": W / 0.0 if False else np.full(8, np.nan)}, ConfigError, "finite numbers of at least 0"),
        ({"sample_weight": np.full(8, np.inf)}, ConfigError, "finite numbers of at least 0"),
        ({"sample_weight": W > 1}, DtypeError, "real numbers, got bool"),
        ({"sample_weight": W, "class_weight": {0: 1.0}}, ConfigError, "got both: multiply them yourself"),
        ({"class_weight": [1.0, 2.0]}, ConfigError, "for each of 3 classes, got 2"),
        ({"class_weight": {3: 1.0}}, ConfigError, "classes from 0 to 2, got one of 3"),
        ({"class_weight": {"cat": 1.0}}, ConfigError, "classes from 0 to 2, got one of 'cat'"),
        ({"class_weight": {0: -1.0}}, ConfigError, "class_weight of class 0 to be a finite number >= 0"),
        ({"class_weight": 2.0}, ConfigError, "class_weight to be a dict"),
        ({"class_weight": "abc"}, ConfigError, "class_weight to be a dict"),
        ({"validation_split": 1.0}, ConfigError, "validation_split to be a finite number >= 0 and < 1"),
        ({"validation_split": 0.99}, ConfigError, "samples on both sides, got 0.99 of 8 samples"),
        ({"validation_split": 1e-30}, ConfigError, "samples on both sides"),
        ({"validation_split": 0.5, "validation_data": digits(n=3)}, ConfigError, "got both: leave one of them away"),
        ({"validation_data": (1, 2, 3, 4)}, ConfigError, r"a pair \(x, y\), or a triple"),
        ({"loss": SoftmaxCrossEntropy(reduction="none")}, ConfigError, "got SoftmaxCrossEntropy with 'none'"),
        ({"loss": lambda x, t: (x, t), "sample_weight": W}, ConfigError, "a loss with a value for each sample"),
        ({"overfit_batches": 0}, ConfigError, "overfit_batches to be an integer of at least 1"),
        ({"dry_run": 1}, ConfigError, "dry_run to be True or False"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_changes(options, error, text):
    x, y = digits(n=8)
    model = small_net()
    before = weights(model)
    with pytest.raises(error, match=text):
        model.fit(x, y, verbose=0, **options)
    assert same(before, weights(model)) and model.step == 0


def test_weights_of_classes_need_classes():
    x, y = digits(n=8)
    with pytest.raises(ConfigError, match="a loss over classes for class_weight, got MSE"):
        plain_net().fit(x, np.eye(3)[y], loss="mse", class_weight=[1.0] * 3, verbose=0)


def test_a_step_checks_the_weights_shape():
    x, y = digits(n=8)
    with pytest.raises(ShapeError, match=r"Trainer.step: expected sample_weight of shape \(8,\)"):
        Trainer(small_net()).step(x, y, W[:3])
    with pytest.raises(ConfigError, match="evaluate: expected a loss with the reduction"):
        small_net().evaluate(x, y, loss=MSE("none"))
