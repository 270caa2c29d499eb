"""The gradient certificate: every layer and loss, with the settings of :mod:`xpcnn.testing.cases`, on one device."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from xpcnn.backend import Device, Key

from .adjoint import adjoint_error
from .cases import LayerCase, LossCase, cases
from .differences import Difference, described
from .gradients import TOLERANCE, measure_gradients, measure_loss_gradients

__all__ = ["ADJOINT_TOLERANCE", "Failure", "Row", "certificate", "names"]

ADJOINT_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Failure:
    """A gradient that is wrong, or could not be had; `got` and `expected` along one direction, if it came to that."""

    setting: str
    array: str
    text: str
    got: float | None = None
    expected: float | None = None
    error: float = math.inf


@dataclass(frozen=True)
class Row:
    """What was found about one layer or loss."""

    name: str
    settings: int
    arrays: int
    error: float
    array: str  # where the error is
    adjoint: float | None  # for what is linear
    failures: tuple[Failure, ...]

    @property
    def ok(self) -> bool:
        return not self.failures


def names() -> list[str]:
    """Names of all layers and losses that are checked, in that order."""
    return list(dict.fromkeys(case.name for case in cases()))


def certificate(device: Device, only: Collection[str] | None = None) -> Iterator[Row]:
    """
    Check gradients on a device.

    Parameters
    ----------
    device : Device
        Where to compute, in float64.
    only : collection of str, optional
        Names of layers and losses; default: all.

    Yields
    ------
    row : Row
        One for each layer and loss, as soon as it is known. Whatever goes wrong is a result, not an exception.

    Notes
    -----
    All arrays of all settings are compared with central differences in three random directions, see
    :func:`xpcnn.testing.check_gradients`. Losses are checked once more with weights of samples. What is linear in x
    must keep ``<A x, dy> == <x, A' dy>``, too.
    """
    every = cases()
    for name in names():
        if only is None or name in only:
            yield _row(name, [case for case in every if case.name == name], device)


def _row(name: str, settings: list[LayerCase | LossCase], device: Device) -> Row:
    found: list[Difference] = []
    adjoints: list[float] = []
    failures: list[Failure] = []
    for number, case in enumerate(settings):
        key = Key(0, f"certificate/{name}/{number}")
        try:
            own, adjoint = _measured(case, device, key)
        except Exception as error:  # a broken layer or library may raise anything, and that is what is to be found out
            line = next(iter(str(error).strip().splitlines()), "")
            failures.append(Failure(str(case), "", f"{type(error).__name__}: {line}"))
            continue
        found += own
        for one in own:
            if not one.error <= TOLERANCE:
                text = described(one, TOLERANCE)
                failures.append(Failure(str(case), one.array, text, one.got, one.expected, one.error))
        if adjoint is not None:
            adjoints.append(adjoint)
            if not adjoint <= ADJOINT_TOLERANCE:
                text = f"<A x, dy> and <x, A' dy> differ by {adjoint:.2g} of their terms, expected at most "
                failures.append(Failure(str(case), "x", f"{text}{ADJOINT_TOLERANCE:.2g}", error=adjoint))
    worst = max(found, key=lambda one: one.error, default=None)
    return Row(
        name,
        len(settings),
        len(found),
        math.inf if worst is None else worst.error,
        "" if worst is None else worst.array,
        max(adjoints, default=None),
        tuple(failures),
    )


def _measured(case: LayerCase | LossCase, device: Device, key: Key) -> tuple[list[Difference], float | None]:
    if isinstance(case, LossCase):
        prediction, target, weights = case.arrays(device, key)
        plain = measure_loss_gradients(case.loss(), prediction, target, key=key)
        weighted = measure_loss_gradients(case.loss(), prediction, target, sample_weight=weights, key=key)
        return [*plain, *weighted], None
    layer, x = case.layer(device, key), case.x(device, key)
    return measure_gradients(layer, x, key=key), adjoint_error(layer, x, key) if case.linear else None
