"""These tests are about the accelerated kernels."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def _on(accelerated):
    yield
