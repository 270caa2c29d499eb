"""
Files of named arrays, and of a description of them: the format and the package are safetensors.

The description is JSON in the metadata of the format, and holds a SHA-256 over itself and all arrays.

A file may come from anybody. The package compares what the table claims with the bytes that are there; what it takes on
trust is looked at here, before it sees anything: what kind of file it is, how long the table is and what it becomes in
memory, names that come twice, and our description. The package is given bytes, not a path: it would map the file, and
one that shrank meanwhile would end the process. So reading and writing take twice the memory of the arrays for a while.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from xpcnn.atomic import write_atomically
from xpcnn.backend import resolve
from xpcnn.errors import CheckpointError
from xpcnn.settings import shown

if TYPE_CHECKING:
    import numpy as np

__all__ = ["read_tensors", "write_tensors"]

FORMAT = 1

_NAME = re.compile(r"[A-Za-z0-9_./-]{1,4000}")  # of layers inside of one another, fifty deep
_LONGEST_TABLE = 8 << 20  # bytes; a network of 1,000 layers has some 500,000, with its optimizer's state
_MOST_VALUES = 400_000  # in the table and in the description, which bounds what they take once they are parsed
_MOST_DIGITS = 30


def write_tensors(path: str | os.PathLike[str], arrays: "Mapping[str, np.ndarray]", header: Mapping[str, Any]) -> None:
    """
    Write arrays and a description of them, as a whole or not at all.

    Parameters
    ----------
    path : path
        See :func:`xpcnn.atomic.write_atomically`.
    arrays : mapping of str to ndarray
        Of any memory layout. Names are letters, digits and ``_./-``.
    header : mapping
        The description, as JSON can hold it; ``format`` and ``sha256`` are added.

    Raises
    ------
    CheckpointError
        If it cannot be written, or a name, a dtype or the description is nothing that could be read again.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save

    plain = {name: _plain(name, a) for name, a in arrays.items()}
    full = {**header, "format": FORMAT}
    try:
        full["sha256"] = _digest(plain, full)
        description = json.dumps(full, allow_nan=False)
    except (TypeError, ValueError) as error:
        message = f"{path}: expected a description that JSON can hold, got none ({error})"
        raise CheckpointError(message) from error
    try:
        _reserve(2 * sum(a.nbytes for a in plain.values()))
        content = save(plain, metadata={"xpcnn": description})
    except MemoryError as error:
        message = f"{path}: cannot be written: there is not enough memory for a copy of the arrays"
        raise CheckpointError(message) from error
    except SafetensorError as error:
        message = f"{path}: cannot be written: {shown(str(error), 300)}"
        raise CheckpointError(message) from error
    _check_bounds(content[8 : 8 + int.from_bytes(content[:8], "little")], path)
    write_atomically(path, [content])


def read_tensors(path: str | os.PathLike[str]) -> "tuple[dict[str, np.ndarray], dict[str, Any]]":
    """
    What :func:`write_tensors` wrote, proven to be that.

    Returns
    -------
    arrays : dict of str to ndarray
        Each in memory of its own.
    header : dict

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of a newer format, or somebody else's.
    """
    try:
        with _opened(path) as (file, size):
            text = _table_text(file, size)
            header = _header(_metadata(text), path)
            arrays = _arrays(file, text, size)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        message = f"{path}: cannot be read as a model file ({reason})"
        raise CheckpointError(message) from error
    except MemoryError as error:
        message = f"{path}: cannot be read as a model file: there is not enough memory for it"
        raise CheckpointError(message) from error
    except CheckpointError:
        raise
    except (_Damaged, ValueError, RecursionError) as error:
        cause = str(error) or "unreadable"
        message = f"{path}: cannot be read as a model file: damaged, or not written by model.save ({cause})"
        raise CheckpointError(message) from error
    if header.get("sha256") != _digest(arrays, header):
        message = f"{path}: the checksum does not match, the file is damaged: restore it from a copy"
        raise CheckpointError(message)
    return arrays, header


class _Damaged(Exception):
    """What is wrong with a file, without its name."""


def _digest(arrays: "Mapping[str, np.ndarray]", header: Mapping[str, Any]) -> str:
    """SHA-256 over the description, and names, dtypes, shapes and bytes of all arrays, in the order of their names."""
    described = {key: value for key, value in header.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, allow_nan=False).encode())
    for name in sorted(arrays):
        a = arrays[name]
        digest.update(f"{name} {a.dtype.str} {a.shape}\n".encode())
        digest.update(a.reshape(-1).view("u1").data)
    return digest.hexdigest()


def _plain(name: str, a: "np.ndarray") -> "np.ndarray":
    """An array as it lies in a file: C order, little-endian; the package would write others wrongly, and not say so."""
    dtype = a.dtype.newbyteorder("<")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = f"save: expected names of arrays of letters, digits and _./-, got {shown(name)}"
        raise CheckpointError(message)
    if not _is_plain(dtype):
        message = f"save: expected {name} to hold plain numbers, got {a.dtype}: convert it"
        raise CheckpointError(message)
    return a.astype(dtype, order="C", copy=False)


