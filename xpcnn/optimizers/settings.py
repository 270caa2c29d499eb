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
        return {"name": type(self).__name__, **{name: self._plain(name) for name in self.arguments()}}

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.arguments().items())
        return f"{type(self).__name__}({inside})"

    def arguments(self) -> dict[str, Any]:
        """
        The constructor's arguments as they are now.

        Examples
        --------
        >>> from xpcnn.optimizers import ExponentialLR
        >>> ExponentialLR(0.1, gamma=0.5).arguments()
        {'lr': 0.1, 'gamma': 0.5}
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def _plain(self, name: str) -> Any:
        def plain(value: Any) -> Any:
            if isinstance(value, Configured):
                return value.config()
            if isinstance(value, (list, tuple)):
                return [plain(item) for item in value]
            if callable(value):
                who = type(self).__name__
                message = f"{who}.config: {name}={value!r} is a function: only the schedules of xpcnn can be kept"
                raise ConfigError(message)
            return value

        return plain(getattr(self, name))
