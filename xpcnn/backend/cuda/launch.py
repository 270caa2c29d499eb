"""Compiling and starting the kernels of a file in CUDA C."""

from __future__ import annotations

import functools
import importlib
import re
from importlib.resources import files
from typing import Any

import numpy as np

from xpcnn.backend.namespace import Array
from xpcnn.backend.precision import NARROW
from xpcnn.backend.registry import FLOATS

__all__ = [
    "FLOATS",
    "NARROW",
    "OPTIONS",
    "THREADS",
    "address",
    "answers",
    "channels_first",
    "channels_last",
    "compiled",
    "cupy",
    "empty",
    "here",
    "knows",
    "labels",
    "launch",
    "macros",
    "moved",
    "rows",
    "source",
    "text",
    "wide",
]

THREADS = 256  # of a block
_IN_C = {"float32": "float", "float64": "double", "uint8": "unsigned char", "int32": "int", "int64": "long long"}
_IN_C |= {name: name for name in NARROW}
# no sum and product in one: the generic bodies round in between
OPTIONS = ("-std=c++17", "--fmad=false")


@functools.cache
def source(name: str) -> str:
    """The text of ``name.cu``, or of ``name`` with the ending that it has."""
    file = name if "." in name else f"{name}.cu"
    return (files(__package__) / file).read_text(encoding="utf-8")


def text(file: str, types: dict[str, np.dtype]) -> str:
    """The text of a file for these types, with what it includes, and those of 16 bits before it where it needs them."""
    code = re.sub(r'^#include "(\w+\.cuh)"$', lambda line: source(line[1]), source(file), flags=re.MULTILINE)
    narrow = any(np.dtype(dtype).name in NARROW for dtype in types.values())
    return f"{source('narrow.cuh')}\n{code}" if narrow else code


def wide(dtype: Any) -> np.dtype:
    """The dtype in which numbers of that one are computed with: float32 for those of 16 bits."""
    return np.dtype(np.float32) if np.dtype(dtype).name in NARROW else np.dtype(dtype)


@functools.cache
def _kernel(file: str, name: str, types: tuple[tuple[str, np.dtype], ...]) -> Any:
    return cupy().RawKernel(text(file, dict(types)), name, (*OPTIONS, *macros(dict(types))))


@functools.lru_cache(maxsize=1024)
def compiled(code: str, name: str) -> Any:
    """The kernel of a text that was made while running; CuPy compiles it when it is called first."""
    return cupy().RawKernel(code, name, OPTIONS)


def macros(types: dict[str, np.dtype]) -> list[str]:
    """
    The compiler's options that say what the types named in a file are, such as ``-DNumber=float``.

    Beside ``Number`` there is ``Wide``, in which such numbers are computed with.
    """
    named = {**types, **({"Wide": wide(types["Number"])} if "Number" in types else {})}
    return [f"-D{name}={_IN_C[np.dtype(dtype).name]}" for name, dtype in named.items()]


def launch(file: str, name: str, threads: int, *args: Any, **types: np.dtype) -> None:
    """
    Start a kernel on the current device and stream; nobody waits for it.

    Parameters
    ----------
    file, name : str
        The kernel ``name`` of ``file.cu``.
    threads : int
        How many there are to be at least; 0 starts nothing.
    *args
        Arrays and NumPy's scalars, which are passed as what they are.
    **types : numpy.dtype
        What the types named in the file are.
    """
    if threads:
        _kernel(file, name, tuple(types.items()))((-(-threads // THREADS),), (THREADS,), args)


def answers(x: Array, narrow: bool = True) -> bool:
    """
    Whether kernels are for such numbers, and these lie on the current device: a kernel does not look where.

    Parameters
    ----------
    x : array
    narrow : bool
        Whether this one is for numbers of 16 bits as well.
    """
    return knows(x.dtype, narrow) and here(x)


def here(x: Array) -> bool:
    """Whether an array lies on the current device."""
    return x.device == cupy().cuda.Device()


def knows(dtype: Any, narrow: bool = True) -> bool:
    """Whether kernels are for numbers of a dtype, of 16 bits as well where `narrow`."""
    return np.dtype(dtype) in FLOATS or (narrow and np.dtype(dtype).name in NARROW)


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array with anything in it, in C order, on the current device."""
    return cupy().empty(shape, dtype)


def moved(values: Array) -> Array:
    """Numbers of the host, copied to the current device; those that are there as they are."""
    return cupy().asarray(values)


def address(x: Array) -> int:
    """Where an array begins in the device's memory."""
    return x.data.ptr


def rows(x: Array) -> Array:
    """The array in C order; a copy where it lies otherwise."""
    return cupy().ascontiguousarray(x)


def labels(target: Array) -> Array:
    """Class numbers in C order: as they are where kernels know the dtype (uint8, int32, int64), else as int64."""
    known = np.dtype(target.dtype).name in ("uint8", "int32", "int64")
    return rows(target if known else target.astype(np.int64))


def channels_last(x: Array) -> Array:
    """Images (N, H, W, C) in C order, as convolution leaves them in memory, or (N, ..., C); a copy if they do not."""
    return rows(x.transpose(0, *range(2, x.ndim), 1))


def channels_first(x: Array) -> Array:
    """Images as layers see them, (N, C, H, W), or (N, C, ...)."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def cupy() -> Any:
    """The module."""
    return importlib.import_module("cupy")
