"""
Updates of all parameters in one launch, with the formula of the optimizer itself.

CuPy would start a dozen kernels for each parameter and step. Here a rule's `apply` is called once with symbols, and
what it computes becomes one kernel for all parameters of a kind; see `trace.py` and `each.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from types import MethodType
from typing import Any, TypeAlias

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates
from xpcnn.backend.undone import undone_unless

from . import launch
from .each import Program, Row, program, span, start, threads
from .trace import PLAIN, Trace, Untraceable, remembered

__all__ = ["traceable"]  # kernels are found by their names in the registry

Slots: TypeAlias = dict[str, Array]
Item: TypeAlias = tuple[Array, Array, Slots]
Kind: TypeAlias = tuple[Any, int, tuple[tuple[str, bool], ...]]  # dtype, axes, slots and whether they have axes


@accelerates("update", "cupy")
def update(apply: Callable[..., Any], items: Sequence[Item], lr: float | Array, go: Array | None = None) -> None:
    """
    Call ``apply(p, g, state, lr)`` for each parameter, its gradient and its state, all at once.

    Parameters
    ----------
    apply : callable
        Changes `p` and `state` by the gradient, each number by itself. Slots of no axes, such as a count of steps, may
        depend on one another but on no numbers of `p` and `g`.
    items : sequence of (array, array, dict of arrays)
        A gradient has the shape of its parameter, and a slot has it or none.
    lr : float, or array of one float64
        An array is read when the kernel runs, so a captured graph that is replayed takes its value of then. Both give
        the same bits. Where the formula cannot be traced, `apply` gets it as it is.
    go : array of one bool, optional
        Where it is false when the kernel runs, nothing changes, and slots that `apply` begins are zeros.
    """
    if not (all(launch.answers(p) for p, _, _ in items) and _apart(items)):
        for p, g, state in items:
            _applied(apply, p, g, state, lr, go)
        return
    kinds: dict[Kind, list[Item]] = {}
    for p, g, state in items:
        slots = tuple((slot, value.ndim > 0) for slot, value in state.items())
        kinds.setdefault((p.dtype, p.ndim, slots), []).append((p, g, state))
    together: dict[Program, list[Row]] = {}
    for kind, some in kinds.items():
        made = _kernels(apply, kind, not isinstance(lr, (int, float)), go is not None)
        for p, g, state in some:
            if made is None:
                _applied(apply, p, g, state, lr, go)
                continue
            found, new = made
            for slot, ndim in new:
                a = state[slot] = launch.cupy().empty_like(p) if ndim else launch.empty((), p.dtype)
                if go is not None:
                    a.fill(0)
            together.setdefault(found, []).append(Row([p, g, *state.values()], found.written))
    for found, rows in together.items():
        start(found, rows, [lr], flag=go)


def _applied(apply: Callable[..., Any], p: Array, g: Array, state: Slots, lr: float | Array, go: Array | None) -> None:
    """The formula on the arrays themselves."""
    with nullcontext() if go is None else undone_unless(go, lambda: {"": p, **state}):
        apply(p, g, state, lr)


def traceable(apply: Callable[..., Any], p: Array, state: Slots) -> bool:
    """Whether a rule can change a parameter with that state in our launch, by a rate that lies on the device."""
    slots = tuple((slot, value.ndim > 0) for slot, value in state.items())
    return launch.answers(p) and _kernels(apply, (p.dtype, p.ndim, slots), True) is not None


Made: TypeAlias = tuple[Program, list[tuple[str, int]]]  # and the slots that it begins, with their axes


def _kernels(apply: Callable[..., Any], kind: Kind, on_device: bool, guarded: bool = False) -> Made | None:
    """The kernels for such parameters; None where `apply` cannot be traced."""
    known = _settings(apply)
    key = None if known is None else (known, kind, on_device, guarded)
    return remembered(key, _name(apply), lambda: _traced(apply, *kind, on_device, guarded))


def _settings(function: Callable[..., Any] | None) -> Any:
    """What a formula follows from, to be compared; None where that cannot be told."""
    settings: list[Any] = []
    body: Any = function
    if isinstance(function, partial):
        body, settings = function.func, [*function.args, *function.keywords.items()]
    elif isinstance(function, MethodType):
        rule = function.__self__
        body = function.__func__, type(rule)
        settings = [x for x in vars(rule).items() if x[0] not in ("lr", "state", "steps", "_place", "_go")]
    elif getattr(function, "__closure__", None) is not None:
        return None
    # as text, since 0.0 and -0.0 are equal
    return (body, repr(settings)) if all(map(_plain, settings)) else None


def _plain(x: Any) -> bool:
    return all(map(_plain, x)) if type(x) is tuple else type(x) in PLAIN


def _traced(
    apply: Callable[..., Any],
    dtype: Any,
    ndim: int,
    slots: Sequence[tuple[str, bool]],
    on_device: bool,
    guarded: bool = False,
) -> Made:
    trace = Trace()
    p, g = trace.array(dtype, ndim), trace.array(dtype, ndim)
    # a parameter of no axes is one entry, and so is all that belongs to it
    state = {slot: trace.array(dtype, ndim if each else 0, each or not ndim) for slot, each in slots}
    before = [p.value, g.value, *(slot.value for slot in state.values())]
    apply(p, g, state, trace.number())
    if g.value is not before[1] or [*state][: len(slots)] != [slot for slot, _ in slots]:
        message = "a gradient that changes, or a slot that goes"
        raise Untraceable(message)
    new = [(slot, value.ndim) for slot, value in [*state.items()][len(slots) :]]
    for _, axes in new:
        trace.column(dtype, bool(axes) or not ndim)
    writes = []
    for i, symbol in enumerate((p, g, *state.values())):
        column, value = trace.columns[i], trace.value_of(symbol)
        if i < len(before) and value is before[i]:
            continue
        if value.each and not column.each:
            message = "a number for all that differs from entry to entry"
            raise Untraceable(message)
        writes.append((i, value.as_(column.dtype, trace)))
    return program(_name(apply), trace, writes, on_device, guarded=guarded), new


@accelerates("clipped", "cupy")
def clipped(
    grads: dict[str, Array], limited: Callable[..., Any] | None, scaled: Callable[..., Any] | None
) -> dict[str, Array] | None:
    """
    New gradients, within limits.

    Parameters
    ----------
    grads : dict of arrays
    limited : callable, optional
        ``limited(g)`` limits each entry by itself.
    scaled : callable, optional
        ``scaled(g, squares)`` scales by the sum of all squares, of what is limited already, in float64.

    Returns
    -------
    grads : dict of arrays, or None where it cannot be traced

    Notes
    -----
    Each thread adds up some squares, in double; CuPy adds up what the threads have. The order is always the same.
    """
    if not all(launch.answers(g) for g in grads.values()):
        return None
    kinds: dict[Any, list[str]] = {}
    for name, g in grads.items():
        kinds.setdefault(g.dtype, []).append(name)
    made: dict[Any, tuple[Program, Program]] = {}
    for dtype in kinds:
        found = _clipping(dtype, limited, scaled)
        if found is None:
            return None
        made[dtype] = found
    squares = None
    if scaled is not None:
        runs = [(made[dtype][0], [Row([grads[name]], ()) for name in names]) for dtype, names in kinds.items()]
        counts = [threads(kernels, rows) for kernels, rows in runs]
        sums = launch.empty((sum(counts),), np.float64)
        for i, (kernels, rows) in enumerate(runs):
            start(kernels, rows, sums=sums[sum(counts[:i]) :])
        squares = sums.sum(keepdims=True).reshape(())
    new = {name: launch.cupy().empty_like(g) for name, g in grads.items()}
    for dtype, names in kinds.items():
        kernels = made[dtype][1]
        more = [] if squares is None else [squares]
        start(kernels, [Row([new[name], grads[name], *more], kernels.written) for name in names])
    return new


def _clipping(
    dtype: Any, limited: Callable[..., Any] | None, scaled: Callable[..., Any] | None
) -> tuple[Program, Program] | None:
    def traced() -> tuple[Program, Program]:
        trace = Trace()
        g = trace.array(dtype, 1)
        x = trace.xp.astype(g if limited is None else limited(g), np.float64)
        sums = program("clipping_squares", trace, [], total=(x * x).value)
        trace = Trace()
        new, g = trace.column(dtype), trace.array(dtype, 1)
        x = g if limited is None else limited(g)
        if scaled is not None:
            x = scaled(x, trace.array(np.float64, 0, each=False))
        return sums, program("clipping", trace, [(new, x.value.as_(np.dtype(dtype), trace))])

    known = _settings(limited), _settings(scaled)
    return remembered(None if None in known else ("clipping", dtype, known), "clipping", traced)


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))


def _apart(items: Iterable[Item]) -> bool:
    """Whether no array that changes shares memory with another one; else it counts who comes first."""
    spans = [span(a) for p, _, state in items for a in (p, *state.values()) if a.size]
    spans += {span(g) for _, g, _ in items if g.size}
    return all(stop <= begin for (_, stop), (begin, _) in pairwise(sorted(spans)))
