"""
Settings, checked once where they come in: a number, a count, a flag.

NumPy's scalars are as good as Python's. What comes out is plain Python, because a NumPy float64 among the settings
would promote float32 arrays, and JSON could not hold it.
"""

import math
import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any

from .errors import ConfigError

__all__ = ["count", "flag", "integer", "like", "number", "readable", "shape", "shown"]

_LARGEST = 2**63 - 1  # of an int64, in which arrays count


def number(
    who: object, name: str, value: Any, *, above: float | None = None, least: float | None = None,
    below: float | None = None, most: float | None = None,
) -> float:  # fmt: skip
    """
    A setting as a Python float, if it is a finite number within its limits.

    Parameters
    ----------
    who : str or object
        Named in the error; an object by its class.
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
    >>> number("BatchNorm2d", "eps", 1, above=0)
    1.0
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            plain = float(value)
        except OverflowError:
            plain = math.inf
        fits = math.isfinite(plain)
        fits = fits and (above is None or plain > above) and (least is None or plain >= least)
        fits = fits and (below is None or plain < below) and (most is None or plain <= most)
        if fits:
            return plain
    limits = ((">", above), (">=", least), ("<", below), ("<=", most))
    wanted = " and ".join(f"{sign} {limit:g}" for sign, limit in limits if limit is not None)
    message = f"{_called(who)}: expected {name} to be a finite number {wanted}".rstrip() + f", got {shown(value)}"
    raise ConfigError(message)


def count(who: object, name: str, value: Any, least: int | None = 1, most: int = _LARGEST) -> int:
    """
    A setting as a Python int, if it is an integer within its limits.

    Parameters
    ----------
    who : str or object
        Named in the error; an object by its class.
    name : str
    value : object
    least : int, optional
        None: no lower limit.
    most : int

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> import numpy as np
    >>> count("fit", "epochs", np.int64(3))
    3
    """
    plain = integer(value)
    if plain is not None and (least is None or plain >= least) and plain <= most:
        return plain
    wanted = "" if least is None else f" of at least {least}" if most == _LARGEST else f" from {least} to {most}"
    message = f"{_called(who)}: expected {name} to be an integer{wanted}, got {shown(value)}"
    raise ConfigError(message)


def flag(who: object, name: str, value: Any) -> bool:
    """
    A setting that must be True or False, not something that merely counts as one of them.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> flag("Conv2d", "bias", False)
    False
    """
    plain = value.item() if getattr(value, "shape", None) == () else value  # NumPy's bool is none of Python's
    if isinstance(plain, bool):
        return plain
    message = f"{_called(who)}: expected {name} to be True or False, got {shown(value)}"
    raise ConfigError(message)


def integer(value: Any) -> int | None:
    """
    The integer that something is, or None; True and False are none.

    Examples
    --------
    >>> import numpy as np
    >>> integer(np.int32(3)), integer(3.0), integer(True)
    (3, None, None)
    """
    if isinstance(value, bool) or str(getattr(value, "dtype", "")) == "bool":
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def shape(who: object, name: str, value: Any) -> tuple[int, ...]:
    """
    The shape of an array as a tuple of Python integers.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> shape("Sequential", "input_shape", [1, 28, 28])
    (1, 28, 28)
    """
    try:
        sizes = [integer(size) for size in value]
    except TypeError:  # nothing to go through
        sizes = [None]
    plain = tuple(size for size in sizes if size is not None and size >= 1)
    if len(plain) == len(sizes):
        return plain
    message = f"{_called(who)}: expected {name} to be a tuple of integers of at least 1, got {shown(value)}"
    raise ConfigError(message)


def shown(value: object, most: int = 100) -> str:
    """
    How a value looks in an error's text: in one line of at most so many characters.

    Examples
    --------
    >>> shown("adam"), shown(list(range(1000)), most=12)
    ("'adam'", '[0, 1, 2,...')
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= most else text[: most - 3] + "..."


def like(value: object, names: Iterable[str]) -> str:
    """
    The end of an error's text, for a name that is nearly one of those that there are.

    Examples
    --------
    >>> like("Adam", ["adam", "sgd"])
    ": did you mean 'adam'?"
    """
    from difflib import get_close_matches  # for errors only

    found = {name.lower(): name for name in names}
    near = get_close_matches(value.lower(), found, n=1, cutoff=0.5) if isinstance(value, str) else []
    return f": did you mean {found[near[0]]!r}?" if near else ""


def readable(size: int) -> str:
    """
    A number of bytes in the unit that suits it.

    Examples
    --------
    >>> readable(512), readable(1536), readable(3 * 2**40)
    ('512 B', '1.5 KiB', '3,072.0 GiB')
    """
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size:,.0f} B"


def _called(who: object) -> str:
    return who if isinstance(who, str) else type(who).__name__
