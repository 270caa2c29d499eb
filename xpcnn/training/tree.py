"""Nested state, such as that of a callback, as JSON and a flat dict of arrays."""

from __future__ import annotations

import math
import re
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from xpcnn.backend import Array, is_array, resolve, to_numpy
from xpcnn.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["as_it_lay", "layout", "pack", "unpack"]

ARRAY, AXES, FLOATS, NUMBER = MARKED = "$array", "$axes", "$floats", "$number"  # of what JSON does not have
MARKS = frozenset(MARKED)
NAME = re.compile(r"[A-Za-z0-9_./-]{1,1000}")  # that an array may have in a file
LONG = 100  # numbers in a list
LARGEST = 10**29  # of what a file may hold as a number


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
    if not is_array(value) and getattr(value, "ndim", None) == 0:
        value = value.item()  # NumPy's scalars
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Integral):
        plain_integer = int(value)
        return plain_integer if abs(plain_integer) < LARGEST else {NUMBER: str(plain_integer)}
    if isinstance(value, Real):
        plain = float(value)
        return plain if math.isfinite(plain) else {NUMBER: str(plain)}
    if is_array(value):
        name = path if path not in arrays and NAME.fullmatch(path) else f"{path.split('/')[0]}/{len(arrays)}"
        arrays[name] = to_numpy(value)
        axes = layout(value)
        return {ARRAY: name} if axes == sorted(axes) else {ARRAY: name, AXES: axes}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value) and not MARKS & value.keys():
        return {key: pack(one, f"{path}/{key}", arrays) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        if len(value) > LONG and all(type(one) is float for one in value):  # JSON of these would be slow
            return {FLOATS: pack(resolve("cpu").xp.asarray(value), path, arrays)[ARRAY]}
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
        return int(value[NUMBER]) if value[NUMBER].lstrip("-").isdecimal() else float(value[NUMBER])
    if not MARKS & value.keys():
        return {key: unpack(one, arrays) for key, one in value.items()}
    name = value[FLOATS] if FLOATS in value else value[ARRAY]
    if name not in arrays:
        message = f"the state names an array {name!r} that is not in the file"
        raise CheckpointError(message)
    if FLOATS in value:
        return arrays[name].tolist()
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
