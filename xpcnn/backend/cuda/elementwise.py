"""Bodies of ops that treat each entry by itself, each as one kernel, in the memory order of their first array."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from . import launch
from .each import Program, Row, program, start
from .trace import PLAIN, Trace, remembered

__all__: list[str] = []  # found by their names in the registry


@accelerates("elementwise", "cupy")
def elementwise(body: Callable[..., Any], args: Sequence[Any], named: Mapping[str, Any]) -> Array | None:
    """
    What ``body(*args, **named)`` gives, in one launch; None where the body has to do it, or to refuse it.

    Parameters
    ----------
    body : callable
        A function of arrays of one shape, and of plain settings, that treats each entry by itself.
    args, named
        What it is called with.
    """
    given = [*args, *named.values()]
    x = given[0]
    arrays = [a for a in given if type(a) is type(x)]
    if not all(a.shape == x.shape and launch.answers(a) for a in arrays):
        return None
    # as text, since 0.0 and -0.0 are equal
    settings = [a.dtype.name if type(a) is type(x) else repr(a) if type(a) in PLAIN else None for a in given]
    if None in settings:
        return None
    key = body, x.ndim, *settings, tuple(named)
    found = remembered(key, body.__qualname__, lambda: _traced(body, args, named, x))
    if found is None:
        return None
    made, dtype = found
    y = launch.cupy().empty_like(x, dtype=dtype)
    start(made, [Row([*arrays, y], made.written)])
    return y


def _traced(
    body: Callable[..., Any], args: Sequence[Any], named: Mapping[str, Any], x: Array
) -> tuple[Program, np.dtype]:
    trace = Trace()

    def symbol(a: Any) -> Any:
        # an array of no axes is one entry
        return trace.array(a.dtype, x.ndim) if type(a) is type(x) else a

    y = body(*map(symbol, args), **{name: symbol(a) for name, a in named.items()})
    dtype = y.value.dtype
    return program(body.__qualname__, trace, [(trace.column(dtype), y.value)], most=1), dtype


@accelerates("add", "cupy")
def add(a: Array, b: Array) -> Array:
    """The sum of two arrays, in the memory order of the first."""
    y = elementwise(_plus, (a, b), {})
    return a + b if y is None else y


def _plus(a: Array, b: Array) -> Array:
    return a + b
