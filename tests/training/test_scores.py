"""Precision, recall, F1 and top-k: scikit-learn's recorded answers, loops over samples, known cases."""

import json
import math

import numpy as np
import pytest

from tests.training.helpers import digits, small_net
from tests.training.record_sklearn import FILE, problem
from xpcnn import SoftmaxCrossEntropy
from xpcnn.errors import ConfigError, LabelError, ShapeError
from xpcnn.training import accuracy, classification_report, f1, precision, recall, top_k_accuracy
from xpcnn.training.metrics import Tally

SAID = json.loads(FILE.read_text(encoding="utf-8"))
SCORES = {"precision": precision, "recall": recall, "f1": f1}


@pytest.mark.parametrize("name", [name for name in SAID if name.split()[0] in SCORES])
def test_scores_are_those_of_scikit_learn(name):
    which, average, zero, classes = name.split()
    labels, predicted, _ = problem()
    got = SCORES[which](
        labels,
        predicted,
        average=None if average == "None" else average,
        zero_division=float(zero),
        num_classes=None if classes == "None" else int(classes),
    )
    np.testing.assert_allclose(got, SAID[name], rtol=1e-14)


@pytest.mark.parametrize("name", [name for name in SAID if name.startswith("report")])
def test_the_report_is_scikit_learns_to_the_letter(name):
    _, digits_, classes = name.split()
    number = None if classes == "None" else int(classes)
    report = classification_report(*problem()[:2], digits=int(digits_), num_classes=number)
    assert report == SAID[name]


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_top_k_is_that_of_scikit_learn(k, space):
    labels, _, scores = problem()
    assert top_k_accuracy(space.asarray(labels), space.asarray(scores), k) == pytest.approx(SAID[f"top {k}"], rel=1e-14)
    assert top_k_accuracy(space.asarray(labels), space.asarray(scores), 5) == 1.0


def test_scores_count_samples_one_by_one(space):
    labels, predicted, _ = problem()
    here = space.asarray(labels), space.asarray(predicted)
    for k in range(6):
        both = sum(a == k == b for a, b in zip(labels, predicted, strict=True))
        taken, there = sum(predicted == k), sum(labels == k)
        assert precision(*here, average=None)[k] == (both / taken if taken else 0.0)
        assert recall(*here, average=None)[k] == (both / there if there else 0.0)
        assert f1(*here, average=None)[k] == (2 * both / (taken + there) if taken + there else 0.0)
    assert precision(*here, average="micro") == accuracy(*here)


def test_of_equal_scores_none_is_left_out_and_nan_is_never_among_the_best():
    tied = np.asarray([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [np.nan, 0.0, 1.0]])
    assert top_k_accuracy(np.asarray([0, 1, 0]), tied, 1) == 2 / 3


def test_nothing_at_all_is_nan_or_what_was_asked_for():
    one = np.asarray([0, 0])
    assert math.isnan(precision(one, np.asarray([1, 1]), zero_division=float("nan"), num_classes=4, average=None)[0])
    assert recall(one, one, average=None, num_classes=3, zero_division=1.0) == [1.0, 1.0, 1.0]
    assert f1(one, np.asarray([1, 1]), average="weighted", zero_division=1.0) == 0.0


def test_fit_and_evaluate_measure_over_all_batches_together(space):
    x, y = digits(n=20)
    y = y.copy()
    y[3] = -100
    model = small_net(dropout=0.0, dtype="float64", seed=3).to(like=space.asarray([0.0]))
    found = model.evaluate(x, y, batch_size=6, metrics=["top_2", "f1", "precision", "recall"])
    scores, some = model.predict_proba(x), np.arange(20) != 3
    labels, best = y[some], scores.argmax(axis=1)[some]
    assert list(found) == ["loss", "accuracy", "top_2", "f1", "precision", "recall"]
    assert found["top_2"] == pytest.approx(top_k_accuracy(labels, scores[some], 2))
    for name, score in SCORES.items():
        assert found[name] == pytest.approx(score(labels, best, num_classes=3))
    history = model.fit(x, y, validation_data=(x, y), metrics=("top_2",), verbose=0).history
    assert list(history) == ["loss", "accuracy", "top_2", "val_loss", "val_accuracy", "val_top_2"]
    assert history["val_top_2"][0] == model.evaluate(x, y, metrics=["top_2"])["top_2"]


def test_metrics_stay_on_the_device_until_they_are_read(strict, monkeypatch):
    tally = Tally(SoftmaxCrossEntropy(), ["top_2", "f1"])
    x, y, value = strict.asarray(np.eye(4)), strict.asarray([0, 1, 3, -100]), strict.asarray(0.5)

    def refuse(self, *args):
        raise AssertionError("the device was read")

    with monkeypatch.context() as patch:
        for name in ("__bool__", "__float__", "__int__", "__index__", "__array__"):
            patch.setattr(type(x), name, refuse)
        tally.add(value, x, y)
        tally.add(value, x, y)
    # classes 0 and 1 are right; 3 is taken for 2, with three scores of 0 after the first
    assert tally.logs() == {"loss": 0.5, "accuracy": 2 / 3, "top_2": 1.0, "f1": 0.5}


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ([["f1"]], r"'recall' or 'f1', got \['f1'\]"),
        (["top_4"], "'top_K' with K from 1 to 3, 'precision', 'recall' or 'f1', got 'top_4'"),
        (["top_0"], "got 'top_0'"),
        (["top_"], "got 'top_'"),
        (["F1"], "got 'F1': did you mean 'f1'"),
        (["accuracy"], "got 'accuracy': loss and accuracy are always measured, leave them away"),
        ([3], "got 3"),
        ("f1", r"a list such as \['top_5', 'f1'\], got 'f1'"),
        (None, "a list such as"),
    ],
)
def test_unknown_metrics_are_refused(metrics, text):
    x, y = digits(n=6)
    with pytest.raises(ConfigError, match=text):
        small_net().fit(x, y, metrics=metrics, verbose=0)


def test_wrong_inputs_are_refused():
    x, y = digits(n=6)
    ok = np.asarray([0, 1])
    with pytest.raises(ConfigError, match="for MSE, which knows no classes, got 'f1'"):
        small_net().evaluate(x, np.eye(3)[y], loss="mse", metrics=["f1"])
    with pytest.raises(ConfigError, match="average to be 'macro', 'micro', 'weighted' or None, got 'binary'"):
        f1(ok, ok, average="binary")
    for wrong in (0.5, "warn", True):
        with pytest.raises(ConfigError, match=r"zero_division to be 0.0, 1.0 or nan, got"):
            recall(ok, ok, zero_division=wrong)
        with pytest.raises(ConfigError, match=r"zero_division to be 0.0, 1.0 or nan, got"):
            classification_report(ok, ok, zero_division=wrong)
    with pytest.raises(ConfigError, match="target_names for 3 classes, got 1"):
        classification_report(ok, ok, num_classes=3, target_names=["a"])
    with pytest.raises(ShapeError, match=r"labels \(N,\) and scores \(N, K\), got \(2,\) and \(2,\)"):
        top_k_accuracy(ok, ok)
    with pytest.raises(LabelError, match="labels from 0 to 0, got labels from 0 to 1"):
        top_k_accuracy(ok, np.zeros((2, 1)), 1)
    with pytest.raises(ConfigError, match="k to be an integer from 1 to 3"):
        top_k_accuracy(ok, np.zeros((2, 3)), 4)
