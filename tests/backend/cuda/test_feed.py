"""Samples that stay on the host: they arrive in order, and no buffer is overwritten while it is in use."""

import numpy as np
import pytest

from tests.training.test_compiled import equal, net, state
from xpcnn import Trainer
from xpcnn.backend.cuda import feed
from xpcnn.data.augment import RandomHorizontalFlip

X = np.arange(60, dtype="float32").reshape(10, 1, 2, 3)


@pytest.mark.parametrize("sizes", [[3, 3, 3, 1], [10], [4, 4, 2], []])
def test_parts_arrive_in_their_order(gpu, sizes):
    numbers = np.random.default_rng(0).permutation(10)
    ends = np.cumsum(sizes, dtype=int)
    parts = [numbers[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    found = [part.copy() for part in feed.feed(X, parts)]
    assert len(found) == len(parts)
    for part, chosen in zip(parts, found, strict=True):
        np.testing.assert_array_equal(chosen.host, X[part])


def test_the_next_part_is_sent_before_the_last_one_is_computed(gpu, monkeypatch):
    sent = []
    monkeypatch.setattr(feed._Slot, "send", lambda self, x, part, stream: sent.append(list(part)))
    parts = feed.feed(X, [np.asarray([i]) for i in range(4)])
    for i in range(4):
        next(parts)
        assert len(sent) == min(i + 2, 4)


def test_a_buffer_on_the_host_is_not_written_before_its_copy_has_run(gpu):
    slot, stream = feed._Slot((2, 1, 2, 3), X.dtype), gpu.cuda.Stream(non_blocking=True)
    slot.send(X, np.asarray([3, 1]), stream)
    assert (slot.device.host != X[[3, 1]]).any()  # the copy runs when somebody waits for it
    slot.send(X, np.asarray([7, 8]), stream)
    np.testing.assert_array_equal(slot.device.host, X[[3, 1]])


def test_a_copy_does_not_outlive_its_buffers(gpu, monkeypatch):
    streams = []
    make = gpu.cuda.Stream
    monkeypatch.setattr(gpu.cuda, "Stream", lambda **options: streams.append(make(**options)) or streams[-1])
    parts = feed.feed(X, [np.asarray([i]) for i in range(5)])
    next(parts)
    (stream,) = streams
    assert stream.ran < len(stream.queue)
    parts.close()
    assert stream.ran == len(stream.queue)


def test_a_third_of_the_free_memory_is_enough(gpu):
    gpu.free = 1000
    assert gpu.device.fits(300) and not gpu.device.fits(301)


@pytest.mark.parametrize("augment", [None, RandomHorizontalFlip()])
@pytest.mark.parametrize("compile", [False, "auto"])
def test_training_is_the_same_wherever_the_samples_lie(gpu, caplog, augment, compile):
    x = np.random.default_rng(1).standard_normal((18, 1, 4, 4)).astype("float32")
    y, weight = np.arange(18) % 3, np.linspace(0.5, 1.5, 18).astype("float32")
    found = []
    for free in (1 << 30, 1000):
        gpu.free = free
        trainer = Trainer(net(gpu), optimizer="sgd", compile=compile)
        options = {"validation_split": 0.2, "augment": augment, "verbose": 0}
        history = trainer.fit(x, y, epochs=2, batch_size=4, sample_weight=weight, **options)
        end = state(trainer)
        figures = trainer.model.evaluate(x, y, batch_size=5), trainer.model.predict(x, batch_size=5).tolist()
        found.append((history.history, figures, end))
    assert found[0][:2] == found[1][:2]
    equal(found[0][2], found[1][2])


@pytest.mark.gpu
def test_a_gpu_gets_the_samples_in_their_order(space_of_cupy):
    x = np.random.default_rng(0).standard_normal((5000, 1, 8, 8)).astype("float32")
    parts = np.array_split(np.random.default_rng(1).permutation(5000), 40)
    with space_of_cupy.device.active():
        found = [space_of_cupy.xp.asarray(part, copy=True) for part in space_of_cupy.device.feed(x, parts)]
    for part, chosen in zip(parts, found, strict=True):
        np.testing.assert_array_equal(chosen.get(), x[part])
