"""Nested state, such as that of a callback, as JSON and a flat dict of arrays."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from xpcnn.backend import Array, is_array, to_numpy
from xpcnn.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["as_it_lay", "layout", "pack", "unpack"]

ARRAY, AXES, NUMBER = "$array", "$axes", "$number"  # of dicts that stand for what JSON does not have


def pack(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """
    A tree of dicts, lists, numbers, texts, None and arrays as JSON can hold it.

    Parameters
    ----------
    value : object
    path : str
        Where it stands; arrays get names that begin so.
    arrays : dict
        Arrays are put here, as NumPy's.

    Raises
    ------
    ConfigError
        If there is anything else in it.

    Examples
    --------
    >>> pack({"best": float("inf"), "waited": 2}, "callbacks/0", {})
    {'best': {'$number': 'inf'}, 'waited': 2}
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        plain = float(value)
        return plain if math.isfinite(plain) else {NUMBER: str(plain)}
    if is_array(value):
        arrays[path] = to_numpy(value)
        axes = layout(value)
        return {ARRAY: path} if axes == sorted(axes) else {ARRAY: path, AXES: axes}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value) and not {ARRAY, NUMBER} & value.keys():
        return {key: pack(one, f"{path}/{key}", arrays) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(one, f"{path}/{i}", arrays) for i, one in enumerate(value)]
    kinds = "dicts with names, lists, arrays, numbers, texts and None"
    message = f"{path}: expected a state of {kinds}, got {type(value).__name__}: leave it away, or write it as these"
    raise ConfigError(message)


def unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """
    What was packed; tuples come back as lists.

    Raises
    ------
    CheckpointError
        If it names an array that is not there.

    Examples
    --------
    >>> unpack({"best": {"$number": "inf"}}, {})
    {'best': inf}
    """
    if isinstance(value, list):
        return [unpack(one, arrays) for one in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {NUMBER}:
        return float(value[NUMBER])
    if ARRAY not in value:
        return {key: unpack(one, arrays) for key, one in value.items()}
    name = value[ARRAY]
    if name not in arrays:
        message = f"the state names an array {name!r} that is not in the file"
        raise CheckpointError(message)
    return as_it_lay(arrays[name], value[AXES]) if AXES in value else arrays[name]


def layout(a: Array) -> list[int]:
    """
    The axes of an array from the outermost in memory to the innermost.

    Sums and products of matrices round differently in another order, so going on with the same bits needs the same.

    Examples
    --------
    >>> import numpy as np
    >>> layout(np.zeros((2, 3, 4)).transpose(0, 2, 1))
    [0, 2, 1]
    """
    strides = getattr(a, "strides", None)
    return sorted(range(a.ndim), key=lambda axis: -strides[axis]) if strides else [*range(a.ndim)]


def as_it_lay(a: np.ndarray, axes: list[int]) -> np.ndarray:
    """
    The same numbers with their axes in memory as :func:`layout` said.

    Raises
    ------
    ValueError
        If these are not the axes of such an array.

    Examples
    --------
    >>> import numpy as np
    >>> layout(as_it_lay(np.zeros((2, 3, 4)), [0, 2, 1]))
    [0, 2, 1]
    """
    back = [axes.index(axis) for axis in range(a.ndim)]
    return a.transpose(axes).copy(order="C").transpose(back)
