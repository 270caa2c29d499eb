"""Which library an array belongs to, and how its numbers reach the host."""

from typing import Any, TypeAlias

import numpy as np

from xpcnn.errors import NamespaceError

__all__ = ["Array", "Namespace", "array_namespace", "device_of", "is_array", "is_writeable", "library", "to_numpy"]

Array: TypeAlias = Any
Namespace: TypeAlias = Any


def _compat() -> Any:
    """array-api-compat, imported when the first array that is not NumPy's comes along."""
    import array_api_compat

    return array_api_compat


def is_array(x: object) -> bool:
    """
    Whether `x` is an array of a library that xpcnn can compute with.

    Masked arrays and matrices are NumPy arrays with other rules, so they are not; neither are lists and scalars.

    Examples
    --------
    >>> is_array(np.zeros(2)), is_array([0.0, 0.0]), is_array(np.ma.zeros(2))
    (True, False, False)
    """
    if type(x) is np.ndarray:
        return True
    return not isinstance(x, (np.ndarray, np.generic)) and _compat().is_array_api_obj(x)


def array_namespace(*arrays: Array) -> Namespace:
    """
    Array API namespace ``xp`` of one or more arrays.

    NumPy answers with itself (it follows the standard since 2.1, and the wrapper costs 0.15 s to import); CuPy and
    torch with array-api-compat's wrappers; every other library with its own namespace.

    Raises
    ------
    NamespaceError
        If an argument is no array, or two arrays come from different libraries.

    Examples
    --------
    >>> array_namespace(np.zeros(3)) is np
    True
    """
    if all(type(a) is np.ndarray for a in arrays):
        return np
    for a in arrays:
        if not is_array(a):
            hint = "convert it with xp.asarray" if isinstance(a, (list, tuple, int, float)) else "pass a plain array"
            message = f"expected an array, got {type(a).__module__}.{type(a).__qualname__}: {hint}"
            raise NamespaceError(message)
    if any(type(a) is np.ndarray for a in arrays):
        kinds = sorted({library(a) for a in arrays})
        message = f"expected arrays of one library, got {' and '.join(kinds)}: move them with model.to or xp.asarray"
        raise NamespaceError(message)
    try:
        return _compat().array_namespace(*arrays)
    except TypeError as error:
        kinds = sorted({library(a) for a in arrays})
        message = f"expected arrays of one library, got {' and '.join(kinds)}: move them with model.to or xp.asarray"
        raise NamespaceError(message) from error


def is_writeable(x: Array) -> bool:
    """
    Whether the entries of `x` can be changed in place.

    Examples
    --------
    >>> is_writeable(np.zeros(2)), is_writeable(np.broadcast_to(0.0, 2))
    (True, False)
    """
    return x.flags.writeable if type(x) is np.ndarray else _compat().is_writeable_array(x)


def library(x: Array) -> str:
    """
    Name of the library that an array belongs to: ``"numpy"``, ``"cupy"``, ``"torch"``, ``"array_api_strict"``, ...

    Examples
    --------
    >>> library(np.zeros(3))
    'numpy'
    """
    return type(x).__module__.partition(".")[0]


def device_of(x: Array) -> Any:
    """Native device of an array, comparable with ``==``."""
    if type(x) is np.ndarray:
        return "cpu"
    return _compat().device(x)


def to_numpy(x: Array) -> np.ndarray:
    """
    The same numbers as a NumPy array; a copy only where they live elsewhere.

    This waits for the device. Layers and ops never call it.

    Examples
    --------
    >>> to_numpy(np.ones(2)).tolist()
    [1.0, 1.0]
    """
    if isinstance(x, (np.ndarray, np.generic)):
        return np.asarray(x)
    kind = library(x)
    if kind == "cupy":
        return x.get()
    if kind == "torch":
        return x.detach().cpu().numpy()
    if kind == "array_api_strict":
        x = x.to_device(array_namespace(x).Device("CPU_DEVICE"))
    return np.asarray(x)
