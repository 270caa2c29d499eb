"""Adagrad: state of its own for every parameter, and steps that shrink as they should."""

import numpy as np

from xpcnn.optimizers import Adagrad


def test_constant_gradients_give_steps_of_one_over_root_t():
    params, opt, path = {"w": np.zeros(1)}, Adagrad(lr=1.0), [0.0]
    for _ in range(4):
        opt.update(params, {"w": np.full(1, -5.0)})
        path.append(float(params["w"][0]))
    np.testing.assert_allclose(np.diff(path), [1.0, 2**-0.5, 3**-0.5, 0.5], rtol=1e-10)


def test_initial_accumulator_slows_the_first_step():
    params = {"w": np.zeros(2, dtype="float32")}
    Adagrad(lr=1.0, initial_accumulator_value=16.0).update(params, {"w": np.full(2, -3.0, dtype="float32")})
    np.testing.assert_allclose(params["w"], 0.6, rtol=1e-6)
    assert params["w"].dtype == np.float32
