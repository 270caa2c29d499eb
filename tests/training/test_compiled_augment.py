"""Augmentation inside of captured steps, on a GPU that is not there: the bits of eager steps that draw on the host."""

import logging

import numpy as np
import pytest

from tests.training.test_compiled import equal, state
from xpcnn import Callback, Conv2d, Flatten, Linear, Sequential, Trainer
from xpcnn.backend import Key, random, uniform
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
    RandomVerticalFlip,
    Transform,
)
from xpcnn.data.augment.base import moved

EACH = {
    "flip": RandomHorizontalFlip,
    "vertical flip": lambda: RandomVerticalFlip(p=0.4),
    "crop": lambda: RandomCrop(4, padding=1, fill=0.25),
    "crop of edge": lambda: RandomCrop(4, padding=2, padding_mode="edge"),
    "crop of reflection": lambda: RandomCrop(4, padding=2, padding_mode="reflect"),
    "shift of symmetry": lambda: RandomShift((1, 2), padding_mode="symmetric"),
    "rotation": lambda: RandomRotation((-10, 40), fill=0.5),
    "cutout": lambda: Cutout(2, n_holes=2),
    "erasing": lambda: RandomErasing(p=0.8, scale=(0.1, 0.6), value=0.5),
    "jitter": lambda: ColorJitter(0.3, 0.2, 0.4, 0.1),
    "normalize": lambda: Normalize([0.1, 0.2, 0.3], [0.5, 1.0, 2.0]),
    "mixup": lambda: MixUp(0.7, num_classes=3),
    "cutmix": lambda: CutMix(0.7, num_classes=3),
    "all": lambda: Compose(
        [RandomHorizontalFlip(), Compose([RandomShift(1, fill=0.5), RandomCrop(4, padding=1, fill=0.5)]), Cutout(1)]
        + [Normalize(0.1, [1.0, 2.0, 3.0]), MixUp(num_classes=3), CutMix(num_classes=3)]
    ),
}


def net(gpu, **options):
    return Sequential(Conv2d(3, 2, 3), Flatten(), Linear(8, 3), device=gpu.device, seed=3, **options)


def pictures(n=10):
    return uniform((n, 3, 4, 4), Key(0, "x")).astype("float32"), np.arange(n) % 3


def fit(gpu, augment, compile="auto", epochs=5, **options):
    trainer = Trainer(net(gpu), optimizer="momentum", compile=compile)
    history = trainer.fit(*pictures(), epochs=epochs, batch_size=4, augment=augment, verbose=0, **options)
    return history.history, state(trainer)


def on_host(augment):
    """The same transform, whose numbers stay on the host."""
    augment.on_device = False
    return augment


def nothing_on_the_host(monkeypatch):
    def refuse(block, *others):
        assert not block.size, "drawn on the host"
        return block, *others[:3]

    monkeypatch.setattr(random, "_rounds", refuse)


@pytest.mark.parametrize("name", EACH)
def test_captured_augmentation_gives_the_bits_of_eager_steps_on_the_hosts_draws(gpu, monkeypatch, name):
    expected = fit(gpu, on_host(EACH[name]()), compile=False)
    assert "graph" not in gpu.done and "sample_uniform" not in gpu.done
    nothing_on_the_host(monkeypatch)
    found = fit(gpu, EACH[name](), compile=True)
    # of 10 batches of four all but two, of 5 smaller ones likewise
    assert gpu.done.count("graph") == 11
    assert not gpu.unrehearsed
    assert "argsort" not in gpu.done  # which a GPU does not capture
    assert found[0] == expected[0]
    equal(found[1], expected[1])
    assert len(set(found[0]["loss"])) == 5


@pytest.mark.parametrize("weighted", [False, True])
def test_samples_that_are_fed_from_the_host_are_transformed_in_the_graph_too(gpu, monkeypatch, weighted):
    weight = np.linspace(0.5, 2.0, 10).astype("float32") if weighted else None
    expected = fit(gpu, on_host(EACH["all"]()), compile=False, sample_weight=weight)
    nothing_on_the_host(monkeypatch)
    gpu.free, captured = 1000, []

    class Watch(Callback):
        def on_epoch_end(self, epoch, logs):
            graphs = [kind.graph._graph for kind in self.trainer._captured._kinds.values() if kind.graph]
            captured[:] = [[name for name, _ in graph.tasks].count("sample_uniform") for graph in graphs]

    found = fit(gpu, EACH["all"](), compile=True, sample_weight=weight, callbacks=[Watch()])
    assert gpu.done.count("graph") == 11 and captured == [1, 1]
    assert found[0] == expected[0]
    equal(found[1], expected[1])


def test_eager_steps_draw_on_the_device_too(gpu, monkeypatch):
    expected = fit(gpu, on_host(EACH["all"]()), compile=False, epochs=2)
    nothing_on_the_host(monkeypatch)
    found = fit(gpu, EACH["all"](), compile=False, epochs=2)
    assert "graph" not in gpu.done
    assert found[0] == expected[0]
    equal(found[1], expected[1])


