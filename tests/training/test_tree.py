"""Nested state as JSON and arrays, and back."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpcnn.errors import CheckpointError, ConfigError
from xpcnn.training.tree import as_it_lay, layout, pack, unpack

plain = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text()
names = st.text(max_size=8).filter(lambda name: not name.startswith("$"))
trees = st.recursive(plain, lambda inside: st.lists(inside, max_size=3) | st.dictionaries(names, inside, max_size=3))


def alike(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(alike, a, b))
    return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)))


@given(trees)
def test_what_json_can_hold_and_numbers_that_it_cannot_come_back(tree):
    arrays = {}
    text = json.dumps(pack(tree, "state", arrays), allow_nan=False)
    assert alike(unpack(json.loads(text), {}), tree)
    assert not arrays


@given(st.permutations(range(4)), st.sampled_from(["float32", "float64", "int64", "bool"]), st.booleans())
def test_arrays_come_back_as_they_lay_in_memory(axes, dtype, empty):
    a = np.arange(120).reshape(2, 3, 4, 5).astype(dtype)[: 0 if empty else None].transpose(axes)
    arrays = {}
    state = json.loads(json.dumps(pack({"deep": [a, 1]}, "callbacks/0", arrays)))
    assert list(arrays) == ["callbacks/0/deep/0"]
    written = {name: np.ascontiguousarray(one) for name, one in arrays.items()}
    back, one = unpack(state, written)["deep"]
    assert one == 1 and back.dtype == a.dtype and np.array_equal(back, a)
    assert empty or layout(back) == layout(a)


def test_layouts():
    a = np.zeros((2, 3, 4))
    assert layout(a) == [0, 1, 2]
    assert layout(a.T) == [2, 1, 0]
    assert layout(np.asfortranarray(a)) == [2, 1, 0]
    assert layout(np.zeros(())) == []
    for axes in ([0], [0, 0, 1], [0, 1, 5]):
        with pytest.raises((ValueError, IndexError)):
            as_it_lay(a, axes)


def test_numpys_numbers_are_numbers_and_tuples_come_back_as_lists():
    packed = pack({"a": (np.int64(3), np.float32(0.5)), "b": Fraction(1, 4)}, "", {})
    assert json.loads(json.dumps(packed)) == {"a": [3, 0.5], "b": 0.25}
    assert unpack(pack({"x": np.float64("nan")}, "", {}), {})["x"] != 0


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"bytes", {1: 2}, {"$array": "a"}, {"$number": "inf"}, 1j, print, [{"a": [open]}]]
)
def test_what_cannot_be_written_is_refused_with_its_place(value):
    with pytest.raises(ConfigError, match=r"^callbacks/3.*expected a state of dicts with names"):
        pack(value, "callbacks/3", {})


def test_arrays_that_are_not_there_are_refused():
    with pytest.raises(CheckpointError, match="names an array 'b' that is not in the file"):
        unpack({"a": [{"$array": "b"}]}, {"a": np.zeros(3)})
