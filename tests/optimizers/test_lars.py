"""LARS takes steps of a size relative to the array, and none of its own choice where there is nothing to compare."""

import numpy as np
import pytest

from xpcnn.optimizers import LARS, SGD


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_step_is_a_part_of_the_size_of_the_weight(weight_decay):
    rng = np.random.Generator(np.random.Philox(1))
    p, g = rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    for size in (1e-4, 1.0, 1e4):
        params = {"w": p.copy()}
        LARS(lr=2.0, trust_coeff=0.01, weight_decay=weight_decay).update(params, {"w": size * g})
        step = np.linalg.norm(params["w"] - p) / np.linalg.norm(p)
        assert step <= 0.02 * (1 + 1e-6)
        assert step == pytest.approx(0.02, rel=1e-3 if weight_decay == 0.0 else 1.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_zero_weights_and_zero_gradients_are_left_to_sgd(dtype):
    for p, g in ((np.zeros((2, 2), dtype), np.ones((2, 2), dtype)), (np.ones((2, 2), dtype), np.zeros((2, 2), dtype))):
        ours, plain = {"w": p.copy()}, {"w": p.copy()}
        LARS(lr=0.5, weight_decay=0.1).update(ours, {"w": g})
        SGD(lr=0.5, momentum=0.9, weight_decay=0.1).update(plain, {"w": g})
        np.testing.assert_array_equal(ours["w"], plain["w"])
        assert np.isfinite(ours["w"]).all()


def test_biases_are_left_to_sgd_unless_asked_for():
    ours, plain, adapted = {"b": np.full(3, 2.0)}, {"b": np.full(3, 2.0)}, {"b": np.full(3, 2.0)}
    g = {"b": np.full(3, 5.0)}
    LARS(lr=0.1).update(ours, g)
    SGD(lr=0.1).update(plain, g)
    LARS(lr=0.1, adapt_bias_and_norm=True).update(adapted, g)
    np.testing.assert_array_equal(ours["b"], plain["b"])
    np.testing.assert_allclose(adapted["b"], 2.0 * (1.0 - 1e-4), rtol=1e-9)
