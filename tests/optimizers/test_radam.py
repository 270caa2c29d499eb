"""RAdam divides from the step on from which it can, and is right in float32, where rho is a small difference."""

import numpy as np
import pytest

from xpcnn.optimizers import RAdam


def test_steps_are_those_of_momentum_until_rho_exceeds_five():
    """For beta2 = 0.999 from the sixth step on; before, a gradient twice as large gives a step twice as large."""
    one, two = {"w": np.zeros(1)}, {"w": np.zeros(1)}
    a, b = RAdam(lr=0.1), RAdam(lr=0.1)
    ratios = []
    for _ in range(8):
        before = one["w"].copy(), two["w"].copy()
        a.update(one, {"w": np.full(1, 3.0)})
        b.update(two, {"w": np.full(1, 6.0)})
        ratios.append(float(((two["w"] - before[1]) / (one["w"] - before[0]))[0]))
    np.testing.assert_allclose(ratios[:5], 2.0, rtol=1e-12)
    np.testing.assert_allclose(ratios[5:], 1.0, rtol=1e-7)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.9999)])
def test_float32_steps_are_right_to_float32(betas):
    """rho of the sixth step is 5.97, from numbers of 2000 and 20000: float32 would leave three digits of it."""
    single, double = {"w": np.zeros(50, dtype="float32")}, {"w": np.zeros(50)}
    one, two = RAdam(lr=1.0, betas=betas), RAdam(lr=1.0, betas=betas)
    rng = np.random.Generator(np.random.Philox(0))
    for _ in range(12):
        g = (1.0 + rng.random(50)).astype("float32")  # of one sign: nothing cancels
        single["w"][...] = double["w"][...] = 0.0  # so that what is left is the step alone
        one.update(single, {"w": g})
        two.update(double, {"w": g.astype("float64")})
        np.testing.assert_allclose(single["w"], double["w"], rtol=4e-6)
