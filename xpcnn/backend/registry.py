"""
Which kernel answers for an operation on an array library.

The generic body in ``xpcnn.ops`` is the truth and always exists. A faster body may register under the same name for
one library; ``XPCNN_KERNELS=generic`` turns all of them off.

A kernel with the name of an op is called by it, right after its checks, with the arrays and the settings in the normal
form that the op itself goes on with (pairs, a border of four, `Cuts`, `PoolWindows`), and gives what the op returns. It
never writes to its arguments, and it may answer None: then the generic body does the work, for options, dtypes or sizes
for which the kernel is not made.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from xpcnn.errors import ConfigError

from .namespace import Array, library

__all__ = ["FLOATS", "accelerated", "accelerates", "generic_only", "kernel"]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))  # what kernels are made for; CuPy's dtypes are NumPy's

F = TypeVar("F", bound=Callable[..., Any])

_kernels: dict[tuple[str, str], Callable[..., Any]] = {}


def accelerates(op: str, library: str) -> Callable[[F], F]:
    """Register the decorated function as the kernel for `op` on arrays of `library` (``"numpy"``, ``"cupy"``)."""

    def register(function: F) -> F:
        _kernels[op, library] = function
        return function

    return register


def generic_only() -> bool:
    """
    Whether ``$XPCNN_KERNELS`` turns all accelerated kernels off.

    Raises
    ------
    ConfigError
        If it holds anything but "generic".

    Examples
    --------
    >>> generic_only() == (os.environ.get("XPCNN_KERNELS") == "generic")
    True
    """
    asked = os.environ.get("XPCNN_KERNELS")
    if not asked:
        return False
    if asked == "generic":
        return True
    message = f"XPCNN_KERNELS: expected 'generic' or nothing, got {asked!r}: 'generic' means no accelerated kernels"
    raise ConfigError(message)


def kernel(op: str, library: str) -> Callable[..., Any] | None:
    """
    Accelerated kernel for an operation, or None where the generic body answers.

    Raises
    ------
    ConfigError
        As :func:`generic_only`.

    Examples
    --------
    >>> kernel("no_such_op", "numpy") is None
    True
    """
    if generic_only():
        return None
    return _kernels.get((op, library))


def accelerated(op: str, x: Array, *others: Any) -> Any:
    """
    What the kernel for an operation answers on the library of `x`, or None where the generic body has to.

    Examples
    --------
    >>> import numpy as np
    >>> accelerated("no_such_op", np.zeros(2)) is None
    True
    """
    fast = kernel(op, library(x))
    return None if fast is None else fast(x, *others)
