"""Settings of optimizers and schedules: checked once when they are made, and written out again as plain data."""

import inspect
import math
from numbers import Integral, Real
from typing import Any

from xpcnn.errors import ConfigError

__all__ = ["Configured", "count", "flag", "number"]


class Configured:
    """Something whose attributes are named as its constructor's arguments."""

    def config(self) -> dict[str, Any]:
        """
        Class name and constructor arguments, as JSON can hold them.

        Raises
        ------
        ConfigError
            If an argument is a function of the caller's own, which plain data cannot hold.

        Examples
        --------
        >>> from xpcnn.optimizers import StepLR
        >>> StepLR(0.1, step_size=30).config()
        {'name': 'StepLR', 'lr': 0.1, 'step_size': 30, 'gamma': 0.1}
        """
        return {"name": type(self).__name__, **{name: self._plain(name) for name in self._arguments()}}

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._arguments())
        return f"{type(self).__name__}({inside})"

    def _arguments(self) -> list[str]:
        return list(inspect.signature(type(self)).parameters)

    def _plain(self, name: str) -> Any:
        value = getattr(self, name)
        if isinstance(value, Configured):
            return value.config()
        if callable(value):
            who = type(self).__name__
            message = f"{who}.config: {name}={value!r} is a function: only the schedules of xpcnn can be kept"
            raise ConfigError(message)
        return list(value) if isinstance(value, tuple) else value


def number(
    who: object, name: str, value: Any, *, above: float | None = None, least: float | None = None,
    below: float | None = None, most: float | None = None,
) -> float:  # fmt: skip
    """
    A setting as a Python float, if it is a finite number within its limits.

    A Python float, because a NumPy float64 would promote float32 arrays.

    Parameters
    ----------
    who : object
        Named by its class in the error.
    name : str
    value : object
    above, least : float, optional
        Lower limit, excluded and included.
    below, most : float, optional
        Upper limit, excluded and included.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> number(None, "eps", 1, above=0)
    1.0
    """
    fits = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    fits = fits and (above is None or value > above) and (least is None or value >= least)
    fits = fits and (below is None or value < below) and (most is None or value <= most)
    if fits:
        return float(value)
    limits = ((">", above), (">=", least), ("<", below), ("<=", most))
    wanted = " and ".join(f"{sign} {limit:g}" for sign, limit in limits if limit is not None)
    message = f"{type(who).__name__}: expected {name} to be a finite number {wanted}".rstrip() + f", got {value!r}"
    raise ConfigError(message)


def count(who: object, name: str, value: Any) -> int:
    """A setting as a Python int, if it is a whole number of 1 or more; ConfigError otherwise."""
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1:
        return int(value)
    message = f"{type(who).__name__}: expected {name} to be a whole number >= 1, got {value!r}"
    raise ConfigError(message)


def flag(who: object, name: str, value: Any) -> bool:
    """A setting that must be True or False; ConfigError otherwise."""
    if isinstance(value, bool):
        return value
    message = f"{type(who).__name__}: expected {name} to be True or False, got {value!r}"
    raise ConfigError(message)
