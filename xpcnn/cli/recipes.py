"""How each network is trained unless the options say otherwise, and the schedules by their names."""

from typing import NamedTuple

from xpcnn import optimizers
from xpcnn.optimizers import CosineAnnealingLR, LinearWarmup, Optimizer, StepLR

__all__ = ["DEFAULT", "LEARNING_RATES", "RECIPES", "SCHEDULES", "Recipe", "make_optimizer", "recipe"]


class Recipe(NamedTuple):
    """Defaults of a training run."""

    epochs: int = 5
    batch_size: int = 64
    optimizer: str = "adam"
    lr: float = 1e-3
    schedule: str = "cosine"


DEFAULT = Recipe()

# those that differ from DEFAULT; the figures of docs/results.md come from these
RECIPES: dict[str, Recipe] = {
    "keras_mnist": Recipe(epochs=15, batch_size=128, lr=4e-3),
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
}

SCHEDULES = {
    "constant": "the same learning rate throughout",
    "step": "a tenth of it after each third of the steps",
    "cosine": "grows over the first twentieth of the steps, then falls to 0 as half a cosine",
}


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
