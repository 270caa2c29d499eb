"""Losses at extreme scores, and what they say to wrong targets."""

import numpy as np
import pytest

from tests import reference
from tests.strategies import LOSSES
from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import DeviceMismatchError, DtypeError, LabelError, NamespaceError, ShapeError, XpcnnError
from xpcnn.layers import SoftmaxCrossEntropy


def test_cross_entropy_is_its_formula(space):
    z, labels = normal((6, 4), Key(0)), [0, 3, 2, 2, 1, 0]
    value, _ = ops.softmax_cross_entropy(space.asarray(z), space.asarray(labels))
    assert float(value) == pytest.approx(reference.cross_entropy(z, labels), rel=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_of_1e4_give_finite_values(space, dtype):
    """deepnet takes -log(p) of a p that has become 0."""
    z = space.asarray([[1e4, -1e4], [-1e4, 1e4]], dtype)
    value, dz = ops.softmax_cross_entropy(z, space.asarray([1, 1]))
    assert float(value) == 1e4
    assert to_numpy(dz).tolist() == [[0.5, -0.5], [0.0, 0.0]]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
@pytest.mark.parametrize("ignore", [-100, 1, 500])
def test_labels_of_any_integer_dtype(space, dtype, ignore):
    z = normal((3, 3), Key(0))
    expected, dz = ops.softmax_cross_entropy(z, np.asarray([0, 2, 2]), ignore_index=ignore)
    value, again = ops.softmax_cross_entropy(space.asarray(z), space.asarray([0, 2, 2], dtype), ignore_index=ignore)
    assert float(value) == pytest.approx(float(expected), rel=1e-14)
    np.testing.assert_allclose(to_numpy(again), dz, rtol=1e-13)


def test_ignore_index_does_not_wrap_around_for_bytes(space):
    """-100 is 156 for one who counts in bytes."""
    z = space.asarray(normal((1, 200), Key(0)))
    _, dz = ops.softmax_cross_entropy(z, space.asarray([156], "uint8"))
    assert to_numpy(dz)[0, 156] < 0.0
    with pytest.raises(LabelError, match="from 0 to 99"):
        ops.softmax_cross_entropy(z[:, :100], space.asarray([156], "uint8"))


WRONG_LABELS = {
    "too large": ([0, 3], "expected labels from 0 to 2, got labels from 0 to 3"),
    "negative": ([0, -1], "expected labels from 0 to 2, got labels from -1 to 0"),
    "float": ([0.0, 1.0], "expected target of 2 integer labels or probabilities"),
    "too few": ([0], "expected 2 labels for 2 samples, got target of shape"),
    "too many": ([0, 1, 2], "expected 2 labels for 2 samples"),
    "a column": ([[0], [1]], "expected 2 labels for 2 samples"),
    "one-hot integers": ([[1, 0, 0], [0, 1, 0]], "expected 2 labels for 2 samples"),
    "narrow probabilities": ([[0.5, 0.5], [0.5, 0.5]], "probabilities of shape"),
    "booleans": ([True, False], "integer labels"),
    "complex": ([1j, 0j], "integer labels"),
}


@pytest.mark.parametrize("labels", WRONG_LABELS)
def test_wrong_labels_raise(labels, space):
    values, text = WRONG_LABELS[labels]
    with pytest.raises(LabelError, match=text) as caught:
        SoftmaxCrossEntropy()(space.asarray(np.zeros((2, 3))), space.asarray(values))
    assert isinstance(caught.value, (XpcnnError, ValueError))
    assert "SoftmaxCrossEntropy" in str(caught.value)


@pytest.mark.parametrize("loss", [cls() for cls in LOSSES], ids=lambda loss: type(loss).__name__)
def test_wrong_arrays_raise(loss, space):
    z = np.zeros((2, 3))
    x, t = space.asarray(z), space.asarray(z + 1 / 3)
    for bad in (z.tolist(), np.ma.masked_array(z), None):
        with pytest.raises(NamespaceError, match="array"):
            loss(bad, t)
        with pytest.raises(NamespaceError, match="array"):
            loss(x, bad)
    with pytest.raises(DtypeError, match="real floating"):
        loss(space.asarray(z, "int64"), t)
    with pytest.raises((DtypeError, LabelError), match=r"one dtype|integer labels"):
        loss(x, space.asarray(z, "float32"))
    with pytest.raises((LabelError, ShapeError)):
        loss(x, space.asarray(np.zeros((2, 4))))
    with pytest.raises((LabelError, ShapeError)):
        loss(space.asarray(np.zeros((0, 3))), space.asarray(np.zeros((0, 3))))


@pytest.mark.parametrize("target", [[0, 1], [[0.5, 0.5], [1.0, 0.0]]], ids=["labels", "probabilities"])
def test_target_of_another_library_or_device_raises(strict, target):
    z, target = np.zeros((2, 2)), np.asarray(target)
    with pytest.raises(NamespaceError, match="target"):
        SoftmaxCrossEntropy()(strict.asarray(z), target)
    with pytest.raises(NamespaceError, match="target"):
        SoftmaxCrossEntropy()(z, strict.asarray(target))
    elsewhere = strict.asarray(target).to_device(strict.xp.Device("CPU_DEVICE"))
    with pytest.raises(DeviceMismatchError, match="target"):
        SoftmaxCrossEntropy()(strict.asarray(z), elsewhere)


def test_all_samples_ignored_is_nan_as_in_torch_without_a_warning(space):
    value, _ = ops.softmax_cross_entropy(space.asarray(np.zeros((2, 3))), space.asarray([-100, -100]))
    assert np.isnan(float(value))


def test_class_weights_of_wrong_number_raise(space):
    with pytest.raises(ShapeError, match=r"expected weight of shape \(3,\), got \(2,\)"):
        SoftmaxCrossEntropy(weight=[1.0, 2.0])(space.asarray(np.zeros((2, 3))), space.asarray([0, 1]))


def test_class_weights_may_be_an_array_of_any_library(space):
    z, labels = space.asarray(normal((2, 3), Key(0))), space.asarray([0, 2])
    expected = SoftmaxCrossEntropy(weight=[1.0, 2.0, 0.5])(z, labels)[0]
    assert float(SoftmaxCrossEntropy(weight=space.asarray([1.0, 2.0, 0.5]))(z, labels)[0]) == float(expected)
