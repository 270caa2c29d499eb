"""Training on images that change in each epoch."""

import numpy as np
import pytest

from tests.training.helpers import digits, same, small_net, weights
from xpcnn import CSVLogger, Trainer, optimizers
from xpcnn.backend import to_numpy
from xpcnn.data import batches
from xpcnn.data.augment import ColorJitter, Compose, CutMix, MixUp, RandomCrop, RandomHorizontalFlip, RandomShift
from xpcnn.errors import ConfigError, LabelError, ShapeError

AUGMENT = Compose([RandomHorizontalFlip(), RandomCrop(6, padding=1), MixUp(num_classes=3)])


def test_fit_is_steps_over_augmented_batches(space):
    x, y = digits(n=20)
    trained, stepped = (small_net(dtype="float64", seed=5).to(like=space.asarray([0.0])) for _ in range(2))
    trained.fit(x, y, epochs=2, batch_size=8, optimizer=optimizers.SGD(lr=0.1), augment=AUGMENT, verbose=0)
    trainer = Trainer(stepped, optimizer=optimizers.SGD(lr=0.1))
    for epoch in range(2):
        for x_batch, y_batch in batches(x.astype("float64"), y, 8, seed=5, epoch=epoch, augment=AUGMENT):
            trainer.step(x_batch, y_batch)
    for name, a in trained.state_dict().items():
        np.testing.assert_allclose(to_numpy(a), to_numpy(stepped.state_dict()[name]), rtol=1e-9, atol=1e-12)


def test_augmentation_changes_the_run_and_not_the_data_or_the_validation():
    x, y = digits(n=20)
    before = x.copy(), y.copy()
    plain, augmented = small_net(), small_net()
    plain.fit(x, y, verbose=0)
    history = augmented.fit(x, y, augment=AUGMENT, validation_data=(x, y), verbose=0).history
    assert not same(weights(plain), weights(augmented))
    assert np.array_equal(x, before[0]) and np.array_equal(y, before[1])
    assert history["val_loss"] == [augmented.evaluate(x, y)["loss"]]


def test_the_same_seed_augments_alike():
    x, y = digits(n=20)
    runs = [small_net(seed=seed) for seed in (1, 1, 2)]
    for model in runs:
        model.fit(x, y, augment=AUGMENT, verbose=0)
    assert same(weights(runs[0]), weights(runs[1]))
    assert not same(weights(runs[0]), weights(runs[2]))


@pytest.mark.parametrize(
    ("augment", "error", "text"),
    [
        ([RandomShift(1)], ConfigError, "fit: expected augment to be a transform"),
        (RandomShift, ConfigError, "fit: expected augment to be a transform"),
        (CutMix(), ConfigError, r"CutMix\(num_classes=10\)"),
        (CutMix(num_classes=2), LabelError, "labels from 0 to 1"),
        (RandomCrop(4), ShapeError, r"fit, after augment: expected x .* got \(20, 1, 4, 4\)"),
        (RandomCrop(9), ShapeError, "RandomCrop: expected images of at least"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(augment, error, text):
    x, y = digits(n=20)
    model = small_net()
    before = weights(model)
    with pytest.raises(error, match=text):
        model.fit(x, y, augment=augment, verbose=0)
    assert same(weights(model), before) and model.step == 0


@pytest.mark.parametrize(
    ("augment", "loss", "text"),
    [
        (MixUp(num_classes=3), "nll", "NLLLoss: expected target of 1 integer labels, got float"),
        (CutMix(num_classes=4), "softmax_cross_entropy", r"or probabilities of shape \(1, 3\), got float.* \(1, 4\)"),
    ],
)
def test_labels_that_the_loss_does_not_take_are_refused_before_anything_is_written(augment, loss, text, tmp_path):
    x, y = digits(n=20)
    log = tmp_path / "log.csv"
    log.write_text("precious")
    with pytest.raises(LabelError, match=text):
        small_net().fit(x, y, augment=Compose([augment]), loss=loss, callbacks=[CSVLogger(log)], verbose=0)
    assert log.read_text() == "precious"


def test_rows_of_numbers_are_no_images():
    x, y = digits(n=20)
    with pytest.raises(ShapeError):
        small_net().fit(x.reshape(20, 36), y, augment=ColorJitter(0.1), verbose=0)
