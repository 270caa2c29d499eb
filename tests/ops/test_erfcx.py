"""The scaled complementary error function, against 40 digits, identities, and the libraries that have it."""

import math

import numpy as np
import pytest

from xpcnn.backend import kernel, to_numpy
from xpcnn.ops import erfcx

# mpmath 1.3, 60 digits: exp(x^2) erfc(x) of the double nearest to x
EXACT = {
    0.0: 1.0,
    1e-300: 1.0,
    1e-9: 0.9999999988716208339,
    0.001: 0.9988726200811514086,
    0.125: 0.8732218450821508096,
    0.5: 0.61569034419292587487,
    1.0: 0.42758357615580700441,
    2.5: 0.21080636406114358065,
    3.75: 0.14558972127503853905,
    6.0: 0.092776567800538354389,
    10.0: 0.056140992743822585858,
    25.0: 0.022549572432641358944,
    40.0: 0.014100335983377813625,
}


@pytest.fixture
def generic(monkeypatch):
    monkeypatch.setenv("XPCNN_KERNELS", "generic")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_exact_values_to_one_and_a_half_epsilon(dtype, space, generic):
    exact = {x: y for x, y in EXACT.items() if np.asarray(x, dtype) == x or x > 1.0 or dtype == "float64"}
    y = erfcx(space.asarray(list(exact), dtype))
    assert str(to_numpy(y).dtype) == dtype
    np.testing.assert_allclose(to_numpy(y), list(exact.values()), rtol=1.5 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_all_of_the_range_against_the_standard_librarys_erfc(dtype, generic):
    """Where exp(x^2) enlarges rounding errors little: from 0 to 5, to (1 + x^2) times a few epsilon."""
    x = np.linspace(0.0, 5.0, 2001).astype(dtype).astype("float64")
    exact = np.asarray([math.erfc(v) * math.exp(v * v) for v in x])
    error = np.abs(erfcx(x.astype(dtype)) / exact - 1.0)
    assert (error <= 1.5 * np.finfo(dtype).eps + 2.0 * (1.0 + x * x) * 2.0**-52).all()


def test_far_out_it_is_the_asymptotic_series(space, generic):
    x = np.asarray([1e4, 1e8, 1e100, 1e150])
    exact = (1.0 - 0.5 / (x * x)) / (x * math.sqrt(math.pi))
    np.testing.assert_allclose(to_numpy(erfcx(space.asarray(x))), exact, rtol=4e-16)


def test_infinity_gives_zero_and_nan_nan(space, generic):
    assert to_numpy(erfcx(space.asarray([np.inf, np.nan]))).tolist() == pytest.approx([0.0, np.nan], nan_ok=True)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_library_that_has_it_says_the_same(dtype, space, monkeypatch):
    x = space.asarray(np.concatenate([np.linspace(0.0, 30.0, 500), 10.0 ** np.arange(-30.0, 30.0)]), dtype)
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    fast = to_numpy(erfcx(x))
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    np.testing.assert_allclose(fast, to_numpy(erfcx(x)), rtol=10.0 * np.finfo(dtype).eps)


def test_torch_and_cupy_answer_with_their_own(monkeypatch):
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    assert kernel("erfcx", "torch") and kernel("erfcx", "cupy")
    assert kernel("erfcx", "numpy") is None
