"""What the ready-made networks hand on to `Sequential`."""

from typing import Any

from xpcnn.errors import ConfigError
from xpcnn.settings import like

__all__ = ["check_options"]


def check_options(who: str, options: dict[str, Any], made_for: tuple[int, ...] | None = None) -> None:
    """
    Raise unless all options are some that a ready-made network takes.

    Parameters
    ----------
    who : str
    options : dict
        ``device``, ``dtype``, ``seed``, ``allow_tf32``, ``deterministic``, and ``input_shape`` where the network leaves
        it open.
    made_for : tuple of int, optional
        The one `input_shape` that the network is made for.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> check_options("lenet5", {"seed": 3})
    """
    names = ("allow_tf32", "deterministic", "device", "dtype", *(() if made_for else ("input_shape",)), "seed")
    unknown = next((name for name in options if name not in names), None)
    if unknown is None:
        return
    hint = f": it is made for images of {made_for}" if unknown == "input_shape" else like(unknown, names)
    message = f"{who}: expected options out of {', '.join(names[:-1])} and {names[-1]}, got {unknown}{hint}"
    raise ConfigError(message)
