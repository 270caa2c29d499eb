"""The kernels that count a batch against the generic body: the same numbers, bit for bit."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backend.cuda.on_cpu import generic
from xpcnn.backend import Key, normal, registry, to_numpy
from xpcnn.backend.cuda import tally as kernels
from xpcnn.layers import FocalLoss, NLLLoss, SoftmaxCrossEntropy
from xpcnn.training.metrics import Tally

BOTH = ["tally_samples", "tally_sums"]


@pytest.fixture
def answering(cupy, monkeypatch):
    """These kernels answer for NumPy's arrays, and no others."""
    monkeypatch.setitem(registry._kernels, ("tally", "numpy"), kernels.tally)
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    return cupy


def batch(seed, n, k, dtype="float32", labels="int64", ties=False):
    scores = normal((n, k), Key(seed, "scores")).astype(dtype)
    return (np.round(scores) if ties else scores), (np.arange(n) * 5 % k).astype(labels)


def sums(loss, metrics, batches, place=np.asarray):
    found = Tally(loss, metrics)
    for scores, target in batches:
        value = place(np.asarray(1.7, scores.dtype))
        with np.errstate(invalid="ignore"):
            found.add(value, place(scores), place(target))
    return {**{name: np.asarray(to_numpy(a)) for name, a in found.sums.items()}, **found.numbers}


def same(found, expected):
    assert set(found) == set(expected)
    for name, a in found.items():
        assert a.dtype == expected[name].dtype, name
        assert a.tobytes() == expected[name].tobytes(), (name, a, expected[name])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    k=st.integers(1, 12),
    ties=st.booleans(),
    ignored=st.sampled_from([-100, 0, 3]),
    reduction=st.sampled_from(["mean", "sum"]),
    metrics=st.sampled_from([(), ("top_1",), ("top_3", "f1", "top_2")]),
    labels=st.sampled_from(["uint8", "int16", "int32", "int64"]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_every_sum_is_that_of_the_generic_body(answering, sizes, k, ties, ignored, reduction, metrics, labels, dtype):
    batches = [batch(i, n, k, dtype, labels, ties) for i, n in enumerate(sizes)]
    loss = SoftmaxCrossEntropy(ignore_index=ignored, reduction=reduction)
    answering.launched.clear()
    found = sums(loss, metrics, batches)
    launched = [name for name in answering.launched if name.startswith("tally")]
    assert launched == BOTH * len(sizes)
    same(found, generic(lambda: sums(loss, metrics, batches)))


@pytest.mark.parametrize("ignored", [-100, 7])
def test_nan_infinities_and_labels_that_are_no_class_count_as_in_the_generic_body(answering, monkeypatch, ignored):
    scores, target = batch(0, 12, 4, "float64")
    scores[1, 2], scores[2], scores[3], scores[4, 0], scores[5, 1] = np.nan, np.nan, -np.inf, np.inf, np.inf
    scores[6, 1:3] = np.nan
    target = np.where(np.arange(12) == 2, 0, target)
    target[1], target[5], target[6] = 2, 1, 1
    loss = SoftmaxCrossEntropy(ignore_index=ignored)

    def run():
        return sums(loss, ["top_2"], [(scores, target)])

    same(run(), generic(run))
    target[[0, 8, 9]] = ignored, 7, -3
    found = run()
    # the generic body looks at labels on the host, where it raises; elsewhere they make the total NaN
    monkeypatch.setattr("xpcnn.ops.losses.targets.is_host", lambda x: False)
    same(found, generic(run))
    assert np.isnan(found["total"])


def test_a_batch_in_which_nothing_counts_adds_nothing(answering):
    scores, target = batch(0, 6, 3)
    tally = Tally(SoftmaxCrossEntropy(ignore_index=9), ["top_2"])
    tally.add(np.asarray(np.nan, "float32"), scores, np.full(6, 9))
    assert answering.launched == BOTH
    assert all(float(a) == 0 for a in tally.sums.values())
    tally.add(np.asarray(2.0, "float32"), scores, target)
    assert tally.logs()["loss"] == 2.0
    tally.reset()
    assert all(float(a) == 0 for a in tally.sums.values())


@pytest.mark.parametrize(
    "loss", [SoftmaxCrossEntropy(weight=[1.0, 2.0, 0.5]), FocalLoss(), NLLLoss(weight=[1.0, 0.0, 1.0])]
)
def test_losses_that_divide_by_something_else_are_counted_by_the_generic_body(answering, loss):
    batches = [batch(0, 9, 3)]
    same(sums(loss, (), batches), generic(lambda: sums(loss, (), batches)))
    assert not answering.launched


def test_what_it_is_not_made_for_is_counted_by_the_generic_body(answering, monkeypatch):
    monkeypatch.setattr(kernels, "MOST", 4)
    loss = SoftmaxCrossEntropy()
    probabilities = np.asarray([[0.2, 0.8, 0.0], [1.0, 0.0, 0.0]], "float32")
    many = [f"top_{i + 1}" for i in range(9)]
    for batches, metrics in (
        ([batch(0, 9, 5)], ()),
        ([batch(0, 4, 4)], many),
        ([(batch(0, 2, 3)[0], probabilities)], ()),
    ):
        found = sums(loss, metrics, batches)
        expected = generic(lambda batches=batches, metrics=metrics: sums(loss, metrics, batches))
        assert {name: float(a) for name, a in found.items()} == {name: float(a) for name, a in expected.items()}
    assert not [name for name in answering.launched if name.startswith("tally")]


def test_sums_stay_in_their_places(answering):
    tally = Tally(SoftmaxCrossEntropy(), ["top_2"])
    tally.add(np.asarray(1.0, "float32"), *batch(0, 7, 3))
    held = dict(tally.sums)
    tally.add(np.asarray(1.0, "float32"), *batch(1, 5, 3))
    assert all(tally.sums[name] is a for name, a in held.items())
    assert int(held["counted"]) == 12


@pytest.mark.gpu
@pytest.mark.parametrize("ignored", [-100, 3])
def test_a_gpu_counts_the_same(space_of_cupy, ignored):
    batches = [batch(i, n, 10, ties=True) for i, n in enumerate((512, 70))]
    loss, metrics = SoftmaxCrossEntropy(ignore_index=ignored), ["top_1", "top_5"]
    same(sums(loss, metrics, batches, space_of_cupy.asarray), generic(lambda: sums(loss, metrics, batches)))
