"""Random numbers: Philox' bits against NumPy's own, masks that do not depend on library, layout or batch."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.namespaces import make_space
from xpcnn.backend import Key, keep_mask, normal, permutation, sample_uniform, to_numpy, uniform
from xpcnn.backend.random import philox_words
from xpcnn.errors import ConfigError

words64 = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1]))
keys = st.builds(Key, words64, st.sampled_from(["", "init/0.weight", "dropout/3", "ü"]), st.integers(0, 2**63 - 1))


def numpys(key, count):
    """The key's stream from numpy.random.Philox itself, in 32-bit words."""
    counter = np.array([0, 0, key.step, 0], dtype=np.uint64)
    raw = np.random.Philox(counter=counter, key=np.array(key.words(), dtype=np.uint64)).random_raw(-(-count // 2))
    return np.stack([raw & 0xFFFFFFFF, raw >> 32], axis=1).ravel()[:count].astype("int64")


def test_words_are_numpys_philox(space):
    @settings(max_examples=40)
    @given(keys, st.integers(1, 40), st.integers(0, 50))
    def check(key, count, start):
        ours = philox_words(space.xp, count, key, start=start, device=space.device.native)
        assert space.device.owns(ours)
        assert np.array_equal(to_numpy(ours).astype("int64"), numpys(key, start + count)[start:])

    check()


def test_known_answer():
    """Philox4x64-10 of counter and key all zero, from the vectors of Random123 (kat_vectors)."""
    raw = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    state = np.random.Philox(counter=np.zeros(4, np.uint64), key=np.zeros(2, np.uint64)).state
    # NumPy counts up before it encrypts: counter 2**256 - 1 comes before 0
    state["state"]["counter"] = np.full(4, 2**64 - 1, dtype=np.uint64)
    bits = np.random.Philox()
    bits.state = state
    assert bits.random_raw(4).tolist() == raw


@pytest.mark.parametrize("shape", [(6,), (4, 5), (4, 3, 2), (4, 3, 2, 5), (4, 2, 1, 3, 2)])
def test_masks_are_the_same_everywhere(space, cpu, shape):
    key = Key(2**64 - 1, "dropout/1", step=2**40, first=3)
    expected = keep_mask(cpu.asarray(np.zeros(shape)), 0.3, key)
    mask = keep_mask(space.asarray(np.zeros(shape), "float32"), 0.3, key)
    assert space.device.owns(mask)
    assert to_numpy(mask).dtype == bool
    assert np.array_equal(to_numpy(mask), expected)
    for first in range(shape[0]):
        part = keep_mask(space.asarray(np.zeros((1, *shape[1:]))), 0.3, key.at(3 + first))
        assert np.array_equal(to_numpy(part), expected[first : first + 1])


def test_memory_layout_does_not_move_the_mask():
    x = np.zeros((2, 3, 4, 5))
    channels_last = np.zeros((2, 4, 5, 3)).transpose(0, 3, 1, 2)
    assert np.array_equal(keep_mask(x, 0.5, Key(1)), keep_mask(channels_last, 0.5, Key(1)))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_masks_look_random(p):
    """Chi-square of the counts of all patterns of 4 neighbours, along each axis."""
    keep = keep_mask(np.zeros((64, 8, 16, 16)), p, Key(5))
    n = keep.size
    assert abs(keep.mean() - (1 - p)) < 4.5 * math.sqrt(p * (1 - p) / n)
    for axis in range(4):
        bits = np.moveaxis(keep, axis, -1).reshape(-1, 4)
        counts = np.bincount(bits @ np.asarray([8, 4, 2, 1]), minlength=16)
        ones = np.asarray([bin(i).count("1") for i in range(16)])
        expected = len(bits) * (1 - p) ** ones * p ** (4 - ones)
        # 15 degrees of freedom: 44.3 is passed once in 10,000 draws
        assert ((counts - expected) ** 2 / expected).sum() < 44.3


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_extremes_are_certain(p):
    keep = keep_mask(np.zeros(10_000), p, Key(0))
    assert keep.all() if p == 0.0 else not keep.any()


def test_draws_depend_on_seed_path_and_step_only():
    base = Key(1, "a", step=2)
    for draw in (lambda k: uniform((9,), k), lambda k: normal((9,), k), lambda k: permutation(99, k)):
        assert np.array_equal(draw(base), draw(Key(1, "a", step=2)))
        for other in (Key(2, "a", step=2), Key(1, "b", step=2), Key(1, "a", step=3)):
            assert not np.array_equal(draw(base), draw(other))


def test_moments():
    u, z = uniform((100_000,), Key(0)), normal((100_000,), Key(0, "n"))
    assert u.dtype == z.dtype == np.float64
    assert u.min() >= 0.0 and u.max() < 1.0
    assert abs(u.mean() - 0.5) < 4.5 / math.sqrt(12e5)
    assert abs(z.mean()) < 4.5 / math.sqrt(1e5) and abs(z.var() - 1.0) < 4.5 * math.sqrt(2e-5)
    assert sorted(permutation(1000, Key(0)).tolist()) == list(range(1000))


@settings(max_examples=40)
@given(keys, st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5), st.integers(0, 9))
def test_numbers_of_a_sample_are_numpys_from_its_own_counter(key, index, count):
    ours = sample_uniform(np.asarray(index), count, key)
    assert ours.shape == (len(index), count) and ours.dtype == np.float64
    for row, i in zip(ours, index, strict=True):
        counter = np.array([0, i, key.step, 0], dtype=np.uint64)
        bits = np.random.Philox(counter=counter, key=np.array(key.words(), dtype=np.uint64))
        assert np.array_equal(row, np.random.Generator(bits).random(count))


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", None, True])
def test_seeds_that_are_none_raise(seed):
    with pytest.raises(ConfigError, match="Key: expected seed to be an integer from 0"):
        Key(seed)


@pytest.mark.parametrize("name", ["numpy", "strict"])
def test_a_counter_is_added_to_the_step(name):
    space = make_space(name)
    x = space.asarray(np.ones((3, 5)), "float32")
    counter = space.asarray(np.asarray(4))
    found, expected = keep_mask(x, 0.5, Key(1, "m", 3, counter=counter)), keep_mask(x, 0.5, Key(1, "m", 7))
    assert (to_numpy(found) == to_numpy(expected)).all()
    assert Key(1, counter=counter) == Key(1)


@pytest.mark.parametrize("name", ["numpy", "strict"])
def test_numbers_of_samples_are_drawn_where_the_samples_numbers_lie(name):
    space, index = make_space(name), np.asarray([5, 2**62, 0])
    counter = space.asarray(np.asarray(4))
    for key in (Key(2**64 - 1, "a", 2**63 + 7), Key(2**64 - 1, "a", 2**63 + 3, counter=counter)):
        u = sample_uniform(space.asarray(index), 6, key)
        assert space.device.owns(u)
        np.testing.assert_array_equal(to_numpy(u), sample_uniform(index, 6, Key(2**64 - 1, "a", 2**63 + 7)))
