"""Which kernel answers, and what the variable that turns them off may hold."""

import pytest

from xpcnn.backend import generic_only, kernel
from xpcnn.errors import ConfigError


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_kernels_are_on(monkeypatch, value):
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    if value is not None:
        monkeypatch.setenv("XPCNN_KERNELS", value)
    assert not generic_only()
    assert kernel("run", "numpy") is not None


def test_generic_turns_them_off(monkeypatch):
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    assert generic_only()
    assert kernel("run", "numpy") is None


@pytest.mark.parametrize("value", ["foo", "Generic", "0", " "])
@pytest.mark.parametrize("ask", [generic_only, lambda: kernel("run", "numpy"), lambda: kernel("no_such_op", "cupy")])
def test_any_other_value_is_refused(monkeypatch, value, ask):
    monkeypatch.setenv("XPCNN_KERNELS", value)
    with pytest.raises(ConfigError, match=f"^XPCNN_KERNELS: expected 'generic' or nothing, got '{value}': ") as caught:
        ask()
    assert "no accelerated kernels" in str(caught.value)
