"""Accuracy and the confusion matrix, against counting by hand."""

import numpy as np
import pytest

from xpcnn import SoftmaxCrossEntropy
from xpcnn.backend import to_numpy
from xpcnn.errors import LabelError, NamespaceError, ShapeError
from xpcnn.training import accuracy, confusion_matrix
from xpcnn.training.metrics import Tally


def test_confusion_matrix_counts_pairs(space):
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, 50), rng.integers(0, 5, 50)
    expected = np.zeros((6, 6), dtype="int64")
    for i, j in zip(labels, predicted, strict=True):
        expected[i, j] += 1
    got = confusion_matrix(space.asarray(labels), space.asarray(predicted), num_classes=6)
    assert space.device.owns(got) and np.array_equal(to_numpy(got), expected)
    assert confusion_matrix(space.asarray(labels), space.asarray(predicted)).shape == (5, 5)
    assert accuracy(space.asarray(labels), space.asarray(predicted)) == np.trace(expected) / 50


def test_tally_takes_class_numbers_or_probabilities(space):
    scores = space.asarray([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    for target in ([1, 1, 1], [[0.0, 1.0], [0.4, 0.6], [0.1, 0.9]]):
        tally = Tally(SoftmaxCrossEntropy())
        tally.add(space.asarray(0.5), scores, space.asarray(target))
        assert tally.logs() == {"loss": 0.5, "accuracy": 2 / 3}


def test_tally_leaves_out_what_the_loss_ignores():
    loss, scores = SoftmaxCrossEntropy(ignore_index=1), np.asarray([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    tally = Tally(loss)
    for i in range(3):
        part, target = scores[i : i + 1], np.asarray([0, 1, 0])[i : i + 1]
        tally.add(loss(part, target)[0], part, target)
    whole = loss(scores, np.asarray([0, 1, 0]))[0]
    assert tally.logs()["accuracy"] == 0.5 and tally.logs()["loss"] == pytest.approx(float(whole))


def test_tally_of_nothing_is_nan():
    tally = Tally(SoftmaxCrossEntropy())
    tally.add(np.asarray(np.nan), np.zeros((1, 2)), np.asarray([-100]))
    assert np.isnan(list(tally.logs().values())).all()


def test_wrong_inputs_are_refused():
    with pytest.raises(ShapeError, match=r"^accuracy: .* one shape \(N,\), got \(2,\) and \(3,\)$"):
        accuracy(np.zeros(2, int), np.zeros(3, int))
    with pytest.raises(ShapeError, match=r"^accuracy: .*\(2, 5\): of scores take the highest, argmax\(axis=1\)$"):
        accuracy(np.zeros(2, int), np.zeros((2, 5)))
    with pytest.raises(ShapeError):
        confusion_matrix(np.zeros((2, 2), int), np.zeros((2, 2), int))
    with pytest.raises(LabelError, match="classes from 0 to 1, got classes from 0 to 2"):
        confusion_matrix(np.asarray([0, 2]), np.asarray([0, 1]), num_classes=2)
    with pytest.raises(LabelError, match="from -1"):
        confusion_matrix(np.asarray([0, -1]), np.asarray([0, 1]))
    with pytest.raises(NamespaceError):
        accuracy([0, 1], [0, 1])
