"""The kernels of softmax and cross-entropy against the generic body in float64."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backend.cuda.on_cpu import generic
from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.backend.cuda.cross_entropy import FEW, softmax_cross_entropy

LABELS = ["uint8", "int16", "int32", "int64"]
LAST = ["add_values", "reduced_value"]
GROUPS = ["largest_of_groups", "sums_of_groups", "gradients_of_groups"]


def scores(n, k, size, dtype):
    return (size * normal((n, k), Key(0, "z"))).astype(dtype)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 20),
    k=st.one_of(st.integers(1, 12), st.integers(FEW, FEW + 70)),
    size=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    labels=st.sampled_from(LABELS),
    ignored=st.sampled_from([-100, 0, 1]),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_value_and_gradient_are_those_of_the_generic_body(cupy, n, k, size, labels, ignored, reduction, dtype):
    z, target = scores(n, k, size, dtype), (np.arange(n) * 7 % k).astype(labels)
    found = softmax_cross_entropy(z, target, ignored, reduction)
    exact = ops.softmax_cross_entropy(z.astype("float64"), target, ignore_index=ignored, reduction=reduction)
    eps = np.finfo(dtype).eps
    for a, b in zip(found, exact, strict=True):
        assert (a.dtype, a.shape) == (dtype, b.shape)
        atol = 8 * eps * max(1.0, np.abs(z).max()) * (n if reduction == "sum" else 1)
        np.testing.assert_allclose(a, b, rtol=16 * eps, atol=atol)


@pytest.mark.parametrize("k", [3, 200])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_launches_are_few_and_the_same_call_gives_the_same_bits(cupy, k, reduction):
    z, target = scores(100, k, 2.0, "float32"), np.arange(100) % k
    first = softmax_cross_entropy(z, target, -100, reduction)
    body = GROUPS if k > FEW else ["softmax_cross_entropy"]
    assert cupy.launched == (reduction == "mean") * ["count_labels"] + body + (reduction != "none") * LAST
    again = softmax_cross_entropy(z, target, -100, reduction)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))


def test_the_gradient_has_the_bits_of_one_that_is_divided_afterwards(cupy):
    z, target = scores(37, 10, 3.0, "float32"), np.arange(37) % 10
    target[::5] = -100
    plain = softmax_cross_entropy(z, target, -100, "none")[1]
    assert np.array_equal(softmax_cross_entropy(z, target, -100, "mean")[1], plain / np.float32(29))


def test_the_value_is_added_in_double(cupy):
    """A sum of float32 numbers would lose the small ones beside the large one."""
    z = np.zeros((10_001, 2), "float32")
    z[1:, 0], z[0, 1] = 9.0, 2e4  # values of 1.2e-4, and one of 20,000
    exact = ops.softmax_cross_entropy(z.astype("float64"), np.zeros(10_001, "int64"), reduction="sum")[0]
    found = softmax_cross_entropy(z, np.zeros(10_001, "int64"), -100, "sum")[0]
    assert abs(float(found) - float(exact)) < 2e-3


@pytest.mark.parametrize("k", [3, 100])
def test_a_label_out_of_range_is_nan_and_the_others_are_not(cupy, k):
    z, target = scores(4, k, 1.0, "float32"), np.asarray([0, k, -1, 2])
    values, dlogits = softmax_cross_entropy(z, target, -100, "none")
    wrong = [False, True, True, False]
    assert np.isnan(values).tolist() == wrong
    assert np.isnan(dlogits).tolist() == [[w] * k for w in wrong]
    value, dlogits = softmax_cross_entropy(z, target, -100, "mean")
    assert np.isnan(value)
    assert np.isnan(dlogits).all()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_where_nothing_counts_the_mean_is_nan_and_its_gradient_zero(cupy, reduction):
    z, target = scores(5, 4, 1.0, "float32"), np.full(5, 2, "uint8")
    value, dlogits = softmax_cross_entropy(z, target, 2, reduction)
    assert np.isnan(value) if reduction == "mean" else not value.any()
    assert not dlogits.any()


@pytest.mark.parametrize("k", [4, 100])
def test_nan_and_infinite_scores_are_as_in_the_generic_body(cupy, k):
    z = scores(6, k, 1.0, "float64")
    z[0, 1], z[1, 2], z[2, 3], z[3], z[4], z[5, 1:] = np.nan, -np.inf, np.inf, np.nan, -np.inf, -np.inf
    target = np.asarray([0, 1, 2, 3, 0, 0])
    with np.errstate(invalid="ignore"):
        exact = ops.softmax_cross_entropy(z, target, reduction="none")
    for a, b in zip(softmax_cross_entropy(z, target, -100, "none"), exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


def test_the_op_finds_it_and_scores_may_lie_in_any_order(answering):
    z, target = np.asfortranarray(scores(6, 5, 1.0, "float64")), np.arange(12)[::2] % 5
    found = ops.softmax_cross_entropy(z, target)
    assert answering.launched[0] == "count_labels"
    for a, b in zip(found, generic(lambda: ops.softmax_cross_entropy(z, target)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


def test_nothing_at_all_is_left_to_the_generic_body(cupy):
    assert softmax_cross_entropy(np.zeros((2, 0)), np.zeros(2, "int64"), 0, "mean") is None
    assert softmax_cross_entropy(np.zeros((0, 2)), np.zeros(0, "int64"), 0, "mean") is None
    assert softmax_cross_entropy(np.zeros((1, 2), "float16"), np.zeros(1, "int64"), 0, "mean") is None
    assert not cupy.launched


@pytest.mark.gpu
@pytest.mark.parametrize("k", [10, 1000])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_gpu_gives_the_same(space_of_cupy, reduction, k):
    z, target = scores(70, k, 3.0, "float64"), np.arange(70) % 10
    target[::9] = -100
    exact = ops.softmax_cross_entropy(z, target, reduction=reduction)
    found = ops.softmax_cross_entropy(space_of_cupy.asarray(z), space_of_cupy.asarray(target), reduction=reduction)
    for a, b in zip(found, exact, strict=True):
        np.testing.assert_allclose(to_numpy(a), b, rtol=1e-13, atol=1e-13)
