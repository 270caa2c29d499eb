"""
Values and slopes at confident scores, digit by digit, against 120 and more digits of Python's decimal numbers.

There slopes are differences of values, so that nothing of the derivations is shared.
"""

from decimal import Decimal, localcontext

import numpy as np
import pytest

from xpcnn import ops
from xpcnn.backend import to_numpy

ONE = Decimal(1)
SCORES = [0.0, 1e-9, 0.3, 2.5, 20.0, 37.0, 80.0, 500.0]
SIGNED = sorted({s * x for s in (-1.0, 1.0) for x in SCORES})


def value_and_slope(function, x):
    """A function of a decimal number, and its central difference, each as a float."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 120 + int(abs(x)), -(10**6), 10**6
        x, h = Decimal(x), Decimal(10) ** -(context.prec // 3)
        return float(function(x)), float((function(x + h) - function(x - h)) / (2 * h))


def probability(x):
    return ONE / (ONE + (-x).exp())


def sigmoid_focal(x, yes, alpha, gamma):
    p = probability(x if yes else -x)
    weight = ONE if alpha is None else Decimal(alpha if yes else 1.0 - alpha)
    power = ONE if gamma == 0 else (ONE - p) ** Decimal(gamma)
    return -weight * power * p.ln()


def compare(value, slope, expected):
    assert float(value) == pytest.approx(expected[0], rel=1e-13, abs=1e-300)
    assert slope.item() == pytest.approx(expected[1], rel=1e-13, abs=1e-300)


@pytest.mark.parametrize("x", SIGNED)
@pytest.mark.parametrize("yes", [True, False])
def test_binary_losses_of_confident_scores_keep_their_digits(x, yes):
    score, target = np.asarray([x]), np.asarray([float(yes)])
    compare(*ops.bce_with_logits(score, target, reduction="sum"),
            value_and_slope(lambda x: sigmoid_focal(x, yes, None, 0), x))  # fmt: skip
    for alpha, gamma in ((None, 0.5), (0.25, 1.0), (0.25, 2.0), (None, 5.0)):
        expected = value_and_slope(lambda x, a=alpha, g=gamma: sigmoid_focal(x, yes, a, g), x)
        compare(*ops.sigmoid_focal(score, target, alpha, gamma, "sum"), expected)


@pytest.mark.parametrize("x", SIGNED)
def test_softmax_losses_of_confident_scores_keep_their_digits(x):
    """Of two classes with the scores x and 0 the first has the sigmoid of x."""
    for gamma in (0.0, 0.5, 1.0, 2.0, 5.0):
        value, slope = ops.focal(np.asarray([[x, 0.0]]), np.asarray([0]), gamma=gamma)
        compare(value, slope[0, 0], value_and_slope(lambda x, g=gamma: sigmoid_focal(x, True, None, g), x))
        assert slope[0, 1] == pytest.approx(-slope[0, 0], rel=1e-14)


def test_at_1e4_only_what_is_wrong_counts(space):
    z = space.asarray([[1e4, -1e4], [-1e4, 1e4]])
    one = space.asarray([[1.0, 1.0], [1.0, 1.0]])
    for value, slope in (
        ops.bce_with_logits(z, one, reduction="none"),
        ops.sigmoid_focal(z, one, alpha=None, gamma=0.5, reduction="none"),
    ):
        assert to_numpy(value).tolist() == [[0.0, 1e4], [1e4, 0.0]]
        assert to_numpy(slope).tolist() == [[0.0, -1.0], [-1.0, 0.0]]
    value, slope = ops.focal(z, space.asarray([1, 1]), gamma=0.5, reduction="none")
    assert to_numpy(value).tolist() == [2e4, 0.0]
    assert to_numpy(slope).tolist() == [[1.0, -1.0], [0.0, 0.0]]
    value, slope = ops.nll(space.asarray([[0.0, -2e4]]), space.asarray([1]))
    assert float(value) == 2e4 and to_numpy(slope).tolist() == [[0.0, -1.0]]


def test_a_masked_label_is_an_infinite_loss_with_a_slope(space):
    value, slope = ops.focal(space.asarray([[0.0, -np.inf]]), space.asarray([1]))
    assert float(value) == np.inf and to_numpy(slope).tolist() == [[1.0, -1.0]]


def test_gamma_of_zero_is_cross_entropy(space):
    z, t = np.linspace(-3.0, 3.0, 12).reshape(4, 3), np.asarray([0, 2, 1, -100])
    here = space.asarray(z), space.asarray(t)
    for ours, theirs in zip(ops.focal(*here, gamma=0.0), ops.softmax_cross_entropy(*here), strict=True):
        np.testing.assert_allclose(to_numpy(ours), to_numpy(theirs), rtol=1e-13, atol=1e-15)
    yes = space.asarray(np.where(z > 0.5, 1.0, 0.0))
    for ours, theirs in zip(ops.sigmoid_focal(here[0], yes, None, 0.0), ops.bce_with_logits(here[0], yes), strict=True):
        np.testing.assert_allclose(to_numpy(ours), to_numpy(theirs), rtol=1e-13)


def test_huge_errors_do_not_overflow_where_the_loss_is_linear(space):
    x = space.asarray([3e38, -3e38], "float32")
    zero = space.asarray([0.0, 0.0], "float32")
    for value, slope in (ops.huber(x, zero, "none"), ops.smooth_l1(x, zero, "none"), ops.l1(x, zero, "none")):
        np.testing.assert_allclose(to_numpy(value), [3e38, 3e38], rtol=1e-6)
        assert to_numpy(slope).tolist() == [1.0, -1.0]


def test_no_error_has_no_slope(space):
    x = space.asarray([0.5])
    for loss in (ops.l1, ops.huber, ops.mse, lambda x, t: ops.smooth_l1(x, t, beta=0.0)):
        value, slope = loss(x, x)
        assert float(value) == 0.0 and to_numpy(slope).tolist() == [0.0]
