"""Windows against loops, their adjoint against the identity that defines it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import reference
from xpcnn.backend import Key, library, normal, to_numpy
from xpcnn.backend.registry import kernel
from xpcnn.ops import windows, windows_adjoint
from xpcnn.ops.windows import crop, pad

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@pytest.mark.parametrize("kernels", ["", "generic"])
def test_windows_and_adjoint(space, kernels, monkeypatch):
    monkeypatch.setenv("XPCNN_KERNELS", kernels)

    @settings(max_examples=30 if space.name == "numpy" else 8)
    @given(pairs, pairs, pairs, st.integers(0, 3), st.integers(0, 3), st.integers(0, 99))
    def check(size, stride, dilation, h, w, seed):
        shape = (2, dilation[0] * (size[0] - 1) + 1 + h, dilation[1] * (size[1] - 1) + 1 + w, 2)
        x = normal(shape, Key(seed))
        cut = windows(space.asarray(x), size, stride, dilation)
        assert space.device.owns(cut)
        expected = reference.windows(x, size, stride, dilation)
        assert np.array_equal(to_numpy(cut), expected)
        v = normal(expected.shape, Key(seed, "v"))
        taps = (space.asarray(v[:, :, :, i, j, :]) for i in range(size[0]) for j in range(size[1]))
        back = to_numpy(windows_adjoint(taps, size, shape[1:3], stride, dilation))
        assert abs((expected * v).sum() - (x * back).sum()) <= 1e-12 * (1.0 + np.abs(expected * v).sum())

    check()


def test_numpy_windows_are_a_view_that_cannot_be_written(monkeypatch):
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    x = np.zeros((1, 5, 5, 1))
    v = windows(x, (2, 2), (1, 1), (1, 1))
    assert np.shares_memory(x, v)
    assert not v.flags.writeable


def test_generic_switch_turns_kernels_off(monkeypatch):
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    assert kernel("windows", library(np.ones(1))) is not None
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    assert kernel("windows", "numpy") is None


def test_pad_and_crop_are_adjoint(space):
    x, border = normal((2, 3, 4, 5), Key(0)), (1, 0, 2, 3)
    padded = pad(space.asarray(x), border, -7.0)
    assert np.array_equal(to_numpy(padded), np.pad(x, ((0, 0), (0, 0), (1, 0), (2, 3)), constant_values=-7.0))
    assert np.array_equal(to_numpy(crop(padded, border)), x)
