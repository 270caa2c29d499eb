"""Defaults of training runs."""

import math

import numpy as np
import pytest

from xpcnn import optimizers
from xpcnn.cli import networks, recipes
from xpcnn.optimizers import StepLR


def test_every_optimizer_of_the_library_has_a_learning_rate():
    assert set(recipes.LEARNING_RATES) == set(optimizers._NAMED)


def test_every_recipe_is_of_a_network_and_makes_sense():
    assert set(recipes.RECIPES) <= set(networks.NETWORKS)
    for recipe in [recipes.DEFAULT, *recipes.RECIPES.values()]:
        assert recipe.epochs >= 1
        assert recipe.batch_size >= 1
        recipes.make_optimizer(recipe.optimizer, recipe.lr, recipe.schedule, 10)


@pytest.mark.parametrize("name", recipes.AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 2, 3)])
def test_every_augmentation_takes_the_images_of_the_data_sets(name, shape):
    transform = recipes.make_augment(name, *shape[1:], 10)
    x, y = np.random.default_rng(0).random((6, *shape)), np.arange(6)
    changed, labels = transform(x, y, range(6))
    assert changed.shape == x.shape
    assert labels.shape == ((6, 10) if name in ("mixup", "cutmix") else (6,))
    if min(shape[1:]) > 9:
        assert not np.array_equal(changed, x)


@pytest.mark.parametrize("steps", [1, 2, 3, 19, 20, 21, 1000])
@pytest.mark.parametrize("schedule", list(recipes.SCHEDULES))
def test_every_schedule_keeps_above_zero_and_reaches_its_rate_at_most(schedule, steps):
    lr = recipes.make_optimizer("sgd", 0.5, schedule, steps).lr
    rates = [lr(step) if callable(lr) else lr for step in range(steps)]
    assert min(rates) > 0
    assert max(rates) == 0.5


def test_cosine_warms_up_falls_and_ends_near_zero():
    lr = recipes.make_optimizer("adam", 1.0, "cosine", 200).lr
    rates = [lr(step) for step in range(200)]
    assert rates.index(max(rates)) == 10
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-3
    assert math.isclose(rates[105], 0.5)


def test_step_falls_twice():
    lr = recipes.make_optimizer("adam", 1.0, "step", 100).lr
    assert isinstance(lr, StepLR)
    assert len({lr(step) for step in range(100)}) == 3


def test_options_win_over_the_recipe_and_another_optimizer_has_its_own_rate(monkeypatch, xpcnn, small):
    monkeypatch.setitem(recipes.RECIPES, "keras_mnist", recipes.Recipe(2, 128, "adam", 3e-3, "constant"))
    train = ("train", "--model", "keras_mnist", "--device", "cpu", "--json")

    def chosen(*argv):
        options = xpcnn(*train, *argv).json["options"]
        return {name: options[name] for name in recipes.Recipe._fields}

    own = {"epochs": 2, "batch_size": 128, "optimizer": "adam", "lr": 3e-3, "schedule": "constant", "augment": "none"}
    assert chosen() == own
    assert chosen("--optimizer", "adam", "--epochs", 1) == {**own, "epochs": 1}
    assert chosen("--optimizer", "sgd") == {**own, "optimizer": "sgd", "lr": recipes.LEARNING_RATES["sgd"]}
    assert chosen("--optimizer", "sgd", "--lr", 0.01) == {**own, "optimizer": "sgd", "lr": 0.01}
    assert "2 for keras_mnist" in " ".join(xpcnn("train", "--help").out.split())
