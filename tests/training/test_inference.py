"""Evaluation and prediction."""

import numpy as np
import pytest

from tests.training.helpers import digits, same, small_net, weights
from xpcnn import Flatten, Linear, LogSoftmax, MaxPool2d, Sequential, Softmax, SoftmaxCrossEntropy
from xpcnn.errors import ConfigError, DtypeError, ShapeError


def test_predictions_come_as_numpy_in_the_order_of_the_samples(space):
    x, _ = digits(n=10)
    model = small_net().to(like=space.asarray([0.0], "float32"))
    labels, whole = model.predict(x, batch_size=3), model.predict_proba(x)
    assert type(labels) is type(whole) is np.ndarray and labels.dtype == "int64" and whole.dtype == "float32"
    assert labels.shape == (10,) and whole.shape == (10, 3)
    assert np.array_equal(labels, whole.argmax(axis=1))
    np.testing.assert_allclose(model.predict_proba(x, batch_size=3), whole, rtol=1e-5)
    np.testing.assert_allclose(whole.sum(axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("last", [Softmax(), LogSoftmax()])
def test_a_softmax_at_the_end_is_not_applied_twice(last):
    x, _ = digits(n=4)
    plain = Sequential(Flatten(), Linear(36, 3))
    with_last = Sequential(Flatten(), plain[1], last)
    np.testing.assert_allclose(with_last.predict_proba(x), plain.predict_proba(x), rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"weight": [1.0, 5.0, 0.1]}, {"ignore_index": 1}, {"label_smoothing": 0.3}])
def test_evaluate_does_not_depend_on_the_batches_and_changes_nothing(options):
    x, y = digits(n=11)
    model, loss = small_net(dropout=0.9), SoftmaxCrossEntropy(**options)
    before = weights(model)
    whole = model.evaluate(x, y, loss=loss)
    for batch_size in (1, 4, 10):
        assert model.evaluate(x, y, batch_size=batch_size, loss=loss) == pytest.approx(whole, rel=1e-5)
    counted = y != loss.ignore_index
    assert whole["accuracy"] == (model.predict(x) == y)[counted].mean()
    assert whole["loss"] == pytest.approx(float(loss(model(x), y)[0]), rel=1e-5)
    assert same(before, weights(model)) and model.step == 0


def test_wrong_inputs_are_refused():
    x, _ = digits(n=4)
    with pytest.raises(ConfigError, match="predict: expected batch_size"):
        small_net().predict(x, batch_size=0)
    with pytest.raises(DtypeError, match="predict: expected x of a real floating dtype"):
        small_net().predict(x.astype("int64"))
    with pytest.raises(ShapeError, match="end with Linear"):
        Sequential(MaxPool2d(2)).predict_proba(x)
