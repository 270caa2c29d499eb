"""The kernels of batch norm: statistics against exact ones, the rest against the generic bodies."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backend.cuda.on_cpu import generic
from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.backend.cuda import norm, sums
from xpcnn.errors import ShapeError

EPS = 1e-5
few = st.integers(1, 5)
channels = st.integers(1, 70)
shapes = st.one_of(
    st.tuples(st.integers(2, 90), channels),
    st.tuples(st.integers(2, 4), channels, few),
    st.tuples(st.integers(2, 4), channels, few, few),
    st.tuples(st.integers(2, 3), st.integers(1, 3), st.integers(8, 20), few),
)
dtypes = st.sampled_from(["float32", "float64"])
LIMITS = [(128, 64, 1 << 17), (3, 2, 1 << 17), (5, 4, 60)]


def draw(shape, name, dtype="float64", size=1.0, mean=0.0):
    return (size * normal(shape, Key(0, name)) + mean).astype(dtype)


def laid(x, first):
    """The same numbers with the channels first or last in memory."""
    return x if first else np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def exact_statistics(x):
    rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1]).astype("longdouble")
    mean = rows.mean(axis=0)
    return mean, ((rows - mean) ** 2).mean(axis=0)


def small_slabs(patch, limits):
    for name, value in zip(("FEW", "EACH", "MANY"), limits, strict=True):
        patch.setattr(sums, name, value)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=shapes,
    mean=st.sampled_from([0.0, 3.0, 1e4]),
    size=st.sampled_from([1e-3, 1.0, 1e3]),
    dtype=dtypes,
    first=st.booleans(),
    limits=st.sampled_from(LIMITS),
)
def test_statistics_are_exact_to_the_digits_of_float64(cupy, shape, mean, size, dtype, first, limits):
    x = laid(draw(shape, "x", dtype, size, mean), first)
    with pytest.MonkeyPatch.context() as patch:
        small_slabs(patch, limits)
        found = norm.batch_statistics(x)
    exact = exact_statistics(x)
    assert [a.dtype for a in found] == [np.float64] * 2
    np.testing.assert_allclose(found[0], exact[0].astype("float64"), rtol=1e-14, atol=1e-15 * np.abs(x).max())
    # of float64 the rows less the first one are rounded, too
    rounded = 4 * np.finfo(dtype).eps ** 2 * np.abs(x).max() ** 2 if dtype == "float64" else 0.0
    np.testing.assert_allclose(found[1], exact[1].astype("float64"), rtol=1e-12, atol=rounded)


@pytest.mark.parametrize("place", [0, 1, 499])
def test_a_row_that_lies_far_out_spoils_no_variance(cupy, place):
    x = draw((500, 3), "x", "float32")
    x[place] = 1e7
    for found, exact in zip(norm.batch_statistics(x), exact_statistics(x), strict=True):
        np.testing.assert_allclose(found, exact.astype("float64"), rtol=1e-12)


def test_a_constant_channel_has_exactly_its_value_as_mean_and_no_variance(cupy):
    for value in (np.float32(0.1), np.float64(0.1), np.float32(-3e30)):
        mean, var = norm.batch_statistics(np.full((7, 3, 5, 5), value))
        assert mean.tolist() == [float(value)] * 3
        assert var.tolist() == [0.0] * 3


@pytest.mark.parametrize("place", [0, 250])
def test_nan_and_infinity_are_as_in_the_generic_body(answering, place):
    x = draw((300, 5), "x", "float32")
    x[place, 1], x[place, 2], x[place, 3], x[place + 1, 3] = np.nan, np.inf, -np.inf, np.inf
    found = ops.batch_statistics(x, exact=True)
    for a, b in zip(found, generic(lambda: ops.batch_statistics(x, exact=True)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert answering.launched == ["deviations", "statistics"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=shapes,
    dtype=dtypes,
    exact=st.booleans(),
    affine=st.sampled_from([(True, True), (True, False), (False, True), (False, False)]),
    first=st.booleans(),
)
def test_normalized_numbers_have_the_bits_of_the_generic_body(answering, shape, dtype, exact, affine, first):
    x, c = laid(draw(shape, "x", dtype, 2.0, 30.0), first), shape[1]
    x[0, 0], x[1, c // 2] = np.inf, np.nan
    statistics = "float64" if exact else dtype
    mean, var = draw((c,), "mean", statistics, 3.0, 30.0), np.exp(draw((c,), "var", statistics))
    w, b = (draw((2 * c,), name, dtype)[::2] if given else None for name, given in zip("wb", affine, strict=True))
    expected = generic(lambda: ops.batch_norm(x, mean, var, w, b, eps=EPS))
    answering.launched.clear()
    found = ops.batch_norm(x, mean, var, w, b, eps=EPS)
    assert answering.launched == ["normalize"]
    assert found.dtype == x.dtype
    assert np.moveaxis(found, 1, -1).flags.c_contiguous
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=shapes,
    centre=st.sampled_from([9.0, 1e4]),
    dtype=dtypes,
    exact=st.booleans(),
    affine=st.booleans(),
    fixed=st.booleans(),
    first=st.booleans(),
    limits=st.sampled_from(LIMITS),
)
def test_gradients_are_those_of_the_generic_body(answering, shape, centre, dtype, exact, affine, fixed, first, limits):
    c, size = shape[1], np.prod(shape) // shape[1]
    x, dy = laid(draw(shape, "x", dtype, 2.0, centre), first), laid(draw(shape, "dy", dtype, 2.0, 0.5), not first)
    statistics = "float64" if exact else dtype
    mean, var = (a.astype(statistics) for a in exact_statistics(x))
    w = draw((c,), "w", dtype) if affine else None
    with pytest.MonkeyPatch.context() as patch:
        small_slabs(patch, limits)
        found = ops.batch_norm_backward(dy, x, mean, var, w, eps=EPS, fixed=fixed)
    assert [a.dtype for a in found] == [np.dtype(dtype)] * 3
    assert answering.launched[0] == "gradient_sums"
    assert answering.launched[-1] == "batch_norm_backward"
    wide = [None if a is None else a.astype("float64") for a in (dy, x, mean, var, w)]
    right = generic(lambda: ops.batch_norm_backward(*wide, eps=EPS, fixed=fixed))
    eps = np.finfo(dtype).eps
    # what a mean that was rounded to the dtype of x leaves over is in xhat, and in the sums over it
    near = np.abs(wide[1] - wide[2].reshape(1, c, *[1] * (x.ndim - 2))).max() / np.sqrt(wide[3].min() + EPS)
    gain = (1.0 if w is None else np.abs(w).max()) / np.sqrt(wide[3].min() + EPS)
    most = np.abs(dy).max()
    for a, b, bound in zip(found, right, (gain * (1 + near * near), size * near, size), strict=True):
        np.testing.assert_allclose(a, b, rtol=4 * eps, atol=8 * eps * most * bound)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_have_its_bits_where_sums_are_exact(answering, dtype, fixed):
    # whole numbers times float32 or, of float64, an inverse deviation of 2: every order of adding gives the same
    shape = (4, 3, 5, 4)
    x, dy = (np.round(draw(shape, name, dtype, 4.0)) for name in ("x", "dy"))
    mean = np.asarray([0.0, 1.0, -2.0]) + 2.0**-30
    var = np.asarray([0.3, 1.7, 5.0]) if dtype == "float32" else np.full(3, 0.25 - 2.0**-20)
    w = draw((3,), "w", dtype)
    both = [lambda: ops.batch_norm_backward(dy, x, mean, var, w, eps=2.0**-20, fixed=fixed)] * 2
    for a, b in zip(both[0](), generic(both[1]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert answering.launched == ["gradient_sums", "sum_rows", "batch_norm_backward"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=shapes,
    dtype=dtypes,
    exact=st.booleans(),
    affine=st.sampled_from([(True, True), (True, False), (False, True), (False, False)]),
    fixed=st.booleans(),
    first=st.booleans(),
)
def test_rectified_it_has_the_bits_of_the_rectifier_behind_it(answering, shape, dtype, exact, affine, fixed, first):
    x, dy, c = laid(draw(shape, "x", dtype, 2.0, 30.0), first), laid(draw(shape, "dy", dtype), not first), shape[1]
    x[0, 0], x[1, c // 2], dy[1, 0] = np.inf, np.nan, np.inf
    statistics = "float64" if exact else dtype
    mean, var = draw((c,), "mean", statistics, 3.0, 30.0), np.exp(draw((c,), "var", statistics))
    w, b = (draw((2 * c,), name, dtype)[::2] if given else None for name, given in zip("wb", affine, strict=True))
    plain = ops.batch_norm(x, mean, var, w, b, eps=EPS)
    with np.errstate(invalid="ignore"):
        expected = generic(lambda: ops.relu(plain))
        behind = generic(lambda: ops.relu_backward(dy, expected))
    answering.launched.clear()
    found = ops.batch_norm(x, mean, var, w, b, eps=EPS, relu=True)
    assert answering.launched == ["normalize"]
    np.testing.assert_array_equal(found, expected)
    settings = {"eps": EPS, "fixed": fixed}
    expected = ops.batch_norm_backward(behind, x, mean, var, w, **settings)
    answering.launched.clear()
    found = ops.batch_norm_backward(dy, x, mean, var, w, b, **settings, relu=True)
    assert answering.launched[0] == "gradient_sums" and answering.launched[-1] == "batch_norm_backward"
    assert set(answering.launched) <= {"gradient_sums", "sum_rows", "batch_norm_backward"}
    for a, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, right)


def test_a_zero_lets_no_gradient_through(answering):
    x = np.full((5, 2), 3.0, "float32")
    dx, dw, db = ops.batch_norm_backward(x, x, x[0], x[1], x[2], fixed=True, relu=True)
    assert not dx.any() and not dw.any() and not db.any()


@pytest.mark.parametrize("dtype", ["float32", "longdouble"])
def test_without_a_kernel_rectified_means_one_after_the_other(dtype):
    x, dy = draw((6, 3, 4, 4), "x", dtype), draw((6, 3, 4, 4), "dy", dtype)
    mean, var, w, b = (draw((3,), name, dtype) ** 2 for name in ("mean", "var", "w", "b"))
    y = ops.relu(ops.batch_norm(x, mean, var, w, b))
    np.testing.assert_array_equal(ops.batch_norm(x, mean, var, w, b, relu=True), y)
    assert 0 < np.count_nonzero(y) < y.size
    expected = ops.batch_norm_backward(ops.relu_backward(dy, y), x, mean, var, w)
    for a, right in zip(ops.batch_norm_backward(dy, x, mean, var, w, b, relu=True), expected, strict=True):
        np.testing.assert_array_equal(a, right)


def test_sizes_that_do_not_fit_are_left_to_the_generic_body(answering):
    x, c = np.ones((4, 3), "float32"), np.ones(2, "float32")
    with pytest.raises(ValueError, match="broadcast"):
        ops.batch_norm_backward(x, x, c, c)
    with pytest.raises(ShapeError):
        ops.batch_norm(x, c, c)
    half = x.astype("longdouble")
    assert ops.batch_norm(half, half[0], half[0]).dtype == "longdouble"
    assert ops.batch_statistics(half)[0].dtype == "longdouble"
    assert not answering.launched


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(50_000, 1), (8, 3, 40, 40), (16, 64, 9, 9), (3, 70, 5)])
@pytest.mark.parametrize("fixed", [True, False])
def test_a_gpu_gives_the_same(space_of_cupy, shape, fixed):
    x, dy = draw(shape, "x", "float32", 2.0, 100.0), draw(shape, "dy", "float32")
    w, b = draw(shape[1:2], "w", "float32"), draw(shape[1:2], "b", "float32")
    statistics = generic(lambda: ops.batch_statistics(x, exact=True))
    y = generic(lambda: ops.batch_norm(x, *statistics, w, b))
    wide = [a.astype("float64") for a in (dy, x, *statistics, w)]
    grads = generic(lambda: ops.batch_norm_backward(*wide, fixed=fixed))

    there = [space_of_cupy.asarray(a) for a in (dy, x, *statistics, w, b)]
    for a, exact in zip(ops.batch_statistics(there[1], exact=True), exact_statistics(x), strict=True):
        np.testing.assert_allclose(to_numpy(a), exact.astype("float64"), rtol=1e-12)
    np.testing.assert_array_equal(to_numpy(ops.batch_norm(*there[1:])), y)
    runs = [ops.batch_norm_backward(*there[:5], fixed=fixed) for _ in range(2)]
    for a, again, right in zip(*runs, grads, strict=True):
        np.testing.assert_allclose(to_numpy(a), right, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(right).max()))
        np.testing.assert_array_equal(to_numpy(a), to_numpy(again))

    y = ops.relu(ops.batch_norm(*there[1:]))
    np.testing.assert_array_equal(to_numpy(ops.batch_norm(*there[1:], relu=True)), to_numpy(y))
    expected = ops.batch_norm_backward(ops.relu_backward(there[0], y), *there[1:5], fixed=fixed)
    for a, right in zip(ops.batch_norm_backward(*there, fixed=fixed, relu=True), expected, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(right))
