"""Local response normalization against loops over single numbers."""

import numpy as np
import pytest

from xpcnn.backend import Key, normal, to_numpy
from xpcnn.ops import local_response_norm, local_response_norm_backward


def slow(x, size, alpha, beta, k):
    y = np.empty_like(x)
    for n, c, p in np.ndindex(*x.shape):
        window = [j for j in range(c - size // 2, c + (size - 1) // 2 + 1) if 0 <= j < x.shape[1]]
        y[n, c, p] = x[n, c, p] / (k + alpha / size * sum(x[n, j, p] ** 2 for j in window)) ** beta
    return y


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 12])
def test_it_is_the_formula(size, space):
    x = normal((2, 5, 3), Key(size)) * 2.0
    y, _ = local_response_norm(space.asarray(x), size, 0.3, 0.6, 1.5)
    np.testing.assert_allclose(to_numpy(y), slow(x, size, 0.3, 0.6, 1.5), rtol=1e-13)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 12])
def test_gradient_by_differences_of_the_loops(size):
    """An even window reaches further back than forth; its adjoint the other way round."""
    x, dy = normal((1, 4, 2), Key(size)), normal((1, 4, 2), Key(size, "dy"))
    args = (size, 0.5, 0.75, 1.0)
    dx = local_response_norm_backward(dy, x, local_response_norm(x, *args)[1], *args[:3])
    for index in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-6
        difference = ((slow(x + step, *args) - slow(x - step, *args)) * dy).sum() / 2e-6
        assert dx[index] == pytest.approx(difference, abs=1e-8)


def test_alpha_of_zero_divides_by_a_power_of_k(space):
    y = local_response_norm(space.asarray([[[8.0], [4.0]]]), 5, 0.0, 2.0, 2.0)[0]
    assert to_numpy(y).tolist() == [[[2.0], [1.0]]]
