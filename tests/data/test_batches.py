"""Batches: every sample once an epoch, in an order that only the seed and the epoch decide."""

import itertools

import array_api_strict
import numpy as np
import pytest

from xpcnn.backend import Key, permutation, to_numpy
from xpcnn.data.augment import Compose, CutMix, RandomCrop, RandomHorizontalFlip
from xpcnn.data.batches import batches, order
from xpcnn.errors import ConfigError, DeviceMismatchError, DtypeError, LabelError, NamespaceError, ShapeError

N = 23


def on_numpy(a):
    return a


def on_read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def on_strict(a):
    return array_api_strict.asarray(a, device=array_api_strict.Device("device1"))


def on_torch(a):
    return pytest.importorskip("torch").asarray(a.copy())


@pytest.fixture(params=[on_numpy, on_read_only, on_strict, on_torch])
def place(request):
    """Function that brings a NumPy array to a library and device."""
    with array_api_strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
        yield request.param


@pytest.fixture
def xy():
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, 2, 3, 3)).astype("float32"), np.arange(N)


@pytest.mark.parametrize("batch_size", [1, 4, 22, 23, 24])
def test_an_epoch_is_the_samples_in_the_published_order(place, xy, batch_size):
    x, y = xy
    expected = permutation(N, Key(5, "shuffle", step=2))
    pairs = list(batches(place(x), place(y), batch_size, seed=5, epoch=2))
    assert len(pairs) == -(-N // batch_size)
    assert all(len(to_numpy(b)) == batch_size for _, b in pairs[:-1])
    np.testing.assert_array_equal(np.concatenate([to_numpy(a) for a, _ in pairs]), x[expected])
    np.testing.assert_array_equal(np.concatenate([to_numpy(b) for _, b in pairs]), y[expected])


@pytest.mark.parametrize("batch_size", [1, 4, 23, 24])
def test_without_shuffling_the_samples_keep_their_order(place, xy, batch_size):
    x, y = xy
    pairs = list(batches(place(x), place(y), batch_size, shuffle=False))
    np.testing.assert_array_equal(np.concatenate([to_numpy(a) for a, _ in pairs]), x)
    np.testing.assert_array_equal(np.concatenate([to_numpy(b) for _, b in pairs]), y)


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_stay_in_the_library_on_the_device_and_of_the_dtype(place, xy, shuffle):
    x, y = place(xy[0]), place(xy[1])
    for a, b in batches(x, y, 5, shuffle=shuffle):
        assert type(a) is type(x)
        assert type(b) is type(y)
        assert (a.dtype, b.dtype) == (x.dtype, y.dtype)
        assert (a.device, b.device) == (x.device, y.device)


@pytest.mark.parametrize("shuffle", [True, False])
def test_drop_last_leaves_out_only_an_incomplete_batch(place, xy, shuffle):
    x, y = place(xy[0]), place(xy[1])
    whole = list(batches(x, y, 5, shuffle=shuffle))
    dropped = list(batches(x, y, 5, shuffle=shuffle, drop_last=True))
    assert [a.shape[0] for a, _ in whole] == [5, 5, 5, 5, 3]
    assert [a.shape[0] for a, _ in dropped] == [5, 5, 5, 5]
    for (a, _), (b, _) in zip(whole, dropped, strict=False):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
    assert len(list(batches(x, y, N, drop_last=True))) == 1


def test_slices_share_memory_and_shuffled_batches_do_not(xy):
    x, y = xy
    assert all(np.shares_memory(a, x) for a, _ in batches(x, y, 5, shuffle=False))
    assert not any(np.shares_memory(a, x) for a, _ in batches(x, y, 5))


def test_labels_of_any_rank_are_kept_with_their_samples(xy):
    x, y = xy
    one_hot = np.eye(N)[y]
    for a, b in batches(x, one_hot, 4, seed=1):
        np.testing.assert_array_equal(a, x[b.argmax(1)])


def test_every_epoch_and_seed_has_its_own_order_that_can_be_recomputed():
    orders = {(seed, epoch): tuple(order(N, seed, epoch)) for seed, epoch in itertools.product(range(3), range(4))}
    assert len(set(orders.values())) == len(orders)
    assert all(sorted(o) == list(range(N)) for o in orders.values())
    assert tuple(order(N, 2, 3)) == orders[2, 3]
    assert order(N).dtype == np.int64


def test_numpy_integers_are_integers(xy):
    x, y = xy
    pairs = list(batches(x, y, np.int32(5), epoch=np.int64(1)))
    np.testing.assert_array_equal(pairs[0][1], order(N, 0, 1)[:5])


AUGMENT = Compose([RandomHorizontalFlip(), RandomCrop(3, padding=2)])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 5, 23])
def test_augmentation_goes_by_the_numbers_of_the_samples(place, xy, shuffle, batch_size):
    """Neither order nor batch size nor array library decide what happens to a sample."""
    x, y = xy
    expected = AUGMENT(x, y, np.arange(N), seed=3, epoch=4)[0]
    assert not np.array_equal(expected, x)
    for a, b in batches(place(x), place(y), batch_size, seed=3, epoch=4, shuffle=shuffle, augment=AUGMENT):
        np.testing.assert_array_equal(to_numpy(a), expected[to_numpy(b)])


