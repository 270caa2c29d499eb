"""Settings: what is taken, in which form it is kept, and what is refused."""

import math

import numpy as np
import pytest

from xpcnn import ReLU, Sequential
from xpcnn.errors import ConfigError
from xpcnn.settings import count, flag, like, number, readable, shape


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.float64(1), np.int8(1), np.uint64(1)])
def test_numbers_come_out_as_python_floats(value):
    kept = number("A", "b", value)
    assert type(kept) is float and kept == 1.0


@pytest.mark.parametrize(
    "value", [True, np.True_, "1", None, math.nan, math.inf, 10**400, 1j, np.ones(1), np.ones(2), [1.0]]
)
def test_no_numbers(value):
    with pytest.raises(ConfigError, match="A: expected b to be a finite number, got "):
        number("A", "b", value)


@pytest.mark.parametrize("check", [number, count, flag, shape])
def test_what_is_long_is_shown_in_one_short_line(check):
    with pytest.raises(ConfigError, match=r"got Sequential\( 0: .*\.\.\.$") as caught:
        check("A", "b", Sequential(*(ReLU() for _ in range(100))))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("limits", "value", "text"),
    [
        ({"above": 0}, 0, "> 0"),
        ({"least": 0}, -1, ">= 0"),
        ({"below": 1}, 1, "< 1"),
        ({"most": 1}, 2, "<= 1"),
        ({"least": 0, "most": 1}, -0.1, ">= 0 and <= 1"),
    ],
)
def test_limits_of_numbers(limits, value, text):
    with pytest.raises(ConfigError, match=f"expected b to be a finite number {text}, got {value}$"):
        number("A", "b", value, **limits)


@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2), np.asarray(2)])
def test_counts_come_out_as_python_integers(value):
    kept = count("A", "b", value)
    assert type(kept) is int and kept == 2


@pytest.mark.parametrize(
    "value", [0, -1, 2**63, True, np.True_, 2.0, np.float32(2), "2", None, np.ones(1, int), np.ones((2, 2), int)]
)
def test_no_counts(value):
    with pytest.raises(ConfigError, match="A: expected b to be an integer of at least 1, got "):
        count("A", "b", value)


def test_limits_of_counts():
    assert count("A", "b", -7, least=None) == -7 and count("A", "b", 0, least=0) == 0
    with pytest.raises(ConfigError, match="expected b to be an integer from 0 to 9, got 10"):
        count("A", "b", 10, 0, 9)
    with pytest.raises(ConfigError, match="expected b to be an integer, got 'x'"):
        count("A", "b", "x", least=None)


def test_flags_are_true_or_false_and_nothing_like_it():
    assert flag("A", "b", True) is True and flag("A", "b", np.False_) is False
    for value in (0, 1, "False", None, np.ones(2, bool)):
        with pytest.raises(ConfigError, match="A: expected b to be True or False, got "):
            flag("A", "b", value)


def test_an_object_is_called_by_its_class():
    with pytest.raises(ConfigError, match=r"^list: expected"):
        flag([], "b", 1)


def test_shapes_are_tuples_of_integers():
    assert shape("A", "b", np.asarray([1, 2])) == (1, 2) and shape("A", "b", ()) == ()
    for value in ("ab", "12", 4, None, (1, 2.5), (0, 1), (1, True)):
        with pytest.raises(ConfigError, match="A: expected b to be a tuple of integers of at least 1, got "):
            shape("A", "b", value)


def test_a_name_that_is_nearly_right_is_guessed():
    names = ["val_loss", "val_accuracy"]
    assert like("val_acc", names) == ": did you mean 'val_accuracy'?"
    assert like("Val_Loss", names) == ": did you mean 'val_loss'?"
    assert like("acc", ["loss", "accuracy"]) == ": did you mean 'accuracy'?"
    assert like("zebra", names) == like(3, names) == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (2**20 - 1, "1,024.0 KiB"),
        (2**20, "1.0 MiB"),
        (2**30 - 2**20, "1,023.0 MiB"),
        (2**30, "1.0 GiB"),
        (5 * 2**41, "10,240.0 GiB"),
    ],
)
def test_bytes_stand_in_the_unit_that_suits_them(size, text):
    assert readable(size) == text
