"""A figure among the logs of an epoch, and whether it got better."""

import logging
import math
from numbers import Real
from typing import Any

from xpcnn.errors import ConfigError
from xpcnn.settings import like, number, shown

__all__ = ["Monitor"]

log = logging.getLogger("xpcnn")


class Monitor:
    """
    The best value so far of one figure.

    Parameters
    ----------
    who : object
        Named in errors.
    name : str
        Such as ``"val_loss"``.
    mode : {"auto", "min", "max"}
        Which way is better; "auto": more for accuracy, ``top_5``, precision, recall and F1, less for others.
    min_delta : float, at least 0
        Smaller changes do not count as better.

    Attributes
    ----------
    best : float
    sign : float
        1 where less is better, -1 where more is.

    Raises
    ------
    ConfigError
    """

    def __init__(self, who: object, name: str, mode: str, min_delta: float) -> None:
        self.who = type(who).__name__
        if not isinstance(mode, str) or mode not in ("auto", "min", "max"):
            message = f"{self.who}: expected mode to be 'auto', 'min' or 'max', got {mode!r}"
            raise ConfigError(message)
        if not isinstance(name, str):
            message = f"{self.who}: expected monitor to be a name such as 'val_loss', got {name!r}"
            raise ConfigError(message)
        self.name = name
        self.min_delta = number(who, "min_delta", min_delta, least=0)
        more = any(word in name for word in ("acc", "top_", "precision", "recall", "f1"))
        self.sign = -1.0 if mode == "max" or (mode == "auto" and more) else 1.0
        self.reset()

    def reset(self) -> None:
        """Forget what was best."""
        self.best = self.sign * math.inf

    def expect(self, names: list[str]) -> None:
        """Raise `ConfigError` unless the run has a figure of that name."""
        if self.name in names:
            return
        message = f"{self.who}: expected monitor to be one of {', '.join(names)}, got {self.name!r}"
        if self.name.startswith("val_") and not any(name.startswith("val_") for name in names):
            message += ": pass validation_data or validation_split"
        else:
            message += like(self.name, names)
        raise ConfigError(message)

    def better(self, value: float) -> bool:
        """Whether the value is the best so far; if so it is kept."""
        if not self.sign * value < self.sign * self.best - self.min_delta:
            return False
        self.best = value
        return True

    def state(self) -> dict[str, Any]:
        """What was best, and of what, for a checkpoint."""
        return {"best": self.best, "name": self.name, "mode": self._mode()}

    def found(self, state: dict[str, Any]) -> float | None:
        """
        The best value of a state, which is not taken yet; None, and a line in the log, where it is of another figure.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is no state of such a one.
        """
        best, name, mode = state["best"], state["name"], state["mode"]
        if not isinstance(best, Real) or isinstance(best, bool) or math.isnan(best):
            message = f"{self.who}: expected the best {name} to be a number, got {shown(best)}"
            raise ValueError(message)
        if (name, mode) == (self.name, self._mode()):
            return float(best)
        text = "%s: the best was by %s (%s), and is by %s (%s) from here on: what was best is forgotten"
        log.warning(text, self.who, name, mode, self.name, self._mode())
        return None

    def _mode(self) -> str:
        return "min" if self.sign > 0 else "max"
