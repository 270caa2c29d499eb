"""Softmax where scores are large."""

import numpy as np
import pytest

from xpcnn import ops
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import ShapeError


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4, 1e300])
def test_a_shift_changes_nothing(space, shift):
    z = np.asarray([[0.0, 1.0, -3.0]])
    for op in (ops.softmax, ops.log_softmax):
        expected = to_numpy(op(space.asarray(z)))
        if abs(shift) < 1e15:
            np.testing.assert_allclose(to_numpy(op(space.asarray(z + shift))), expected, rtol=1e-11)
        assert np.isfinite(to_numpy(op(space.asarray(z + shift)))).all()


def test_probabilities_sum_to_one(space):
    y = to_numpy(ops.softmax(space.asarray(normal((4, 5, 2), Key(0)) * 100.0), 1))
    np.testing.assert_allclose(y.sum(axis=1), 1.0, rtol=1e-14)


def test_small_differences_at_large_scores_keep_their_digits(space):
    z = np.asarray([[1e4, 1e4 - 30.0]], dtype="float32")
    y = to_numpy(ops.log_softmax(space.asarray(z)))
    assert y[0, 1] == np.float32(-30.0)
    assert abs(y[0, 0]) < 1e-12
    even = to_numpy(ops.log_softmax(space.asarray(np.full((1, 2), 1e4, dtype="float32"))))
    np.testing.assert_allclose(even, -np.log(2.0), rtol=2e-7)


def test_an_axis_that_is_not_there_raises(space):
    with pytest.raises(ShapeError, match="an axis 3"):
        ops.softmax(space.asarray(np.zeros((2, 2))), 3)
