"""Adam's two moments, its bias correction in float32, and AdamW's decoupled decay."""

import numpy as np
import pytest

from xpcnn.optimizers import Adam, AdamW


def test_adam_moments_are_distinct():
    """deepnet appended one list for both moments, each overwrote the other: w = 0.9256 after these five steps."""
    params, opt = {"w": np.ones(1)}, Adam(lr=0.1)
    for _ in range(5):
        opt.update(params, {"w": 2.0 * params["w"]})
    assert params["w"][0] == pytest.approx(0.5080, abs=5e-5)
    m, v = opt.state["w"]["exp_avg"], opt.state["w"]["exp_avg_sq"]
    assert not np.shares_memory(m, v)
    assert m[0] != v[0]


def test_moments_are_the_running_means_of_gradient_and_square():
    params, opt = {"w": np.zeros(1)}, Adam(betas=(0.5, 0.75))
    for g in (4.0, -8.0):
        opt.update(params, {"w": np.full(1, g)})
    assert opt.state["w"]["exp_avg"][0] == 0.5 * 0.5 * 4.0 - 0.5 * 8.0
    assert opt.state["w"]["exp_avg_sq"][0] == 0.75 * 0.25 * 16.0 + 0.25 * 64.0
    assert float(opt.state["w"]["step"]) == 2.0


@pytest.mark.parametrize("rule", [Adam, AdamW])
def test_float32_steps_are_right_to_float32(rule):
    """1 - 0.999**t taken in float32 would be wrong in the fifth digit."""
    one = rule(lr=1.0, betas=(0.9, 0.9999), weight_decay=0.0)
    two = rule(lr=1.0, betas=(0.9, 0.9999), weight_decay=0.0)
    rng = np.random.Generator(np.random.Philox(0))
    single, double = {"w": np.zeros(50, dtype="float32")}, {"w": np.zeros(50)}
    for _ in range(3):
        g = rng.standard_normal(50).astype("float32")
        one.update(single, {"w": g})
        two.update(double, {"w": g.astype("float64")})
    np.testing.assert_allclose(single["w"], double["w"], rtol=0, atol=2e-6)


def test_adamw_decay_is_not_divided_by_the_gradients_size():
    for size in (1e-3, 1e3):
        decayed, plain = {"w": np.ones(1)}, {"w": np.ones(1)}
        AdamW(lr=0.1, weight_decay=0.5).update(decayed, {"w": np.full(1, size)})
        AdamW(lr=0.1, weight_decay=0.0).update(plain, {"w": np.full(1, size)})
        assert plain["w"][0] - decayed["w"][0] == pytest.approx(0.05, rel=1e-12)
