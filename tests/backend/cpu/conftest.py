"""These tests are about the accelerated kernels, so they are on even where all others are tested without them."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def accelerated():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XPCNN_KERNELS", raising=False)
        yield
