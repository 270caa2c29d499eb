"""Adjoints are told apart from what is nearly one."""

from tests.testing.helpers import Affine
from xpcnn.backend import Key, normal
from xpcnn.testing import check_gradients
from xpcnn.testing.adjoint import adjoint_error


def test_an_adjoint_that_is_off_by_a_billionth_is_found():
    class Off(Affine):
        def backward(self, dy, cache):
            dx, grads = super().backward(dy, cache)
            return dx * (1.0 + 1e-9), grads

    x = normal((2, 4), Key(0))
    check_gradients(Off(), x)
    assert adjoint_error(Affine(), x, Key(0)) < 1e-15, "whatever the bias"
    assert adjoint_error(Off(), x, Key(0)) > 1e-11