def test_each_epoch_is_augmented_anew(xy):
    first, second = (
        np.concatenate([a for a, _ in batches(*xy, 5, epoch=epoch, shuffle=False, augment=AUGMENT)]) for epoch in (0, 1)
    )
    assert not np.array_equal(first, second)


def test_samples_that_cannot_be_augmented_are_refused_at_the_call(xy):
    x, y = xy
    for wrong in ([RandomCrop(3)], RandomCrop, len):
        with pytest.raises(ConfigError, match="batches: expected augment to be a transform"):
            batches(x, y, 5, augment=wrong)
    with pytest.raises(ShapeError, match="N, C, H, W"):
        batches(x[:, 0], y, 5, augment=AUGMENT)
    with pytest.raises(DtypeError, match="255"):
        batches(x.astype("uint8"), y, 5, augment=AUGMENT)
    with pytest.raises(LabelError, match="from 0 to 8"):
        batches(x, y, 5, augment=CutMix(num_classes=9))


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, "8", None])
def test_a_senseless_batch_size_is_refused_at_the_call(xy, batch_size):
    with pytest.raises(ConfigError, match="batch_size to be an integer of at least 1"):
        batches(*xy, batch_size)


@pytest.mark.parametrize("setting", [{"seed": -1}, {"seed": 1.5}, {"epoch": -1}, {"epoch": 0.5}, {"epoch": 2**63}])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_senseless_seed_or_epoch_is_refused_at_the_call(xy, setting, shuffle):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        batches(*xy, 5, shuffle=shuffle, **setting)


@pytest.mark.parametrize("n", [0, -3, 2.5])
def test_an_order_of_nothing_is_refused(n):
    with pytest.raises(ConfigError, match="order: expected n"):
        order(n)


def test_unequal_lengths_are_refused_at_the_call(place, xy):
    x, y = xy
    with pytest.raises(ShapeError, match="23 samples and 22 labels"):
        batches(place(x), place(y[:-1]), 5)


def test_no_samples_are_refused_at_the_call(place, xy):
    x, y = xy
    with pytest.raises(ShapeError, match=r"at least one sample, got x of shape \(0, 2, 3, 3\)"):
        batches(place(x[:0]), place(y[:0]), 5)


def test_arrays_without_axes_are_refused_at_the_call(xy):
    x, y = xy
    for pair in [(x[0, 0, 0, 0, ...], y), (x, np.asarray(3))]:
        with pytest.raises(ShapeError, match="axis 0"):
            batches(*pair, 5)


def test_dropping_the_only_batch_is_refused_at_the_call(xy):
    with pytest.raises(ConfigError, match="at most 23, the number of samples, got 24"):
        batches(*xy, 24, drop_last=True)


def test_arrays_of_two_libraries_or_devices_are_refused_at_the_call(xy):
    x, y = xy
    with pytest.raises(NamespaceError):
        batches(on_strict(x), y, 5)
    with pytest.raises(NamespaceError, match="list"):
        batches(x, y.tolist(), 5)
    with pytest.raises(DeviceMismatchError):
        batches(on_strict(x), array_api_strict.asarray(y), 5)


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_can_be_entered_at_any_batch(shuffle):
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    whole = list(batches(x, y, 4, seed=3, epoch=1, shuffle=shuffle))
    for first in range(5):
        rest = list(batches(x, y, 4, seed=3, epoch=1, shuffle=shuffle, first_batch=first))
        assert len(rest) == max(0, 3 - first)
        for (x_batch, y_batch), (x_whole, y_whole) in zip(rest, whole[first:], strict=True):
            assert np.array_equal(x_batch, x_whole) and np.array_equal(y_batch, y_whole)
    with pytest.raises(ConfigError, match="batches: expected first_batch"):
        batches(x, y, 4, first_batch=-1)
