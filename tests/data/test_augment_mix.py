"""Mixup and cutmix: how shares are distributed, pairs that only the set of samples decides, labels that sum to 1."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.namespaces import bits
from xpcnn.backend import Key, sample_uniform, to_numpy
from xpcnn.data.augment import Compose, CutMix, MixUp, RandomShift
from xpcnn.data.augment.mix import partners, symmetric_beta
from xpcnn.errors import ConfigError, LabelError, ShapeError

N, K = 9, 4
INDEX = np.asarray([3, 0, 11, 2**40, 5, 6, 8, 1, 2])
EACH = {"mixup": MixUp(0.7, num_classes=K), "cutmix": CutMix(0.7, num_classes=K)}


@pytest.fixture(params=EACH)
def mix(request):
    return EACH[request.param]


def batch(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, 2, 6, 9)), rng.integers(0, K, n)


def draws(mix, index=INDEX, seed=0):
    return sample_uniform(np.asarray(index), mix.draws, Key(seed, "augment"))


def in_turn(u):
    """Partner of each by its definition: who has the next larger number, and for the largest the smallest."""
    return [min((w for w in u if w > v), default=min(u)) for v in u]


def test_mixup_is_the_weighted_mean_with_the_partner():
    x, y = batch()
    mixed, soft = EACH["mixup"](x, y, INDEX)
    u = draws(EACH["mixup"])
    share = symmetric_beta(u[:, 1], u[:, 2], 0.7)
    one_hot = np.eye(K)[y]
    for n, other in enumerate(in_turn(u[:, 0])):
        m = list(u[:, 0]).index(other)
        np.testing.assert_allclose(mixed[n], share[n] * x[n] + (1 - share[n]) * x[m], atol=1e-15)
        np.testing.assert_allclose(soft[n], share[n] * one_hot[n] + (1 - share[n]) * one_hot[m], atol=1e-15)


def test_cutmix_puts_a_box_of_the_partner_in():
    n = 60
    x, y = batch(n)
    mixed, soft = EACH["cutmix"](x, y, range(n))
    u = draws(EACH["cutmix"], range(n))
    share = symmetric_beta(u[:, 1], u[:, 2], 0.7)
    for k, other in enumerate(in_turn(u[:, 0])):
        m = list(u[:, 0]).index(other)
        i, j = int(6 * u[k, 3]), int(9 * u[k, 4])
        a, b = int(0.5 * math.sqrt(1 - share[k]) * 6), int(0.5 * math.sqrt(1 - share[k]) * 9)
        expected = x[k].copy()
        box = (slice(None), slice(max(i - a, 0), i + a), slice(max(j - b, 0), j + b))
        expected[box] = x[m][box]
        np.testing.assert_array_equal(mixed[k], expected)
        stays = 1 - expected[box].size / expected.size
        np.testing.assert_allclose(soft[k], stays * np.eye(K)[y[k]] + (1 - stays) * np.eye(K)[y[m]], atol=1e-15)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_library_sees_the_same_mixture(space, mix, dtype):
    x, y = batch()
    x = x.astype(dtype)
    expected_x, expected_y = mix(x, y, INDEX, seed=2, epoch=5)
    given_x, given_y = space.asarray(x), space.asarray(y)
    before = bits({"x": given_x, "y": given_y})
    mixed, soft = mix(given_x, given_y, INDEX, seed=2, epoch=5)
    assert space.device.owns(mixed) and space.device.owns(soft)
    assert mixed.dtype == soft.dtype == given_x.dtype
    assert bits({"x": given_x, "y": given_y}) == before
    tolerance = 1e-15 if dtype == "float64" else 2e-7
    np.testing.assert_allclose(to_numpy(mixed), expected_x, rtol=0, atol=tolerance)
    np.testing.assert_allclose(to_numpy(soft), expected_y, rtol=0, atol=tolerance)


def test_the_order_of_the_batch_does_not_matter(mix):
    x, y = batch()
    mixed, soft = mix(x, y, INDEX, seed=1)
    order = np.asarray([4, 0, 8, 1, 2, 7, 3, 6, 5])
    again_x, again_y = mix(x[order], y[order], INDEX[order], seed=1)
    np.testing.assert_array_equal(again_x, mixed[order])
    np.testing.assert_array_equal(again_y, soft[order])


def test_labels_sum_to_one_and_distributions_are_taken_as_they_are(mix):
    x, y = batch()
    soft = mix(x, y, INDEX)[1]
    assert soft.shape == (N, K)
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-15)
    assert (soft >= 0).all() and ((soft > 0).sum(axis=1) > 1).any()
    np.testing.assert_array_equal(mix(x, np.eye(K)[y], INDEX)[1], soft)
    np.testing.assert_array_equal(mix(x, y.astype("uint8"), INDEX)[1], soft)


def test_a_sample_alone_is_mixed_with_itself(mix):
    x, y = batch(1)
    mixed, soft = mix(x, y, [5])
    np.testing.assert_allclose(mixed, x, atol=1e-15)
    np.testing.assert_allclose(soft, np.eye(K)[y], atol=1e-15)


def test_mixtures_can_be_mixed(mix):
    x, y = batch()
    both = Compose([RandomShift(1), EACH["mixup"], mix])
    mixed, soft = both(x, y, INDEX)
    assert mixed.shape == x.shape
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-14)


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20))
@settings(max_examples=50)
def test_partners_are_one_cycle_through_the_batch(u):
    place = partners(np.asarray(u))
    seen, n = [], 0
    for _ in u:
        seen.append(n)
        n = int(place[n])
    assert sorted(seen) == list(range(len(u))) and n == 0


# the distribution functions of Beta(a, a) in closed form
BETAS = {
    0.5: lambda s: 2 / math.pi * np.arcsin(np.sqrt(s)),
    1.0: lambda s: s,
    2.0: lambda s: 3 * s**2 - 2 * s**3,
    3.0: lambda s: 10 * s**3 - 15 * s**4 + 6 * s**5,
}


@pytest.mark.parametrize("alpha", BETAS)
def test_shares_are_beta_distributed(alpha):
    n = 20_000
    u = sample_uniform(np.arange(n), 2, Key(3, "beta"))
    share = np.sort(symmetric_beta(u[:, 0], u[:, 1], alpha))
    gap = np.abs(BETAS[alpha](share) - (np.arange(n) + 0.5) / n).max()
    assert gap < 2.2 / math.sqrt(n)  # Kolmogorov and Smirnov: passed once in 10,000 draws


@pytest.mark.parametrize("alpha", [0.01, 0.2, 0.4, 1.5, 100.0])
def test_shares_have_the_moments_of_beta(alpha):
    n = 40_000
    u = sample_uniform(np.arange(n), 2, Key(4, "beta"))
    share = symmetric_beta(u[:, 0], u[:, 1], alpha)
    assert share.min() >= 0 and share.max() <= 1
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(share.mean() - 0.5) < 4 * math.sqrt(variance / n)
    assert abs(share.var() / variance - 1) < 4 * math.sqrt(2 / n)


def test_shares_at_the_ends_of_the_draws_are_numbers():
    ends = np.asarray([0.0, 0.25, 0.5, 1 - 2**-53])
    u, v = (a.ravel() for a in np.meshgrid(ends, ends))
    for alpha in (1e-3, 1.0, 1e6):
        assert np.isfinite(symmetric_beta(u, v, alpha)).all()


@pytest.mark.parametrize(
    ("y", "error", "text"),
    [
        (None, LabelError, "labels are mixed"),
        (np.full(N, K), LabelError, "labels from 0 to 3, got labels from 4 to 4"),
        (np.full(N, -100), LabelError, "got labels from -100"),
        (np.zeros((N, 1), dtype="int64"), ShapeError, r"class numbers of shape \(N,\)"),
        (np.zeros(N), ShapeError, r"distributions \(N, 4\)"),
        (np.zeros((N, K + 1)), ShapeError, r"distributions \(N, 4\)"),
        (np.zeros((N, K), dtype="complex128"), ShapeError, "distributions"),
    ],
)
def test_labels_that_are_none_are_refused(mix, y, error, text):
    with pytest.raises(error, match=text):
        mix(batch()[0], y, INDEX)


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_class_numbers_need_the_number_of_classes(kind):
    x, y = batch()
    with pytest.raises(ConfigError, match=rf"{kind.__name__}\(num_classes=10\)"):
        Compose([RandomShift(1), kind()])(x, y, INDEX)
    assert kind()(x, np.eye(K)[y], INDEX)[1].shape == (N, K)
    for wrong in ({"alpha": 0}, {"alpha": math.inf}, {"num_classes": 0}):
        with pytest.raises(ConfigError):
            kind(**wrong)
