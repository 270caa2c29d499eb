"""SGD with momentum against the textbook's recursion, on f(w) = w**2, where deepnet's went wrong."""

import numpy as np
import pytest

from xpcnn.optimizers import SGD


def run(optimizer, steps=5, start=1.0):
    """Points at which f(w) = w**2 was differentiated, and where it ended."""
    params, points = {"w": np.full((1,), start)}, []
    for _ in range(steps):
        points.append(float(params["w"][0]))
        optimizer.update(params, {"w": 2.0 * params["w"]})
    return points, float(params["w"][0])


def test_nesterov_really_looks_ahead():
    """
    Sutskever's own recursion: gradient at w + m v, then v and w.

    deepnet stepped ahead, took the gradient there and never stepped back, so that the momentum cancelled: 0.072678
    after these five steps.
    """
    lr, m, w, v, ahead = 0.1, 0.9, 1.0, 0.0, []
    for _ in range(5):
        ahead.append(w + m * v)
        v = m * v - lr * 2.0 * ahead[-1]
        w = w + v
    points, end = run(SGD(lr=lr, momentum=m, nesterov=True))
    np.testing.assert_allclose(points, ahead, rtol=1e-14)
    assert end == pytest.approx(w + m * v, rel=1e-14)
    assert abs(end - 0.072678) > 0.1


def test_momentum_sums_gradients():
    lr, m, w, v = 0.1, 0.9, 1.0, 0.0
    for _ in range(5):
        v = m * v - lr * 2.0 * w
        w = w + v
    _, end = run(SGD(lr=lr, momentum=m))
    assert end == pytest.approx(w, rel=1e-14)
    assert end == pytest.approx(-0.580, abs=5e-4)


def test_plain_sgd_keeps_no_state():
    opt = SGD(lr=0.1)
    assert run(opt)[1] == pytest.approx(0.8**5, rel=1e-14)
    assert not any(opt.state.values())


def test_first_step_is_not_dampened():
    assert run(SGD(lr=0.1, momentum=0.9, dampening=0.5), steps=1)[1] == pytest.approx(0.8, rel=1e-15)
