"""Loss scaling: all gradients in one launch, and the scale in one."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import FLOATS, accelerates

from . import launch
from .each import Program, Row, program, start
from .trace import Trace, remembered

__all__: list[str] = []  # found by their names in the registry


@accelerates("unscaled", "cupy")
def unscaled(first: Array, grads: dict[str, Array], scale: Array) -> dict[str, Array] | None:
    """``g * (1 / scale)`` of all gradients, as new arrays; None unless all have the dtype of the 0-d scale."""
    if not all(launch.answers(g) and g.dtype == scale.dtype for g in grads.values()):
        return None
    found = _unscaling(scale.dtype)
    new = {name: launch.cupy().empty_like(g) for name, g in grads.items()}
    start(found, [Row([new[name], g, scale], found.written) for name, g in grads.items()])
    return new


@accelerates("all_finite", "cupy")
def all_finite(first: Array, arrays: dict[str, Array]) -> Array | None:
    """Whether no entry of any array is infinite or NaN, as an array of one bool."""
    if not all(launch.answers(a) for a in arrays.values()):
        return None
    flag = launch.empty((), np.bool_)
    flag.fill(True)
    kinds: dict[Any, list[Row]] = {}
    for a in arrays.values():
        kinds.setdefault(a.dtype, []).append(Row([a], ()))
    for dtype, rows in kinds.items():
        start(_looking(dtype), rows, flag=flag)
    return flag


@accelerates("adapted", "cupy")
def adapted(scale: Array, good: Array, finite: Array, growth: float, backoff: float, interval: int, dtype: Any) -> bool:
    """
    Change the scale and the count of good steps in place, after a step; False where nothing was done.

    Parameters
    ----------
    scale : array of one float32
    good : array of one int32
    finite : array of one bool
        Whether the step was made.
    growth, backoff : float
    interval : int
    dtype : dtype
        That of the gradients, in which the new scale is computed.
    """
    if not launch.answers(scale) or dtype not in FLOATS:
        return False
    numbers = np.float64(growth), np.float64(backoff), np.int64(interval)
    launch.launch("loss_scale", "adapted", 1, scale, good, finite, *numbers, Number=dtype)
    return True


def _unscaling(dtype: Any) -> Program:
    def traced() -> Program:
        trace = Trace()
        new, g, scale = trace.column(dtype), trace.array(dtype, 1), trace.array(dtype, 0, each=False)
        return program("unscaled", trace, [(new, (g * (1.0 / scale)).value)])

    return remembered(("unscaled", dtype), "unscaled", traced)


def _looking(dtype: Any) -> Program:
    def traced() -> Program:
        trace = Trace()
        g = trace.array(dtype, 1)
        return program("all_finite", trace, [], test=(g - g == 0.0).value)  # an infinity less itself is NaN

    return remembered(("all_finite", dtype), "all_finite", traced)
