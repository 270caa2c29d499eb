"""Settings of optimizers and schedules, written out again as plain data."""

import inspect
from typing import Any

from xpcnn.errors import ConfigError

__all__ = ["Configured"]


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
