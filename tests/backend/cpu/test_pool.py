"""Max pooling in runs: the bits of the op, also where entries are equal, where windows overlap and where none is."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backend.cpu.compare import generic
from tests.backend.cpu.test_nodes import SHAPE, assert_bits, passes
from tests.backend.cpu.test_windows import numbers
from xpcnn import layers as L
from xpcnn.backend.cpu import MaxPool, MaxPoolPairs, Tile


@pytest.mark.parametrize("pool", [L.MaxPool2d(3, 2), L.MaxPool2d(3, 1), L.MaxPool2d((2, 3), 1)])
def test_windows_that_overlap_add_up(pool):
    x = numbers(SHAPE, "x")
    for (y, dx, _), (y2, dx2, _) in [(passes([pool], x), passes([pool], x, mode=generic))]:
        assert (y == y2).all()
        np.testing.assert_allclose(dx, dx2, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(("height", "width"), [(4, 5), (5, 4), (5, 5)])
@pytest.mark.parametrize("make", [MaxPoolPairs, partial(MaxPool, kernel=(2, 2), stride=(2, 2))])
def test_what_no_window_holds_gets_a_gradient_of_zero_whatever_stood_there(make, height, width):
    x = numbers((2, height, width, 3), "x")
    node = make((height, width, 3), dtype=x.dtype)
    (shape, dtype), y, dx = node.keeps(), np.empty((2, 2, 2, 3)), np.full_like(x, np.nan)
    kept = np.empty((2, *shape), dtype)
    node.forward(x, y, None, kept, Tile(0, True, None))
    node.backward(np.ones_like(y), dx, None, y, None, kept, [], 0)
    assert not dx[:, 4:].any() and not dx[:, :, 4:].any()
    assert dx.sum() == y.size


@given(st.integers(0, 2**16))
def test_pooling_of_few_different_numbers_finds_the_first(seed):
    """Ties everywhere."""
    x = np.floor(3.0 * numbers((6, 2, 6, 6), f"x{seed}", "float32")) / 2.0
    for layers in ([L.MaxPool2d(2)], [L.MaxPool2d(3)], [L.ReLU(), L.MaxPool2d(2)], [L.MaxPool2d(2), L.ReLU()]):
        assert_bits(layers, x)


def test_a_window_of_many_pixels_is_left_to_the_op():
    x = numbers((2, 1, 20, 20), "x")
    assert_bits([L.MaxPool2d(17)], x)  # 289 places do not fit a byte
    assert_bits([L.MaxPool2d((15, 17))], x)  # 255 do
