"""What augmentation draws on a GPU: NumPy's Philox bits, and the pairs of the generic body."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backend.cuda.on_cpu import generic
from xpcnn import Conv2d, Flatten, Linear, Sequential, Trainer
from xpcnn.backend import Key, sample_uniform, to_numpy, uniform
from xpcnn.backend.cuda import draws
from xpcnn.data.augment import (
    ColorJitter,
    Compose,
    CutMix,
    Cutout,
    MixUp,
    Normalize,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomRotation,
    RandomShift,
)
from xpcnn.data.augment.mix import partners

numbers = st.one_of(st.integers(0, 2**63 - 1), st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**63 - 1]))
quietly = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quietly
@given(
    index=st.lists(numbers, min_size=1, max_size=9),
    count=st.integers(0, 25),
    seed=st.sampled_from([0, 1, 2**64 - 1]),
    step=st.sampled_from([0, 3, 2**63 + 1]),
    counter=st.sampled_from([None, 0, 5]),
)
def test_numbers_of_a_sample_are_numpys(answering, index, count, seed, step, counter):
    key = Key(seed, "augment", step, counter=None if counter is None else np.asarray(counter))
    answering.launched.clear()
    u = sample_uniform(np.asarray(index), count, key)
    assert answering.launched == ["sample_uniform"] * (count > 0)
    assert u.shape == (len(index), count) and u.dtype == np.float64
    for row, i in zip(u, index, strict=True):
        place = np.array([0, i, step + (counter or 0), 0], dtype=np.uint64)
        bits = np.random.Philox(counter=place, key=np.array(key.words(), dtype=np.uint64))
        np.testing.assert_array_equal(row, np.random.Generator(bits).random(count))
    np.testing.assert_array_equal(u, generic(lambda: sample_uniform(np.asarray(index), count, key)))


def test_the_last_numbers_of_many_samples_are_drawn_too(answering):
    # 85 samples of 13 numbers take 4 blocks each, which is more than a block of threads
    index = np.arange(85)[::-1].copy()
    u = sample_uniform(index, 13, Key(1))
    np.testing.assert_array_equal(u, generic(lambda: sample_uniform(index, 13, Key(1))))


def test_the_counter_is_read_when_the_kernel_runs(gpu):
    epoch, index = gpu.upload(np.asarray(0)), gpu.upload(np.arange(5))
    key = Key(3, "augment", counter=epoch)
    sample_uniform(index, 6, key)
    stream = gpu.cuda.Stream()
    stream.begin_capture()
    u = sample_uniform(index, 6, key)
    graph = stream.end_capture()
    for n in (0, 7, 2):
        epoch[...] = n
        graph.launch()
        np.testing.assert_array_equal(u.get(), sample_uniform(np.arange(5), 6, Key(3, "augment", step=n)))


@quietly
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20), st.booleans())
def test_partners_are_those_of_the_generic_body(answering, u, equal):
    u = np.floor(np.asarray(u) * 4) if equal else np.asarray(u)
    expected = generic(lambda: partners(u))
    answering.launched.clear()
    place = partners(u)
    assert answering.launched == ["partners"]
    assert place.dtype == np.int64
    np.testing.assert_array_equal(place, expected)


def test_many_partners(answering):
    u = uniform((300,), Key(0))
    np.testing.assert_array_equal(partners(u), generic(lambda: partners(u)))


def test_columns_of_draws_are_read_where_they_lie(answering):
    u = uniform((7, 3), Key(0))
    np.testing.assert_array_equal(partners(u[:, 1]), generic(lambda: partners(u[:, 1])))


def test_other_dtypes_are_left_to_the_generic_body(cupy):
    assert draws.sample_uniform(np.arange(3, dtype=np.int32), 2, Key(0)) is None
    assert draws.partners(np.zeros(3, np.float32)) is None
    assert not cupy.launched


def test_images_that_no_kernel_moves_are_read_at_places_on_the_device(gpu):
    x, index = uniform((4, 3, 5, 6), Key(0, "x")).astype("float16"), np.arange(4)
    for transform in (RandomCrop(5, padding=2, fill=0.5), RandomRotation(30), RandomHorizontalFlip()):
        expected = transform(x, index=index)[0]
        waits = gpu.waits
        found = transform(gpu.upload(x), index=index)[0]
        assert gpu.waits == waits
        np.testing.assert_array_equal(found.get(), expected)


EACH = {
    "flip": RandomHorizontalFlip(),
    "crop": RandomCrop(16, padding=2, fill=0.25),
    "shift of reflection": RandomShift(3, padding_mode="reflect"),
    "rotation": RandomRotation(15),
    "cutout": Cutout(5, n_holes=2),
    "erasing": RandomErasing(p=0.8),
    "jitter": ColorJitter(0.3, 0.2, 0.4, 0.1),
    "normalize": Normalize([0.1, 0.2, 0.3], [0.5, 1.0, 2.0]),
    "mixup": MixUp(0.7, num_classes=3),
    "cutmix": CutMix(0.7, num_classes=3),
    "all": Compose([RandomHorizontalFlip(), RandomCrop(16, padding=2), Cutout(4), MixUp(num_classes=3)]),
}


@pytest.mark.gpu
def test_a_gpu_draws_the_same_numbers_and_pairs(space_of_cupy):
    index, key = np.asarray([0, 7, 2**40, 2**63 - 1]), Key(2**64 - 1, "augment", 3)
    u = sample_uniform(index, 23, key)
    there = sample_uniform(space_of_cupy.asarray(index), 23, key)
    counter = space_of_cupy.asarray(np.asarray(2))
    counted = sample_uniform(space_of_cupy.asarray(index), 23, Key(2**64 - 1, "augment", 1, counter=counter))
    np.testing.assert_array_equal(to_numpy(there), u)
    np.testing.assert_array_equal(to_numpy(counted), u)
    many = uniform((1000,), Key(0))
    np.testing.assert_array_equal(to_numpy(partners(space_of_cupy.asarray(many))), partners(many))


@pytest.mark.gpu
@pytest.mark.parametrize("name", EACH)
def test_a_gpu_replays_augmented_steps_to_the_bit(space_of_cupy, name):
    x, y = uniform((100, 3, 16, 16), Key(0, "x")).astype("float32"), np.arange(100) % 3
    ends = []
    for compile in (False, True):
        layers = Conv2d(3, 8, 3), Flatten(), Linear(8 * 14 * 14, 3)
        model = Sequential(*layers, device=space_of_cupy.device, seed=1, deterministic=True)
        trainer = Trainer(model, optimizer="momentum", compile=compile)
        history = trainer.fit(x, y, epochs=6, batch_size=32, augment=EACH[name], verbose=0)
        ends.append((history.history, {name: to_numpy(a).tobytes() for name, a in model.state_dict().items()}))
    assert ends[0] == ends[1]
