"""Sums in parts have the bits of NumPy's own, and everything that does not fit is NumPy's."""

import numpy as np
import pytest

from tests.backend.cpu.test_windows import numbers
from xpcnn.backend.cpu import add, elementwise

SHAPE = (7, 3, 5, 4)
CASES = {
    "two alike": (SHAPE, SHAPE, "float64"),
    "one of float32": (SHAPE, SHAPE, "float32"),
    "a number for each channel": (SHAPE, (1, 3, 1, 1), "float64"),
    "stretched to the larger": (SHAPE[1:], SHAPE, "float64"),
    "rows": ((70, 6), (70, 6), "float64"),
    "one sample": ((1, 3, 20, 7), (1, 3, 20, 7), "float64"),
}


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1)], ids=["channels first", "channels last"])
@pytest.mark.parametrize("name", CASES)
def test_sums_are_those_of_numpy(name, order, monkeypatch):
    monkeypatch.setattr(elementwise, "PART", 100)  # five parts of seven samples
    one, other, dtype = CASES[name]
    a, b = numbers(one, "a", dtype), numbers(other, "b", "float64" if name == "one of float32" else dtype)
    if a.ndim == 4:
        a = np.ascontiguousarray(a.transpose(order)).transpose(np.argsort(order))
    before = a.copy(), b.copy()
    found, expected = add(a, b), a + b
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)
    assert (a == before[0]).all() and (b == before[1]).all()


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("few", [0, 100], ids=["several threads", "this thread"])
def test_lanes_are_added_to_the_first_in_their_order(lanes, few, monkeypatch):
    monkeypatch.setattr(elementwise, "PART", 100)
    monkeypatch.setattr(elementwise, "FEW", few)
    arrays = [[numbers(shape, f"{lane}", dtype) for shape, dtype in (((3, 4, 30), "float32"), ((7,), "float64"))]
              for lane in range(lanes)]
    expected = [sum(same[1:], start=same[0]) for same in zip(*arrays, strict=True)]
    others = [a.copy() for lane in arrays[1:] for a in lane]
    elementwise.add_up(arrays)
    for a, b in zip(arrays[0], expected, strict=True):
        assert a.tobytes() == b.tobytes()
    assert all((a == b).all() for a, b in zip(others, [a for lane in arrays[1:] for a in lane], strict=True))
