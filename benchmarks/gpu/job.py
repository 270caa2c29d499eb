"""What a process is told, and what a contender hands over to be measured."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .clocks import Clock


class Refused(Exception):
    """A contender does not do such a work; the text says why."""


@dataclass(frozen=True)
class Job:
    """
    Parameters
    ----------
    contender, model, batch, shape, optimizer, dtype, options
        See `works.Work`.
    folder : str
        What `prepare` wrote.
    device : {"cuda", "cpu"}
    tf32 : bool
        Whether float32 products may be taken of numbers of 10 bits.
    same_sums : bool
        Nothing random happens, so that all have the same losses.
    seconds : float
        How long to measure; 0: only the first steps.
    began : float
        When the process was started, in seconds of the day's time.
    """

    contender: str
    model: str
    batch: int
    shape: tuple[int, ...]
    optimizer: str | None
    dtype: str
    options: dict[str, Any]
    folder: str
    device: str
    tf32: bool
    same_sums: bool
    seconds: float
    began: float

    @property
    def classes(self) -> int:
        return int(self.options.get("num_classes", 10))

    def weights(self) -> dict[str, np.ndarray]:
        """The initial ones, in float32."""
        with np.load(Path(self.folder) / "weights.npz") as arrays:
            return dict(arrays)


class Ready(NamedTuple):
    """A contender: a step, which gives a loss or scores; how to read those on the host; its clock; and what it is."""

    step: Callable[[], Any]
    read: Callable[[Any], Any]
    clock: Clock
    about: str
