"""
Plans: a small graph of operations, made ready once for arrays of given shapes and strides, and then launched.

cuDNN knows many ways to compute a graph and orders them by what it expects to be fast; the first that fits is taken, or
with ``XPCNN_AUTOTUNE=1`` the one that is (:mod:`.choices`).
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from xpcnn.backend.cuda import launch
from xpcnn.backend.cuda.options import Options
from xpcnn.backend.namespace import Array

from . import choices
from .library import frontend, handle

__all__ = ["Plan", "Tensor", "aligned", "answers", "describe", "noted", "plan", "tensor_of", "types"]

log = logging.getLogger("xpcnn")

DTYPES = {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BFLOAT16"}
ALIGNMENT = 16  # bytes
WORKSPACE = 1 << 30  # bytes that a plan may take for itself
PLANS = 1024  # that are kept


class Tensor(NamedTuple):
    """Shape and strides of an array, in numbers, and the name of its dtype."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str

    @property
    def extent(self) -> int:
        """Numbers from the first one to behind the last one."""
        return 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))


def tensor_of(x: Array) -> Tensor:
    """What a plan has to know of an array."""
    return Tensor(tuple(x.shape), tuple(s // x.dtype.itemsize for s in x.strides), x.dtype.name)


def answers(*arrays: Array) -> bool:
    """Whether cuDNN is there and computes with such numbers, and these lie on the current device."""
    first = arrays[0]
    if first.dtype.name not in DTYPES or any(a.dtype != first.dtype for a in arrays):
        return False
    return first.device == launch.cupy().cuda.Device() and frontend() is not None


def aligned(x: Array) -> Array:
    """An array in C order that begins where plans may expect it to: a copy of one that does not."""
    return x.copy() if launch.address(x) % ALIGNMENT else x


def _data_type(name: str) -> Any:
    """cuDNN's word for a dtype."""
    return getattr(frontend().data_type, DTYPES[name])


class Plan:
    """
    A graph made ready.

    Parameters
    ----------
    graph : cudnn.pygraph
        Its inputs have the numbers 1, 2, ... in the order of the arguments of a call, its output the next one.
    index : int, optional
        Of the way of computing it among those that the graph knows; None for that which was built alone.
    workspace : int
        Bytes.
    """

    def __init__(self, graph: Any, index: int | None, workspace: int) -> None:
        self.graph, self.index, self.workspace = graph, index, workspace

    def __call__(self, *arrays: Array) -> None:
        """Compute on the current stream; the last array is written."""
        for used in _noting:
            used.append(self)
        # numbers only: given an array the frontend would let the default stream wait, which breaks a capture
        pointers = {i: launch.address(a) for i, a in enumerate(arrays, start=1)}
        room = launch.empty((max(self.workspace, 1),), np.uint8)
        if self.index is None:
            self.graph.execute(pointers, launch.address(room), handle=handle())
        else:
            self.graph.execute_plan_at_index(pointers, launch.address(room), self.index, handle=handle())


Build = Callable[..., Any]
_noting: list[list[Plan]] = []  # where plans that are started are put down


@contextmanager
def noted() -> Iterator[list[Plan]]:
    """The plans that are started inside, for somebody who will start them again."""
    used: list[Plan] = []
    _noting.append(used)
    try:
        yield used
    finally:
        _noting.remove(used)


def plan(
    build: Build, tensors: Sequence[Tensor], options: Options, *settings: Any, spare: bool = False
) -> Plan | None:
    """
    The plan for arrays like these; None where cuDNN has none.

    Parameters
    ----------
    build : callable
        ``build(graph, inputs, *settings)`` puts the operations behind the input tensors of a graph, and gives the last
        one's result.
    tensors : sequence of Tensor
        The inputs, and last the output.
    options : Options
    *settings
        With a hash.
    spare : bool
        Whether one can do without, so that it is no warning if there is none.
    """
    device = launch.cupy().cuda.runtime.getDevice()
    return _plan(build, tuple(tensors), options, settings, device, choices.tuning(), spare)


@functools.lru_cache(PLANS)
def _plan(
    build: Build,
    tensors: tuple[Tensor, ...],
    options: Options,
    settings: tuple[Any, ...],
    device: int,
    tune: bool,
    spare: bool,
) -> Plan | None:
    cudnn = frontend()
    try:
        graph = cudnn.pygraph(**types(tensors[-1].dtype), handle=handle())
        describe(graph, build, tensors, settings)
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        note = cudnn.numerical_note
        if tensors[-1].dtype == "float32" and not options.allow_tf32:
            graph.deselect_numeric_notes([note.TENSOR_CORE, note.DOWN_CONVERT_INPUTS])
        if options.deterministic:
            graph.deselect_numeric_notes([note.NONDETERMINISTIC])
        graph.deselect_workspace_greater_than(WORKSPACE)
        graph.check_support()
        index = choices.choose(graph, (build.__name__, tensors, options, settings), tensors, tune)
        room = graph.get_workspace_size() if index is None else graph.get_workspace_size_plan_at_index(index)
        return Plan(graph, index, room)
    except (cudnn.cudnnGraphNotSupportedError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        # said once for each, since the answer is kept
        level, found = logging.DEBUG if spare else logging.WARNING, list(tensors)
        log.log(level, "cuda: no plan of cuDNN for %s of %s (%s)", build.__name__, found, reason[:160])
        return None


def types(dtype: str) -> dict[str, Any]:
    """What a graph is told of its numbers: whatever goes in and out, sums are float32."""
    wide = frontend().data_type.FLOAT
    return {"io_data_type": _data_type(dtype), "intermediate_data_type": wide, "compute_data_type": wide}


def describe(graph: Any, build: Build, tensors: Sequence[Tensor], settings: Sequence[Any]) -> None:
    """Put tensors and operations into a graph."""
    *inputs, output = tensors
    made = [
        graph.tensor(dim=list(t.shape), stride=list(t.strides), data_type=_data_type(t.dtype), uid=i)
        for i, t in enumerate(inputs, start=1)
    ]
    result = build(graph, made, *settings)
    result.set_output(True).set_data_type(_data_type(output.dtype))
    result.set_dim(list(output.shape)).set_stride(list(output.strides)).set_uid(len(tensors))
