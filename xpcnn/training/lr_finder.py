"""Which learning rate to begin with: one sweep from tiny to huge, and a look at where the loss falls fastest."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xpcnn.backend import Array, to_numpy
from xpcnn.errors import ConfigError
from xpcnn.models import Model
from xpcnn.settings import count, number

from . import door
from .restore import restored
from .samples import Samples, enter
from .trainer import Trainer

__all__ = ["LRFinding", "lr_find"]


@dataclass(frozen=True)
class LRFinding:
    """
    What a sweep over learning rates found.

    Attributes
    ----------
    rates : list of float
    losses : list of float
        Of the batch, before the step with that rate.
    smoothed : list of float
        Their running mean.
    suggestion : float or None
        Where the smoothed loss falls fastest, by the logarithm of the rate; None where it falls nowhere.
    diverged : bool
        Whether the sweep ended because of the loss.
    """

    rates: list[float] = field(repr=False)  # hundreds of numbers, which nobody wants to see at a prompt
    losses: list[float] = field(repr=False)
    smoothed: list[float] = field(repr=False)
    suggestion: float | None
    diverged: bool

    def plot(self, path: str | Path) -> None:
        """
        Draw losses over rates into a file, with the suggestion; needs matplotlib.

        Parameters
        ----------
        path : str or Path
            The name's end decides the format: ``.png``, ``.svg``, ``.pdf``.

        Raises
        ------
        ConfigError
            If matplotlib is not there, or cannot write such a file.
        """
        try:
            figure: Any = importlib.import_module("matplotlib.figure").Figure()
        except ImportError as error:
            message = "LRFinding.plot: expected matplotlib, got none: pip install 'xpcnn[plot]'"
            raise ConfigError(message) from error
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, alpha=0.3, label="loss")
        axes.plot(self.rates, self.smoothed, label="smoothed")
        if self.suggestion is not None:
            axes.axvline(self.suggestion, linestyle="--", color="gray", label=f"lr = {self.suggestion:.2g}")
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
        axes.legend()
        try:
            figure.savefig(path)
        except (OSError, ValueError) as error:
            message = f"LRFinding.plot: {path} cannot be written ({error})"
            raise ConfigError(message) from error


def lr_find(
    trainer: Trainer | Model,
    x: Array,
    y: Array,
    *,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    batch_size: int = 32,
    smoothing: float = 0.9,
    diverge: float = 4.0,
    **options: Any,
) -> LRFinding:
    """
    Train for `steps` batches with a rate that grows from `start` to `end`, and say where the loss fell fastest.

    Afterwards model, step and optimizer are what they were, to the bit. Each step reads the loss, so on a GPU this is
    slower than training.

    Parameters
    ----------
    trainer : Trainer or model
    x, y : arrays
        As for `fit`; taken in its order, again from the beginning where there are fewer batches than steps.
    start, end : float, > 0
        ``rate[i] = start (end / start)^(i / (steps - 1))``. Groups of parameters all get it.
    steps : int, at least 3
    batch_size : int
    smoothing : float, 0 to below 1
        Weight of the past in the running mean, whose beginning is corrected as in Adam.
    diverge : float, above 1
        The sweep ends where the smoothed loss is over so many times its minimum so far, or no number.
    **options
        `loss`, `optimizer` and `penalty`, as for `fit`, where a model was given.

    Returns
    -------
    finding : LRFinding

    Raises
    ------
    ShapeError, LabelError, DtypeError, NamespaceError, ConfigError
        Before the first step.

    Notes
    -----
    The range test of Smith (2017), "Cyclical learning rates for training neural networks", section 3.3, with the
    exponential growth and the smoothing that became usual since. The suggestion is a good rate for a constant schedule;
    the peak of a one-cycle schedule may be several times higher.

    Examples
    --------
    >>> import numpy as np
    >>> from xpcnn import Linear, Sequential
    >>> x, y = np.eye(4, dtype="float32"), np.arange(4)
    >>> finding = lr_find(Sequential(Linear(4, 4)), x, y, optimizer="sgd", end=100.0)
    >>> finding.rates[0], 0.1 < finding.suggestion < 100.0
    (1e-07, True)
    """
    if isinstance(trainer, Model):
        trainer = Trainer(trainer, **options)
    elif not isinstance(trainer, Trainer) or options:
        got = f"{', '.join(options)} beside a Trainer" if options else repr(trainer)
        message = f"lr_find: expected a Trainer, or a model with loss, optimizer and penalty, got {got}"
        raise ConfigError(message)
    start = number("lr_find", "start", start, above=0)
    end = number("lr_find", "end", end, above=start)
    steps = count("lr_find", "steps", steps, least=3)
    batch_size = count("lr_find", "batch_size", batch_size)
    smoothing = number("lr_find", "smoothing", smoothing, least=0, below=1)
    diverge = number("lr_find", "diverge", diverge, above=1)
    model, optimizer = trainer.model, trainer.optimizer
    samples = enter("lr_find", model, trainer.loss, x, y)
    door.check_batches("lr_find", model, tuple(samples.x.shape), batch_size)

    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    mean, diverged = 0.0, False
    with restored(model, optimizer, trainer.loss_scale), model.home.active():
        for i, (x_batch, y_batch, _) in zip(range(steps), _endless(samples, batch_size, model.seed), strict=False):
            rate = start * (end / start) ** (i / (steps - 1))
            optimizer.lr = rate
            loss = float(to_numpy(trainer._step(x_batch, y_batch)))
            mean = smoothing * mean + (1.0 - smoothing) * loss
            corrected = mean / (1.0 - smoothing ** (i + 1))
            diverged = not math.isfinite(corrected) or (i > 0 and corrected > diverge * min(smoothed))
            if diverged:
                break
            rates, losses, smoothed = [*rates, rate], [*losses, loss], [*smoothed, corrected]
    return LRFinding(rates, losses, smoothed, steepest(rates, smoothed), diverged)


def steepest(rates: list[float], losses: list[float]) -> float | None:
    """
    The rate at which the loss falls fastest, before its minimum; None where it does not fall.

    Parameters
    ----------
    rates : list of float
        Growing by a constant factor.
    losses : list of float
        Compared over two places, as ``losses[i + 1] - losses[i - 1]``.

    Examples
    --------
    >>> steepest([0.1, 1.0, 10.0, 100.0], [4.0, 3.0, 0.0, 5.0])
    1.0
    """
    if not losses:
        return None
    lowest = losses.index(min(losses))
    slopes = {i: losses[i + 1] - losses[i - 1] for i in range(1, min(lowest + 1, len(losses) - 1))}
    best = min(slopes, key=lambda i: slopes[i], default=0)
    return rates[best] if slopes and slopes[best] < 0.0 else None


def _endless(samples: Samples, batch_size: int, seed: int) -> Iterator[Samples]:
    epoch = 0
    while True:
        yield from samples.cut(batch_size, seed=seed, epoch=epoch)
        epoch += 1
