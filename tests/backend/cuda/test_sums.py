"""The kernel that adds rows against exact sums, with few threads and many, in one launch and in several."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpcnn.backend import Key, normal, to_numpy
from xpcnn.backend.cuda import sums
from xpcnn.ops.sums import sum_rows, sum_rows_in_float64

dtypes = st.sampled_from(["float32", "float64"])


def matrix(count, columns, size, dtype):
    return (size * normal((count, columns), Key(0, "x")) + size).astype(dtype)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.one_of(st.integers(1, 40), st.integers(100, 700)),
    columns=st.integers(1, 70),
    size=st.sampled_from([1e-3, 1.0, 1e6]),
    dtype=dtypes,
    out=dtypes,
    scale=st.sampled_from([1.0, 0.3]),
    limits=st.sampled_from([(128, 64, 1 << 17), (3, 2, 1 << 17), (9, 4, 100), (2, 2, 1)]),
    order=st.sampled_from(["C", "F"]),
)
def test_sums_are_rounded_once(cupy, count, columns, size, dtype, out, scale, limits, order):
    x = np.asarray(matrix(count, columns, size, dtype), order=order)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("FEW", "EACH", "MANY"), limits, strict=True):
            patch.setattr(sums, name, value)
        found = sums.sum_rows(x, scale, out)
    exact = scale * x.astype("longdouble").sum(axis=0)
    assert (found.shape, found.dtype) == ((columns,), np.dtype(out))
    double = 2.0**-53 * (count + 4) * scale * np.abs(x.astype("float64")).sum(axis=0)
    assert (np.abs(found - exact) <= np.finfo(out).eps * np.abs(exact) + double).all()


def test_it_takes_as_many_launches_as_rows_need(cupy):
    for count, launches in ((128, 1), (200, 2), (64 * 128, 2), (64 * 129, 3)):
        cupy.launched.clear()
        assert sums.sum_rows(np.ones((count, 2), "float32"), 1.0, "float32").tolist() == [count] * 2
        assert cupy.launched == ["sum_rows"] * launches


def test_threads_are_no_more_than_a_gpu_needs():
    assert sums.slabs(10**9, 3) == (1 << 17) // 3
    assert sums.slabs(10**9, 10**6) == 1
    assert sums.slabs(6400, 16) == 100


def test_matrices_are_added_each_by_itself(cupy):
    x = matrix(3 * 150, 5, 1.0, "float32").reshape(3, 150, 5)
    found = sums.total(x, "float64", divisor=150.0)
    np.testing.assert_allclose(found, x.mean(axis=1, dtype="float64"), rtol=1e-14)
    assert cupy.launched == ["sum_rows"] * 2


def test_nan_and_infinity_stay_in_their_columns(cupy):
    x = np.ones((300, 4), "float32")
    x[7, 1], x[200, 2], x[8, 3], x[9, 3] = np.nan, np.inf, np.inf, -np.inf
    np.testing.assert_array_equal(sums.sum_rows(x, 2.0, "float32"), [600.0, np.nan, np.inf, np.nan])


def test_ops_ask_it(answering):
    x = np.asarray([[1e8], [1.0], [-1e8]] * 100, dtype="float32")
    assert sum_rows_in_float64(x).tolist() == [100.0]
    assert sum_rows(x).dtype == "float32"
    assert sum_rows(x, 0.5, np.float64).tolist() == [50.0]
    assert answering.launched == ["sum_rows"] * 6


def test_empty_matrices_and_other_dtypes_are_left_to_the_generic_body(cupy):
    assert sums.sum_rows(np.ones((0, 3), "float32"), 1.0, "float32") is None
    assert sums.sum_rows(np.ones((3, 3), "longdouble"), 1.0, "longdouble") is None
    assert sums.sum_rows(np.ones((3, 3), "float32"), 1.0, "longdouble") is None
    assert not cupy.launched


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(1, 1), (100_003, 1), (20_000, 70), (300, 1000)])
def test_a_gpu_adds_the_same(space_of_cupy, shape):
    x = matrix(*shape, 1.0, "float32")
    found = [to_numpy(sum_rows(space_of_cupy.asarray(x), 0.5, np.float64)) for _ in range(2)]
    np.testing.assert_allclose(found[0], 0.5 * x.astype("float64").sum(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(*found)
