"""How each network is trained unless the options say otherwise, and schedules and augmentations by their names."""

from collections.abc import Callable
from typing import NamedTuple

from xpcnn import optimizers
from xpcnn.data import augment
from xpcnn.optimizers import CosineAnnealingLR, LinearWarmup, Optimizer, StepLR

__all__ = [
    "AUGMENTATIONS",
    "DEFAULT",
    "LEARNING_RATES",
    "RECIPES",
    "SCHEDULES",
    "Recipe",
    "make_augment",
    "make_optimizer",
    "recipe",
]


class Recipe(NamedTuple):
    """Defaults of a training run."""

    epochs: int = 5
    batch_size: int = 64
    optimizer: str = "adam"
    lr: float = 1e-3
    schedule: str = "cosine"
    augment: str = "none"


DEFAULT = Recipe()

# those that differ from DEFAULT; the figures of docs/results.md come from these
RECIPES: dict[str, Recipe] = {
    "keras_mnist": Recipe(epochs=15, batch_size=128, lr=4e-3),
    "fashion_small": Recipe(epochs=8, batch_size=128, optimizer="adamw", lr=3e-3, augment="flip"),
    "fashion": Recipe(epochs=14, optimizer="adamw", lr=2e-3, augment="flip,erase"),
}

# for an optimizer that is not the recipe's
LEARNING_RATES = {
    "sgd": 0.1,
    "momentum": 0.02,
    "nesterov": 0.02,
    "adagrad": 0.01,
    "rmsprop": 1e-3,
    "adam": 1e-3,
    "adamw": 1e-3,
    "adadelta": 1.0,
    "adamax": 2e-3,
    "nadam": 1e-3,
    "radam": 1e-3,
    "lion": 1e-4,
    "lars": 1.0,
    "muon": 1e-3,
}

SCHEDULES = {
    "constant": "the same learning rate throughout",
    "step": "a tenth of it after each third of the steps",
    "cosine": "grows over the first twentieth of the steps, then falls to 0 as half a cosine",
}

# what they do, and how they are made for images of height h and width w and k classes
AUGMENTATIONS: dict[str, tuple[str, Callable[[int, int, int], augment.Transform]]] = {
    "flip": ("left and right exchanged, of every other image", lambda h, w, k: augment.RandomHorizontalFlip()),
    "vflip": ("top and bottom exchanged", lambda h, w, k: augment.RandomVerticalFlip()),
    "crop": (
        "moved by up to an eighth of the size",
        lambda h, w, k: augment.RandomCrop((h, w), padding=(h // 8, w // 8)),
    ),
    "rotate": ("turned by up to 10 degrees", lambda h, w, k: augment.RandomRotation(10)),
    "cutout": ("a square of a third of the height hidden", lambda h, w, k: augment.Cutout(max(h // 3, 1))),
    "erase": ("a random rectangle hidden in every other image", lambda h, w, k: augment.RandomErasing()),
    "jitter": ("brightness, contrast and colours changed", lambda h, w, k: augment.ColorJitter(0.2, 0.2, 0.2, 0.05)),
    "mixup": ("blended in pairs, alpha 0.2", lambda h, w, k: augment.MixUp(0.2, num_classes=k)),
    "cutmix": ("pieces exchanged in pairs", lambda h, w, k: augment.CutMix(num_classes=k)),
}


def make_augment(names: str, height: int, width: int, classes: int) -> augment.Transform | None:
    """
    The augmentation of a list of names.

    Parameters
    ----------
    names : str
        Of :data:`AUGMENTATIONS`, with commas between, carried out in this order; or ``"none"``.
    height, width : int
        Of the images.
    classes : int
        How many there are.

    Examples
    --------
    >>> make_augment("flip,cutout", 28, 28, 10)
    Compose([RandomHorizontalFlip(p=0.5), Cutout(length=9, n_holes=1, fill=0.0)])
    """
    if names == "none":
        return None
    return augment.Compose(AUGMENTATIONS[name][1](height, width, classes) for name in names.split(","))


def recipe(model: str) -> Recipe:
    """The defaults for a network."""
    return RECIPES.get(model, DEFAULT)


def make_optimizer(name: str, lr: float, schedule: str, steps: int) -> Optimizer:
    """
    The optimizer of a name with a schedule over so many steps.

    Parameters
    ----------
    name : str
        Of :data:`LEARNING_RATES`.
    lr : float
        Largest learning rate.
    schedule : {"constant", "step", "cosine"}
    steps : int
        Steps of the whole run.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> optimizer = make_optimizer("adam", 0.1, "step", 9)
    >>> [round(optimizer.lr(step), 4) for step in (0, 3, 8)]
    [0.1, 0.01, 0.001]
    """
    if schedule == "constant":
        return optimizers.get(name, lr)
    if schedule == "step":
        return optimizers.get(name, StepLR(lr, step_size=-(-steps // 3), gamma=0.1))
    warmup = steps // 20
    cosine = CosineAnnealingLR(lr, T_max=steps - warmup)
    return optimizers.get(name, LinearWarmup(cosine, warmup) if warmup else cosine)
