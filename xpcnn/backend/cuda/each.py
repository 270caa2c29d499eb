"""
What a trace says, made a kernel for many arrays at once, and started.

The arrays of one launch, such as a parameter, its gradient and its state, are a row; a launch takes many rows of any
sizes. Addresses and sizes travel as one struct by value, of which CUDA takes 4 KB.
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpcnn.backend.namespace import Array

from . import launch
from .launch import NARROW, THREADS
from .trace import IN_C, Trace, Value

__all__ = ["Program", "Row", "program", "span", "start", "threads"]

PART = 4 * THREADS  # entries for a block of threads
ROOM = 4000  # bytes of the struct; other arguments take some as well
MOST = 256  # rows of a launch

FRAME = """\
// Made by xpcnn.backend.cuda from the formula of the same name. Rows of {arrays} arrays; a thread takes some entries.
typedef long long i64;
struct Rows {{ void *at[{most}][{arrays}]; i64 size[{most}]; int first[{most}]; }};  // first: block of threads

template <class N> __device__ N maximum(N a, N b) {{ return a >= b || a != a ? a : b; }}  // a NaN stays, of either
template <class N> __device__ N minimum(N a, N b) {{ return a <= b || a != a ? a : b; }}
template <class N> __device__ N sign(N a) {{ return a > 0 ? (N)1 : a < 0 ? (N)-1 : a == 0 ? (N)0 : a; }}
"""

EACH = """
extern "C" __global__ void {name}(const Rows rows, int count{arguments}) {{
    {guard}
    int r = 0;  // the last row that begins at this block or before
    for (int step = {half}; step; step /= 2) {{
        if (r + step < count && rows.first[r + step] <= (int)blockIdx.x) r += step;
    }}
    {shared}
    i64 begin = (i64)((int)blockIdx.x - rows.first[r]) * {part}, end = begin + {part};
    if (end > rows.size[r]) end = rows.size[r];
    {before}
    for (i64 j = begin + threadIdx.x; j < end; j += {threads}) {{
        {body}
    }}
    {after}
}}
"""

ONCE = """
extern "C" __global__ void {name}(const Rows rows, int count{arguments}) {{
    {guard}
    int r = blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= count) return;
    {shared}
}}
"""


@dataclass(frozen=True)
class Program:
    """
    Kernels made from one trace.

    Parameters
    ----------
    source : str
    each : str
        Name of the kernel that treats all entries.
    once : str
        Name of the one that writes what is one number for a row; empty where there is none.
    most : int
        Rows of a launch.
    written : tuple of int
        Columns that are written to.
    part : int
        Entries for a block of threads.
    """

    source: str
    each: str
    once: str
    most: int
    arrays: int
    written: tuple[int, ...]
    part: int


def program(
    name: str,
    trace: Trace,
    writes: Sequence[tuple[int, Value]],
    on_device: bool = False,
    total: Value | None = None,
    most: int = MOST,
    test: Value | None = None,
    guarded: bool = False,
) -> Program:
    """
    Kernels that make these numbers of their arrays.

    Parameters
    ----------
    name : str
        What they are called, such as "Adam.apply".
    trace : Trace
    writes : sequence of (int, Value)
        A column and what becomes of its entries.
    on_device : bool
        Whether the Python floats of a call are arrays of one number on the device, to be read when the kernel runs.
    total : Value, optional
        A number of each entry to add up in double; each thread then writes one sum.
    most : int
        Rows of a launch, if as many fit.
    test : Value, optional
        A truth of each entry: where it does not hold for one, the flag of the call becomes false.
    guarded : bool
        Whether nothing is written where the flag of the call is false; it is read when the kernel runs.
    """
    name = "xpcnn_" + re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")  # not that of a function of C
    arrays = len(trace.columns)
    most = min(most, (ROOM - 8) // (8 * arrays + 8 + 4))
    arguments = "".join(f", const double *p{i}" if on_device else f", double s{i}" for i in range(trace.numbers))
    numbers = [f"const double s{i} = *p{i};" for i in range(trace.numbers)] if on_device else []
    part = PART if total is None else 16 * PART
    each = [(column, value) for column, value in writes if trace.columns[column].each]
    once = [(column, value) for column, value in writes if not trace.columns[column].each]
    results = [value for _, value in each] + [value for value in (total, test) if value is not None]
    lines = trace.needed(results)
    loop = [line for line, varies in lines if varies]
    shared = [line for line, varies in lines if not varies]
    store = [f"a{column}[j] = {value.text};" for column, value in each]
    before, after = [], []
    if total is not None:
        arguments += ", double *sums"
        before, store = ["double sum = 0;"], [*store, f"sum += {total.text};"]
        after = [f"sums[blockIdx.x * (i64){THREADS} + threadIdx.x] = sum;"]
    if test is not None:  # all who write to it write the same, so the order does not count
        arguments += ", bool *flag"
        store = [*store, f"if (!{test.text}) *flag = false;"]
    guard = "if (!*flag) return;" if guarded else ""
    arguments += ", const bool *flag" if guarded else ""
    used = "\n".join([*shared, *loop, *store])
    source = FRAME.format(most=most, arrays=arrays) + EACH.format(
        name=name,
        arguments=arguments,
        guard=guard,
        half=1 << max((most - 1).bit_length() - 1, 0),
        part=part,
        threads=THREADS,
        shared="\n    ".join([*_used(numbers, used), *_pointers(trace, used, each), *shared]),
        before="\n    ".join(before),
        body="\n        ".join([*loop, *store]),
        after="\n    ".join(after),
    )
    if once:
        lines = trace.needed(value for _, value in once)
        alone = [line for line, _ in lines] + [f"*a{column} = {value.text};" for column, value in once]
        used = "\n".join(alone)
        block = "\n    ".join([*_used(numbers, used), *_pointers(trace, used, once), *alone])
        source += ONCE.format(name=f"{name}_once", arguments=arguments, guard=guard, shared=block)
    source = re.sub(r"\n +\n", "\n", source)
    if any(column.dtype.name in NARROW for column in trace.columns):
        source = f"{launch.source('narrow.cuh')}\n{source}"
    return Program(source, name, f"{name}_once" if once else "", most, arrays, tuple(c for c, _ in writes), part)


def _used(numbers: list[str], text: str) -> list[str]:
    return [line for line in numbers if re.search(rf"\b{line.split()[2]}\b", text)]


def _pointers(trace: Trace, text: str, writes: Sequence[tuple[int, Value]]) -> list[str]:
    written = {column for column, _ in writes}
    lines = []
    for i, column in enumerate(trace.columns):
        if re.search(rf"\ba{i}\b", text):
            kind = IN_C[column.dtype.name] if i in written else f"const {IN_C[column.dtype.name]}"
            lines.append(f"{kind} *__restrict__ a{i} = ({kind} *)rows.at[r][{i}];")
    return lines


class Row:
    """
    Arrays of one launch, as entries one after the other in the memory order of the first.

    What lies in another order is copied, and copied back by :meth:`finish` where it is written to.
    """

    def __init__(self, arrays: Sequence[Array], written: Sequence[int]) -> None:
        first = arrays[0]
        order, dense, _, _ = layout(first.shape, first.strides, first.itemsize)
        self.size = first.size
        self.back: list[tuple[Array, Array]] = []
        self.flat = [
            a if not a.ndim or (dense and a.strides == first.strides) else self._turned(a, order, i in written)
            for i, a in enumerate(arrays)
        ]

    def _turned(self, a: Array, order: tuple[int, ...], written: bool) -> Array:
        flat = launch.rows(a.transpose(order))
        if written and launch.address(flat) != launch.address(a):
            self.back.append((a, flat.transpose(sorted(range(a.ndim), key=order.__getitem__))))
        return flat

    def finish(self) -> None:
        """Copy back what was written in another order."""
        for a, copy in self.back:
            a[...] = copy


def start(
    program: Program,
    rows: Sequence[Row],
    numbers: Sequence[float | Array] = (),
    sums: Array = None,
    flag: Array = None,
) -> None:
    """
    Launch the kernels for all rows; nobody waits for them.

    Parameters
    ----------
    program : Program
    rows : sequence of Row
    numbers : sequence
        The Python floats of the call, or arrays of one float64.
    sums : array of float64, optional
        Where the sums of the threads go, with room for `threads`.
    flag : array of one bool, optional
        What the program's test makes false, or what guards it.
    """
    given = [np.float64(s) if isinstance(s, (int, float)) else s for s in numbers]
    for i in range(0, len(rows), program.most):
        some = rows[i : i + program.most]
        addresses, sizes, first, blocks = [], [], [], 0
        for row in some:
            addresses += [launch.address(a) for a in row.flat]
            sizes.append(row.size)
            first.append(blocks)
            blocks += -(-row.size // program.part)
        count = len(some)
        none = [0] * (program.most - count)
        packed, dtype = _struct(program.most, program.arrays)
        content = packed.pack(*addresses, *none * program.arrays, *sizes, *none, *first, *none)
        all_rows = np.frombuffer(content, dtype)
        args: tuple[Any, ...] = (all_rows, np.int32(count), *given)
        if sums is not None:
            args, sums = (*args, sums), sums[blocks * THREADS :]
        if flag is not None:
            args = (*args, flag)
        if blocks:
            launch.compiled(program.source, program.each)((blocks,), (THREADS,), args)
        if program.once:
            launch.compiled(program.source, program.once)((-(-count // THREADS),), (THREADS,), args)
    for row in rows:
        row.finish()


def threads(program: Program, rows: Sequence[Row]) -> int:
    """How many threads :func:`start` starts for the entries."""
    return THREADS * sum(-(-row.size // program.part) for row in rows)


@functools.cache
def _struct(most: int, arrays: int) -> tuple[struct.Struct, np.dtype]:
    fields = [("at", np.uint64, (most, arrays)), ("size", np.int64, (most,)), ("first", np.int32, (most,))]
    return struct.Struct(f"@{most * arrays}Q{most}q{most}i0q"), np.dtype(fields, align=True)


@functools.lru_cache(maxsize=4096)
def layout(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> tuple[tuple[int, ...], bool, int, int]:
    """
    How an array lies in memory.

    Returns
    -------
    order : tuple of int
        Its axes, from the one with the longest steps to that with the shortest.
    dense : bool
        Whether its entries follow one another in that order, without holes.
    low, high : int
        The first and the last byte that it reaches, from its first entry; the last one excluded.
    """
    order = tuple(sorted(range(len(shape)), key=lambda axis: (shape[axis] == 1, -strides[axis])))
    step, dense = itemsize, True
    for axis in reversed(order):
        dense &= shape[axis] == 1 or strides[axis] == step
        step *= shape[axis]
    reach = [step * (n - 1) for n, step in zip(shape, strides, strict=True)]
    return order, dense, sum(min(x, 0) for x in reach), sum(max(x, 0) for x in reach) + itemsize


def span(a: Array) -> tuple[int, int]:
    """First and last byte that an array reaches, the last one excluded."""
    _, _, low, high = layout(a.shape, a.strides, a.itemsize)
    at = launch.address(a)
    return at + low, at + high
