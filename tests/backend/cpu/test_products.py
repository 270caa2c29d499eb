"""Products of matrices of small whole numbers, which are exact in any order of adding."""

import numpy as np
import pytest

from xpcnn.backend.cpu import matmul, products


@pytest.fixture
def parts(monkeypatch):
    """Numbers of parts, of products that are all worth several threads."""
    seen, spread = [], products.spread

    def counted(work, number):
        seen.append(number)
        spread(work, number)

    monkeypatch.setattr(products, "SMALL", 0)
    monkeypatch.setattr(products, "spread", counted)
    return seen


def whole(shape, seed, dtype):
    return np.random.Generator(np.random.Philox(seed)).integers(-9, 10, shape).astype(dtype)


@pytest.mark.parametrize("given", [False, True], ids=["new", "into"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "n"), [(70, 5), (333, 40), (5, 70), (40, 333), (1, 1001), (97, 97)])
def test_every_row_and_column_is_computed(parts, m, n, dtype, given):
    a, b = whole((m, 7), 0, dtype), whole((n, 7), 1, dtype).T
    out = np.full((m, n), np.nan, dtype) if given else None
    found = matmul(a, b, out)
    assert found.dtype == dtype and (found is out or not given)
    np.testing.assert_array_equal(found, a.astype(int) @ b.astype(int))
    assert parts == [min(8, max(m, n) // 32)]


def test_small_products_are_not_cut(parts, monkeypatch):
    monkeypatch.setattr(products, "SMALL", 1 << 22)
    a, b = whole((100, 20), 0, "float64"), whole((20, 100), 1, "float64")
    np.testing.assert_array_equal(matmul(a, b), a.astype(int) @ b.astype(int))
    assert parts == []
