"""Numbers of 16 bits: their dtypes in each library, and casts from and to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from xpcnn.errors import ConfigError

from .namespace import Array, Namespace, array_namespace

__all__ = ["NARROW", "cast", "is_floating", "is_narrow", "narrow_dtype", "overflow_allowed"]

NARROW = ("bfloat16", "float16")


def narrow_dtype(xp: Namespace, name: str) -> Any:
    """
    The dtype of 16 bits of that name in a library; NumPy and CuPy have bfloat16 from the package ml_dtypes.

    Raises
    ------
    ConfigError
        If the library has none, or ml_dtypes is missing.

    Examples
    --------
    >>> narrow_dtype(np, "float16")
    <class 'numpy.float16'>
    """
    found = getattr(xp, name, None)
    if found is not None:
        return found
    library = xp.__name__.rpartition(".")[2]
    if library not in ("numpy", "cupy"):
        message = f"dtype: expected one that {library} has, got {name!r}: take 'float32' or 'float64' there"
        raise ConfigError(message)
    try:
        import ml_dtypes
    except ImportError as error:
        message = f"dtype: expected the package that {name!r} comes from, got none: pip install ml_dtypes"
        raise ConfigError(message) from error
    return ml_dtypes.bfloat16


def is_narrow(x: Array) -> bool:
    """
    Whether an array of floating numbers holds 16 bits a number.

    Examples
    --------
    >>> is_narrow(np.zeros(2, dtype="float16")), is_narrow(np.zeros(2)), is_narrow(np.zeros(2, dtype="int16"))
    (True, False, False)
    """
    return getattr(x.dtype, "itemsize", 0) == 2 and str(x.dtype).endswith(NARROW)


def is_floating(xp: Namespace, dtype: Any) -> bool:
    """
    Whether a dtype holds real floating numbers; bfloat16 is one that NumPy does not know as its own.

    Examples
    --------
    >>> is_floating(np, np.dtype("float16")), is_floating(np, np.dtype("int16"))
    (True, False)
    """
    try:
        return xp.isdtype(dtype, "real floating")
    except TypeError:
        return str(dtype) == "bfloat16"


def cast(value: Any, dtype: Any) -> Any:
    """
    An array, or each of a tuple of them, in a dtype; itself where it has that, and what is no array as it is.

    Numbers too large for 16 bits become infinite, without a warning.

    Examples
    --------
    >>> cast(np.asarray([1.0, 1e6]), np.float16).tolist()
    [1.0, inf]
    """
    if isinstance(value, tuple):
        return tuple(cast(one, dtype) for one in value)
    if getattr(value, "dtype", dtype) == dtype:
        return value
    with overflow_allowed():
        return array_namespace(value).astype(value, dtype)


@contextmanager
def overflow_allowed() -> Iterator[None]:
    """Where infinities are to be expected, NumPy keeps quiet about them; other libraries always do."""
    with np.errstate(over="ignore", invalid="ignore"):
        yield
