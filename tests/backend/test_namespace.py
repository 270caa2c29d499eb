"""Which library an array belongs to, and what is no array."""

import numpy as np
import pytest

from xpcnn.backend import Key, array_namespace, device_like, device_of, is_array, is_host, library, to_numpy
from xpcnn.errors import NamespaceError


def test_arrays_of_every_library(space):
    x = space.asarray([1.0, 2.0])
    assert is_array(x) and is_host(x) == (space.name != "cupy")
    assert array_namespace(x) is array_namespace(x, x) is space.xp
    assert device_like(x) == space.device
    assert device_of(x) == space.device.native
    assert to_numpy(x).tolist() == [1.0, 2.0]
    assert type(to_numpy(x)) is np.ndarray


def test_numpy_is_plain_numpy():
    assert array_namespace(np.ones(1)) is np
    assert library(np.ones(1)) == "numpy"


def test_moving_casts_and_copies_where_it_must(space):
    host = np.asarray([1.0, 2.0])
    moved = space.device.asarray(host, "float32")
    assert str(to_numpy(moved).dtype) == "float32" and space.device.owns(moved)
    assert space.device.asarray(moved) is moved
    host.flags.writeable = False
    writable = space.device.asarray(host.astype("float64"))
    writable[0] = 5.0
    assert to_numpy(writable)[0] == 5.0


@pytest.mark.parametrize(
    "thing",
    [[1.0], (1.0,), 1.0, 1, None, "x", np.float64(1.0), np.ma.zeros(2), object(), memoryview(b"x"), Key(0)],
    ids=lambda t: type(t).__name__,
)
def test_things_that_are_no_arrays(thing):
    assert not is_array(thing)
    with pytest.raises(NamespaceError, match="expected an array, got"):
        array_namespace(thing)
    with pytest.raises(NamespaceError, match="expected an array, got"):
        array_namespace(np.ones(1), thing)


def test_mixed_libraries_raise(strict):
    a, b = np.ones(1), strict.asarray([1.0])
    for pair in ((a, b), (b, a)):
        with pytest.raises(NamespaceError, match="one library, got array_api_strict and numpy") as caught:
            array_namespace(*pair)
        assert isinstance(caught.value, TypeError)


def test_strict_is_really_strict(strict):
    """The namespace that stands for a GPU refuses what a GPU cannot do."""
    x = strict.asarray([1.0, 2.0])
    with pytest.raises(RuntimeError, match="boolean"):
        x[x > 1.0]
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        np.asarray(x)
    with pytest.raises((TypeError, ValueError)):
        x + strict.xp.asarray([1.0, 2.0])  # on another device
