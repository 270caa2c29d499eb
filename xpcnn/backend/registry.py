"""
Which kernel answers for an operation on an array library.

The generic body in ``xpcnn.ops`` is the truth and always exists. A faster body may register under the same name for
one library; ``XPCNN_KERNELS=generic`` turns all of them off.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["accelerates", "kernel"]

F = TypeVar("F", bound=Callable[..., Any])

_kernels: dict[tuple[str, str], Callable[..., Any]] = {}


def accelerates(op: str, library: str) -> Callable[[F], F]:
    """Register the decorated function as the kernel for `op` on arrays of `library` (``"numpy"``, ``"cupy"``)."""

    def register(function: F) -> F:
        _kernels[op, library] = function
        return function

    return register


def kernel(op: str, library: str) -> Callable[..., Any] | None:
    """
    Accelerated kernel for an operation, or None where the generic body answers.

    Examples
    --------
    >>> kernel("no_such_op", "numpy") is None
    True
    """
    if os.environ.get("XPCNN_KERNELS") == "generic":
        return None
    return _kernels.get((op, library))
