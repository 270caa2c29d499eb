"""Sums of rows: right for every count, and in float32 as good as the numbers allow."""

import numpy as np
import pytest

from xpcnn.backend import Key, normal, to_numpy
from xpcnn.ops.sums import from_rows, sum_rows, sum_rows_in_float64, to_rows

# below a block, one block and a part, the last count that is added at once, the first that is not, several levels
COUNTS = [1, 2, 31, 33, 256, 257, 288, 300, 1023, 10_000]


@pytest.mark.parametrize("count", COUNTS)
def test_sums_are_exact_for_whole_numbers(count, space):
    rows = np.arange(3.0 * count).reshape(count, 3) % 101.0
    total = sum_rows(space.asarray(rows, "float32"), 0.5)
    assert str(to_numpy(total).dtype) == "float32"
    assert to_numpy(total).tolist() == (0.5 * rows.sum(axis=0)).tolist()


@pytest.mark.parametrize("columns", [1, 3, 1000, 1025])
@pytest.mark.parametrize("count", [1, 2, 341, 342, 1023, 1100])
def test_what_cancels_in_float32_is_left_in_float64(count, columns, space):
    """Whole numbers, between two that take all digits of float32 and cancel."""
    rows = np.arange(float(count * columns)).reshape(count, columns) % 101.0
    large = np.full((1, columns), 1e9)
    total = sum_rows_in_float64(space.asarray(np.concatenate([large, rows, -large]), "float32"))
    assert to_numpy(total).tolist() == rows.sum(axis=0).tolist()


@pytest.mark.parametrize("columns", [1, 2, 40])
def test_a_million_numbers_keep_their_digits(columns, cpu):
    rows = normal((1_000_000 // columns, columns), Key(0)).astype("float32") + np.float32(3.0)
    exact = rows.astype("float64").sum(axis=0)
    np.testing.assert_allclose(sum_rows(rows), exact, rtol=3e-7)


def test_rows_are_pixels_and_come_back(space):
    x = space.asarray(normal((2, 3, 4, 5), Key(1)))
    rows = to_rows(x)
    assert to_numpy(rows)[0].tolist() == to_numpy(x)[0, :, 0, 0].tolist()
    assert np.array_equal(to_numpy(from_rows(rows, (2, 3, 4, 5))), to_numpy(x))
