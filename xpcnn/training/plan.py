"""What `fit` was asked for, checked, before anything is computed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from xpcnn.backend import Array
from xpcnn.data.augment import Transform
from xpcnn.errors import ConfigError
from xpcnn.layers import Loss
from xpcnn.models import Model
from xpcnn.settings import count, flag, integer, number

from . import door
from .metrics import check_metrics
from .samples import ClassWeight, Samples, enter

__all__ = ["Plan", "make_plan"]


class Plan(NamedTuple):
    """One run: which samples, how often, and what is measured."""

    train: Samples
    validation: Samples | None
    epochs: int
    batch_size: int
    shuffle: bool
    augment: Transform | None
    metrics: tuple[str, ...]
    names: list[str]
    verbose: int

    def params(self) -> dict[str, Any]:
        """What callbacks are told before the first step."""
        n = self.train.x.shape[0]
        steps = -(-n // self.batch_size)
        return {"epochs": self.epochs, "steps": steps, "samples": n, "metrics": self.names}

    @property
    def check_size(self) -> int:
        """Samples in a batch of validation, which needs less memory than one of training."""
        return max(self.batch_size, 256)


def make_plan(
    model: Model,
    loss: Loss,
    x: Array,
    y: Array,
    *,
    epochs: int,
    batch_size: int,
    validation_data: Any,
    validation_split: float,
    shuffle: bool,
    verbose: str | int,
    augment: Transform | None,
    class_weight: ClassWeight | None,
    sample_weight: Array | None,
    metrics: Sequence[str],
    overfit_batches: int | None,
    dry_run: bool,
) -> Plan:
    """
    Check and move everything; the arguments are those of `Model.fit`.

    Raises
    ------
    ShapeError, LabelError, DtypeError, NamespaceError, ConfigError
    """
    epochs = count("fit", "epochs", epochs)
    batch_size = count("fit", "batch_size", batch_size)
    shuffle = flag("fit", "shuffle", shuffle)
    share = number("fit", "validation_split", validation_split, least=0, below=1)
    few = None if overfit_batches is None else count("fit", "overfit_batches", overfit_batches)
    quiet = _verbosity(verbose)
    train = enter("fit", model, loss, x, y, sample_weight, class_weight)
    n = train.x.shape[0]
    # what is held back keeps the weights of its samples, but not those of the classes, which are for training
    unweighed = train if class_weight is None else train._replace(weight=None)

    validation = None
    if validation_data is not None:
        if share:
            message = "fit: expected validation_data or validation_split, got both: leave one of them away"
            raise ConfigError(message)
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            message = (
                "fit: expected validation_data to be a pair (x, y), or a triple (x, y, sample_weight), "
                f"got {type(validation_data).__name__}"
            )
            raise ConfigError(message)
        validation = enter("fit, validation_data", model, loss, *validation_data)
    elif share:
        first = int(n * (1.0 - share))
        if first in (0, n):
            message = f"fit: expected validation_split to leave samples on both sides, got {share} of {n} samples"
            raise ConfigError(message)
        train, validation = train.part(0, first), unweighed.part(first, n)
    if few is not None:
        end = min(few * batch_size, train.x.shape[0])
        train, validation = train.part(0, end), unweighed.part(0, end)
        shuffle = False
    door.check_batches("fit", model, tuple(train.x.shape), batch_size)
    if augment is not None:
        door.check_augment("fit", model, loss, augment, train.x, train.y)
    wanted = check_metrics("fit", model, loss, train.x, metrics)
    names = ["loss", *(["accuracy"] if loss.classifies else []), *wanted]
    names += [] if validation is None else [f"val_{name}" for name in names]
    plan = Plan(train, validation, epochs, batch_size, shuffle, augment, wanted, names, quiet)
    if flag("fit", "dry_run", dry_run):
        train = train.part(0, min(batch_size, train.x.shape[0]))
        if validation is not None:
            validation = validation.part(0, min(plan.check_size, validation.x.shape[0]))
        plan = plan._replace(train=train, validation=validation, epochs=1)
    return plan


def _verbosity(verbose: str | int) -> int:
    if isinstance(verbose, bool):
        return int(verbose)
    if verbose != "auto" if isinstance(verbose, str) else integer(verbose) not in (0, 1, 2):
        message = f"fit: expected verbose to be 'auto', 0, 1 or 2, got {verbose!r}"
        raise ConfigError(message)
    return int(verbose) if verbose != "auto" else 1 if sys.stderr.isatty() else 2
