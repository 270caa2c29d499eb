"""The kernel of softmax and cross-entropy against the generic body in float64."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.backend.cuda import cross_entropy
from xpcnn.backend.cuda.cross_entropy import softmax_cross_entropy


def scores(n, k, size, dtype):
    return (size * normal((n, k), Key(0, "z"))).astype(dtype)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 9),
    k=st.integers(1, 12),
    size=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    labels=st.sampled_from(["uint8", "int32", "int64"]),
    ignored=st.sampled_from([-100, 0, 1]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_values_and_gradients_are_those_of_the_generic_body(cupy, n, k, size, labels, ignored, dtype):
    z, target = scores(n, k, size, dtype), (np.arange(n) * 7 % k).astype(labels)
    found = softmax_cross_entropy(z, target, ignored)
    exact = ops.softmax_cross_entropy(z.astype("float64"), target, ignore_index=ignored, reduction="none")
    eps = np.finfo(dtype).eps
    for a, b in zip(found, exact, strict=False):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=8 * eps, atol=8 * eps * max(1.0, np.abs(z).max()))
    assert float(found[2]) == np.count_nonzero(target.astype("int64") != ignored)


def test_a_label_out_of_range_is_nan_and_the_others_are_not(cupy):
    z = scores(4, 3, 1.0, "float32")
    values, dlogits, total = softmax_cross_entropy(z, np.asarray([0, 3, -1, 2]), -100)
    wrong = [False, True, True, False]
    assert np.isnan(values).tolist() == wrong
    assert np.isnan(dlogits).tolist() == [[w] * 3 for w in wrong]
    assert np.isnan(total)


def test_nan_and_infinite_scores_are_as_in_the_generic_body(cupy):
    z = scores(5, 4, 1.0, "float64")
    z[0, 1], z[1, 2], z[2, 3], z[3] = np.nan, -np.inf, np.inf, np.nan
    target = np.asarray([0, 1, 2, 3, 0])
    with np.errstate(invalid="ignore"):
        exact = ops.softmax_cross_entropy(z, target, reduction="none")
    for a, b in zip(softmax_cross_entropy(z, target, -100), exact, strict=False):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_no_classes_and_many_are_left_to_the_generic_body(cupy):
    assert softmax_cross_entropy(np.zeros((2, 0)), np.zeros(2, "int64"), 0) is None
    assert softmax_cross_entropy(np.zeros((1, cross_entropy.MOST + 1)), np.zeros(1, "int64"), -100) is None
    assert not cupy.launched


@pytest.mark.gpu
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_gpu_gives_the_same(space_of_cupy, reduction):
    z, target = scores(70, 10, 3.0, "float64"), np.arange(70) % 10
    target[::9] = -100
    exact = ops.softmax_cross_entropy(z, target, reduction=reduction)
    found = ops.softmax_cross_entropy(space_of_cupy.asarray(z), space_of_cupy.asarray(target), reduction=reduction)
    for a, b in zip(found, exact, strict=True):
        np.testing.assert_allclose(to_numpy(a), b, rtol=1e-13, atol=1e-13)
