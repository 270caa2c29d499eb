"""Looks at states that come out of a file, before a callback takes them."""

from collections.abc import Mapping
from typing import Any

from xpcnn.backend import Array, is_array
from xpcnn.errors import StateDictError
from xpcnn.settings import count, shown

__all__ = ["checked_weights", "epoch_or_none"]


def epoch_or_none(who: object, name: str, value: Any) -> int | None:
    """
    The number of an epoch, or of a batch, if there is one.

    Raises
    ------
    ConfigError
    """
    return None if value is None else count(who, name, value, least=0)


def checked_weights(who: object, name: str, given: Any, own: Mapping[str, Array]) -> dict[str, Array]:
    """
    Arrays by name that fit those of the model.

    Raises
    ------
    StateDictError
        If names or shapes are others; lists all of them.
    """
    if not isinstance(given, dict) or not all(is_array(a) for a in given.values()):
        message = f"{type(who).__name__}: expected {name} to be arrays by name, got {shown(given)}"
        raise StateDictError(message)
    differences = [f"{key} is missing" for key in own if key not in given]
    differences += [f"{key} has no place" for key in given if key not in own]
    differences += [
        f"{key}: {tuple(given[key].shape)} is not {tuple(a.shape)}"
        for key, a in own.items()
        if key in given and tuple(given[key].shape) != tuple(a.shape)
    ]
    if differences:
        message = f"{type(who).__name__}: expected {name} of this model, got others: {'; '.join(differences)}"
        raise StateDictError(message)
    return given
