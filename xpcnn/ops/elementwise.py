"""Bodies that treat each entry by itself, and what may compute them in one go."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from xpcnn.backend import kernel, library

__all__ = ["elementwise"]

F = TypeVar("F", bound=Callable[..., Any])


def elementwise(body: F) -> F:
    """
    An op on arrays of one shape that treats each entry by itself.

    Where the library of the first argument has a kernel ``elementwise``, that may make one pass over memory of all
    that the body computes. It is given the body, and answers None where that has to compute itself, or to refuse.

    Parameters
    ----------
    body : callable
        Its result follows from its arguments alone.

    Examples
    --------
    >>> import numpy as np
    >>> elementwise(lambda x: x * x + 1.0)(np.asarray([2.0])).tolist()
    [5.0]
    """

    @functools.wraps(body)
    def op(*args: Any, **named: Any) -> Any:
        first = args[0] if args else next(iter(named.values()), None)
        fast = kernel("elementwise", library(first))
        found = None if fast is None else fast(body, args, named)
        return body(*args, **named) if found is None else found

    return op  # type: ignore[return-value]
