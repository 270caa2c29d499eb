"""Parameters and gradients for the tests of optimizers, and the way to other array libraries and back."""

import numpy as np
import pytest

from xpcnn.backend import to_numpy

SHAPES = {"0.weight": (3, 2, 2, 2), "0.bias": (3,), "1.weight": (2, 4)}
READS = ("__bool__", "__float__", "__int__", "__index__", "__complex__", "__array__", "__buffer__", "__iter__")


def example(dtype="float64", seed=0, shapes=SHAPES):
    rng = np.random.Generator(np.random.Philox(seed))
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def placed(place, arrays):
    return {name: place(x) for name, x in arrays.items()}


def hosted(arrays):
    return {name: np.array(to_numpy(x)) for name, x in arrays.items()}


def forbid_reading(monkeypatch, array):
    """From now on, arrays of this kind fail the test when a value of theirs is read."""

    def read(*_, **__):
        pytest.fail("a value was read back from the device")

    for method in READS:
        monkeypatch.setattr(type(array), method, read, raising=False)
