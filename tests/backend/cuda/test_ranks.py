"""The kernel that ranks labels against the generic body."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backend.cuda.on_cpu import generic
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.backend.cuda import ranks
from xpcnn.ops.ranks import label_ranks
from xpcnn.training.metrics import top_k_accuracy


def scores(n, k, dtype, odd=True):
    z = np.round(2 * normal((n, k), Key(0, "z"))).astype(dtype)
    if odd:
        z[normal((n, k), Key(0, "where")) > 1.2] = np.nan
        z[normal((n, k), Key(0, "where")) < -1.2] = np.inf
    return z


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 40),
    k=st.integers(1, 12),
    dtype=st.sampled_from(["float32", "float64"]),
    order=st.sampled_from(["C", "F"]),
)
def test_ranks_are_those_of_the_generic_body(answering, n, k, dtype, order):
    z = np.asarray(scores(n, k, dtype), order=order)
    label = np.arange(-1, n - 1) % (k + 2) - 1
    expected = generic(lambda: label_ranks(z, label))
    answering.launched.clear()
    found = label_ranks(z, label)
    assert answering.launched == ["label_ranks"]
    assert found.dtype == "int64"
    np.testing.assert_array_equal(found, expected)


def test_labels_may_be_bytes(cupy):
    z = scores(9, 4, "float32", odd=False)
    label = np.arange(9) % 4
    np.testing.assert_array_equal(ranks.label_ranks(z, label.astype("uint8")), label_ranks(z, label))


def test_top_k_accuracy_asks_it(answering):
    z, label = scores(50, 7, "float32"), np.arange(50) % 7
    expected = generic(lambda: [top_k_accuracy(label, z, k) for k in (1, 3, 7)])
    assert [top_k_accuracy(label, z, k) for k in (1, 3, 7)] == expected
    assert answering.launched == ["label_ranks"] * 3


def test_other_dtypes_are_left_to_the_generic_body(cupy):
    assert ranks.label_ranks(np.zeros((2, 3), "float16"), np.zeros(2, "int64")) is None
    assert not cupy.launched


@pytest.mark.gpu
def test_a_gpu_gives_the_same(space_of_cupy):
    z, label = scores(70, 9, "float32"), np.arange(70) % 9
    found = label_ranks(space_of_cupy.asarray(z), space_of_cupy.asarray(label))
    np.testing.assert_array_equal(to_numpy(found), label_ranks(z, label))
