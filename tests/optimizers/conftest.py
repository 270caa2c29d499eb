"""Array libraries for the tests of optimizers."""

import numpy as np
import pytest


@pytest.fixture(params=["numpy", "array_api_strict", "torch"])
def place(request):
    """A function that puts a NumPy array where the namespace keeps its own."""
    if request.param == "numpy":
        yield lambda x: np.array(x)
        return
    library = pytest.importorskip(request.param)
    if request.param == "torch":
        yield lambda x: library.asarray(x, copy=True)
        return
    with library.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
        yield lambda x: library.asarray(x, device=library.Device("device1"), copy=True)