def test_in_a_replayed_epoch_only_the_order_comes_from_the_host(gpu, monkeypatch):
    class Watch(Callback):
        def on_epoch_begin(self, epoch, logs):
            uploads.append(0)
            gpu.done.clear()

        def on_epoch_end(self, epoch, logs):
            kinds = trainer._captured._kinds.items()
            replayed = sum((2 if "(4,)" in str(name) else 1) * (len(kind.graph._graph.tasks) + 1)
                           for name, kind in kinds if kind.graph)  # fmt: skip
            outside.append(len(gpu.done) - replayed)

    uploads, outside, upload = [0], [], gpu.upload

    def counted(*args, **kwargs):
        uploads[-1] += 1
        return upload(*args, **kwargs)

    monkeypatch.setattr(gpu, "upload", counted)
    trainer = Trainer(net(gpu), optimizer="momentum")
    trainer.fit(*pictures(), epochs=5, batch_size=4, augment=EACH["all"](), callbacks=[Watch()], verbose=0)
    assert uploads[-1] == 1
    # the epoch and three sums begin anew; for each of three steps the samples' numbers come in and the loss comes out
    assert outside[-1] <= 4 + 3 * 2


def test_another_fit_begins_with_its_first_epoch_again(gpu):
    ends = []
    for compile in (False, "auto"):
        trainer = Trainer(net(gpu), optimizer="momentum", compile=compile)
        for _ in range(2):
            trainer.fit(*pictures(), epochs=4, batch_size=5, augment=EACH["crop"](), verbose=0)
        ends.append(state(trainer))
    assert gpu.done.count("graph") == 2 * 6
    equal(*ends)


@pytest.mark.parametrize("name", ["flip", "part", "nested part"])
def test_weights_and_settings_that_change_between_epochs_are_followed(gpu, name):
    class Change(Callback):
        def on_epoch_begin(self, epoch, logs):
            if name == "nested part":
                augment.transforms[1].transforms[0].pixels = 2 if epoch > 2 else 1
            else:
                flip = augment if name == "flip" else augment.transforms[0]
                flip.p = 1.0 if epoch > 2 else 0.0

    ends = []
    for compile in (False, "auto"):
        augment = EACH["flip" if name == "flip" else "all"]()
        weight = np.linspace(0.5, 2.0, 10).astype("float32")
        ends.append(fit(gpu, augment, compile, sample_weight=weight, epochs=6, callbacks=[Change()]))
    assert "graph" in gpu.done
    assert ends[0][0] == ends[1][0]
    equal(ends[0][1], ends[1][1])


class Fade(Transform):
    """One of a user's, as the documentation has it."""

    draws = 1

    def images(self, x, u):
        assert isinstance(u, np.ndarray) != self.on_device
        return x * moved(u[:, 0], x)[:, None, None, None]


class DeviceFade(Fade):
    on_device = True


class Table(Transform):
    """Brings numbers from the host, although it says that it does not."""

    on_device = True

    def images(self, x, u):
        return x * moved(np.asarray([0.5, 1.0, 2.0]), x)[None, :, None, None]


def test_a_transform_on_the_host_runs_before_the_graph_and_is_named_once(gpu, caplog):
    with caplog.at_level(logging.WARNING, "xpcnn"):
        expected = fit(gpu, Compose([RandomShift(1), Fade()]), compile=False)
        assert not caplog.records
        found = fit(gpu, Compose([RandomShift(1), Fade()]))
    (record,) = caplog.records
    assert "numbers of Fade stay on the host" in record.getMessage() and "on_device = True" in record.getMessage()
    assert gpu.done.count("graph") == 11 and "sample_uniform" not in gpu.done
    assert found[0] == expected[0]
    equal(found[1], expected[1])


def test_a_users_transform_may_be_captured_too(gpu, caplog):
    expected = fit(gpu, Compose([RandomShift(1), Fade()]), compile=False)
    found = fit(gpu, Compose([RandomShift(1), DeviceFade()]), compile=True)
    assert found[0] == expected[0] and not caplog.records
    equal(found[1], expected[1])


def test_a_transform_that_cannot_be_captured_although_it_says_so_is_computed_as_it_is(gpu, caplog):
    expected = fit(gpu, Table(), compile=False)
    found = fit(gpu, Table())
    assert "graph" not in gpu.done and "a copy from the host: refused" in caplog.text
    assert found[0] == expected[0]
    equal(found[1], expected[1])


def test_kernels_that_are_turned_off_draw_nothing(gpu, monkeypatch):
    expected = fit(gpu, EACH["crop"](), compile=False, epochs=1)
    gpu.done.clear()
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    found = fit(gpu, EACH["crop"](), epochs=1)
    assert "sample_uniform" not in gpu.done
    np.testing.assert_allclose(found[0]["loss"], expected[0]["loss"], rtol=1e-5)