def _is_plain(dtype: "np.dtype[Any]") -> bool:
    """Truth values, whole numbers and floats of at most 64 bits."""
    return dtype.kind in "biuf" and dtype.itemsize <= 8


def _reserve(count: int) -> None:
    """
    Bytes that the package is going to ask for, asked for before and given back.

    Where there are none, the package ends the process; this is a MemoryError.
    """
    xp = resolve("cpu").xp
    xp.empty(count, dtype=xp.uint8)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """A file and its size; a pipe is not waited for."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        there = os.fstat(handle)
        if stat.S_ISDIR(there.st_mode):
            message = f"{path}: is a folder, expected a model file"
            raise CheckpointError(message)
        if not stat.S_ISREG(there.st_mode):
            message = f"{path}: is a device or a pipe, expected a model file"
            raise CheckpointError(message)
        with open(handle, "rb", closefd=False) as file:
            yield file, there.st_size
    finally:
        os.close(handle)


def _table_text(file: BinaryIO, size: int) -> bytes:
    """The table, after a look at how long it says that it is."""
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        message = f"it has {size:,} bytes, and would need {length + 8:,} for its table" if size >= 8 else "too short"
        raise _Damaged(message)
    if length > _LONGEST_TABLE:
        message = f"its table has {length:,} bytes, more than {_LONGEST_TABLE:,}"
        raise _Damaged(message)
    text = file.read(length)
    if not text.startswith(b"{"):
        message = "it has no table"
        raise _Damaged(message)
    _check_bounds(text, None)
    return text


def _check_bounds(text: bytes, path: object) -> None:
    """What is written must be readable; what is read must be small, as must be what it becomes."""
    if len(text) > _LONGEST_TABLE or sum(map(text.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        message = f"expected a table of at most {_LONGEST_TABLE:,} bytes and {_MOST_VALUES:,} values, got more"
        if path is None:
            raise _Damaged(message)
        message = f"{path}: {message}: the model has too many layers for one file"
        raise CheckpointError(message)


def _metadata(text: bytes) -> Any:
    """What stands in the table beside arrays, whose names must be some, and come once."""
    table = _parsed(text.decode())
    if not isinstance(table, dict):
        message = "its table is none"
        raise _Damaged(message)
    metadata = table.pop("__metadata__", None)
    for name in table:
        if not _NAME.fullmatch(name):
            message = f"expected names of letters, digits and _./-, got {shown(name)}"
            raise _Damaged(message)
    return metadata


def _parsed(text: str) -> Any:
    """JSON, stricter than Python's: no name twice, no NaN, no number that a float or an int64 could not be."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            message = "a name comes twice"
            raise ValueError(message)
        return found

    def refused(text: str) -> Any:
        message = f"expected finite numbers, got {text[:40]}"
        raise ValueError(message)

    def whole(text: str) -> int:
        return int(text) if len(text) <= _MOST_DIGITS else refused(text)

    def real(text: str) -> float:
        return value if math.isfinite(value := float(text)) else refused(text)

    return json.loads(text, object_pairs_hook=once, parse_constant=refused, parse_int=whole, parse_float=real)


def _header(metadata: Any, path: object) -> dict[str, Any]:
    """Our part of the table."""
    if not isinstance(metadata, dict) or not isinstance(metadata.get("xpcnn"), str):
        message = f"{path}: holds weights but no model of xpcnn; build the model and use model.load_state_dict"
        raise CheckpointError(message)
    try:
        header = _parsed(metadata["xpcnn"])
    except (ValueError, RecursionError) as error:
        message = f"{path}: the description of the model is damaged ({error})"
        raise CheckpointError(message) from error
    if not isinstance(header, dict):
        message = f"{path}: the description of the model is damaged"
        raise CheckpointError(message)
    version = header.get("format")
    if type(version) is not int or not 1 <= version <= FORMAT:
        message = f"{path}: expected format {FORMAT}, got {shown(version)}: update xpcnn"
        raise CheckpointError(message)
    return header


def _arrays(file: BinaryIO, text: bytes, size: int) -> "dict[str, np.ndarray]":
    """What the package finds behind the table, if that says the truth about it."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    rest = size - 8 - len(text)
    _reserve(2 * rest)
    try:
        found = load(b"".join((len(text).to_bytes(8, "little"), text, file.read(rest))))
    except SafetensorError as error:
        raise _Damaged(shown(str(error), 300)) from error
    except (KeyError, TypeError) as error:  # a type that the package knows and NumPy does not
        message = f"it holds arrays of a type that NumPy has not: {error}"
        raise _Damaged(message) from error
    for name, a in found.items():
        if not _is_plain(a.dtype):
            message = f"expected {name} to hold plain numbers, got {a.dtype}"
            raise _Damaged(message)
    # into memory of their own, one after the other, in an order that is always the same
    return {name: found.pop(name).copy() for name in sorted(found)}
