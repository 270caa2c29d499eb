"""Arrays that differ in anything are not taken for close."""

import numpy as np
import pytest

from xpcnn.testing import assert_close


def test_assert_close_looks_at_everything(space, strict):
    x = space.asarray([1.0, np.nan, np.inf])
    assert_close(x, space.asarray([1.0 + 1e-9, np.nan, np.inf]))
    wrong = {
        "library": np.asarray([1.0, np.nan, np.inf]) if space.xp is not np else strict.asarray([1.0, np.nan, np.inf]),
        "dtype": space.asarray([1.0, np.nan, np.inf], "float32"),
        "shape": space.asarray([1.0, np.nan]),
        "1 of 3": space.asarray([1.0 + 1e-6, np.nan, np.inf]),
        "2 of 3": space.asarray([1.0, 0.0, -np.inf]),
    }
    for text, y in wrong.items():
        with pytest.raises(AssertionError, match=text):
            assert_close(x, y)
    with pytest.raises(AssertionError, match=r"expected arrays, got builtins.list"):
        assert_close(x, [1.0])
    if space.name == "strict":
        with pytest.raises(AssertionError, match="expected device"):
            assert_close(x, x.to_device(space.xp.Device("CPU_DEVICE")))


def test_assert_close_of_numbers_that_are_not_floats(space):
    assert_close(space.asarray([1, 2]), space.asarray([1, 2]))
    assert_close(space.asarray([True]), space.asarray([True]))
    with pytest.raises(AssertionError, match="1 of 2 entries"):
        assert_close(space.asarray([1, 2]), space.asarray([1, 3]))
    with pytest.raises(AssertionError, match="1 of 1 entries"):
        assert_close(space.asarray([True]), space.asarray([False]))
    assert_close(space.asarray(1.0), space.asarray(1.5), rtol=0.0, atol=0.5)
