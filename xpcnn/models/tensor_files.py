"""
Files of named arrays, and of a description of them: safetensors, read and written strictly.

::

    uint64                length of the table, little-endian
    the table             JSON: {name: {dtype, shape, data_offsets}, ..., "__metadata__": {"xpcnn": the description}}
    the arrays            C order, little-endian, one after the other without holes

The description is JSON, too, and holds a SHA-256 over itself and all arrays. A file may come from anybody: whatever it
claims is compared with its true size before memory is asked for, so that reading takes as much memory as the file is
long, and a little for the table. Memory is not mapped, because a file that shrank meanwhile would end the process.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from xpcnn.atomic import write_atomically
from xpcnn.backend import resolve
from xpcnn.errors import CheckpointError
from xpcnn.settings import shown

if TYPE_CHECKING:
    import numpy as np

__all__ = ["read_tensors", "write_tensors"]

FORMAT = 1

_TYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_CODES = {text: code for code, text in _TYPES.items()}
_NAME = re.compile(r"[A-Za-z0-9_./-]{1,4000}")  # of layers inside of one another, fifty deep
_LONGEST_TABLE = 8 << 20  # bytes; a network of 1,000 layers has some 500,000, with its optimizer's state
_MOST_VALUES = 400_000  # in the table and in the description, which bounds what they take once they are parsed
_MOST_AXES = 32
_MOST_DIGITS = 30


def write_tensors(path: str | os.PathLike[str], arrays: "Mapping[str, np.ndarray]", header: Mapping[str, Any]) -> None:
    """
    Write arrays and a description of them, as a whole or not at all.

    Parameters
    ----------
    path : path
        See :func:`xpcnn.atomic.write_atomically`.
    arrays : mapping of str to ndarray
        Names are letters, digits and ``_./-``. Of any memory layout; they are copied only where it is another one than
        the file's.
    header : mapping
        The description, as JSON can hold it; ``format`` and ``sha256`` are added.

    Raises
    ------
    CheckpointError
        If it cannot be written, or a name, a dtype or the description is nothing that could be read again.
    """
    plain = {name: _plain(name, a) for name, a in arrays.items()}
    full = {**header, "format": FORMAT}
    try:
        full["sha256"] = _digest(plain, full)
        description = json.dumps(full, allow_nan=False)
    except (TypeError, ValueError) as error:
        message = f"{path}: expected a description that JSON can hold, got none ({error})"
        raise CheckpointError(message) from error
    table: dict[str, Any] = {"__metadata__": {"xpcnn": description}}
    # the widest numbers first, so that each array begins where its numbers may
    order = sorted(plain, key=lambda name: (-plain[name].dtype.itemsize, name))
    end = 0
    for name in order:
        a = plain[name]
        start, end = end, end + a.nbytes
        table[name] = {"dtype": _CODES[a.dtype.str], "shape": list(a.shape), "data_offsets": [start, end]}
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    _check_bounds(text, path)
    content = (plain[name].reshape(-1).view("u1").data for name in order)
    write_atomically(path, (len(text).to_bytes(8, "little"), text, *content))


def read_tensors(path: str | os.PathLike[str]) -> "tuple[dict[str, np.ndarray], dict[str, Any]]":
    """
    What :func:`write_tensors` wrote, proven to be that.

    Returns
    -------
    arrays : dict of str to ndarray
    header : dict

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of a newer format, or somebody else's.
    """
    try:
        with _opened(path) as (file, size):
            text = _table_text(file, size)
            start = 8 + len(text)
            table = _parsed(text.decode())
            if not isinstance(table, dict):
                message = "its table is none"
                raise _Damaged(message)
            header = _header(table.pop("__metadata__", None), path)
            places = _places(table, size - start)
            arrays = {name: _read(file, name, place) for name, place in places.items()}
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


class _Place(NamedTuple):
    """Where an array lies behind the table."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


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
    """An array as it lies in a file: C order, little-endian."""
    dtype = a.dtype.newbyteorder("<")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = f"save: expected names of arrays of letters, digits and _./-, got {shown(name)}"
        raise CheckpointError(message)
    if dtype.str not in _CODES:
        message = f"save: expected {name} to hold plain numbers, got {a.dtype}: convert it"
        raise CheckpointError(message)
    return a.astype(dtype, order="C", copy=False)


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
    length = int.from_bytes(_exactly(file, min(size, 8)), "little")
    if size < 8 or length > size - 8:
        message = f"it has {size:,} bytes, and would need {length + 8:,} for its table" if size >= 8 else "too short"
        raise _Damaged(message)
    if length > _LONGEST_TABLE:
        message = f"its table has {length:,} bytes, more than {_LONGEST_TABLE:,}"
        raise _Damaged(message)
    text = _exactly(file, length)
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


def _places(table: dict[str, Any], room: int) -> dict[str, _Place]:
    """Where the arrays are, in this order; together they must fill the rest of the file to the byte."""
    found = {}
    for name, entry in table.items():
        if not _NAME.fullmatch(name):
            message = f"expected names of letters, digits and _./-, got {shown(name)}"
            raise _Damaged(message)
        found[name] = _place(name, entry)
    places = dict(sorted(found.items(), key=lambda item: item[1][2:]))
    end = 0
    for name, place in places.items():
        if place.start != end:
            message = f"{name} begins at byte {place.start:,} of the arrays, expected {end:,}"
            raise _Damaged(message)
        end = place.end
    if end != room:
        message = f"expected {end:,} bytes of arrays, got {room:,}"
        raise _Damaged(message)
    return places


def _place(name: str, entry: Any) -> _Place:
    known = isinstance(entry, dict) and set(entry) == {"dtype", "shape", "data_offsets"}
    sizes: Any = entry["shape"] if known else None
    ends: Any = entry["data_offsets"] if known else None
    fits = known and isinstance(entry["dtype"], str) and entry["dtype"] in _TYPES
    fits = fits and isinstance(sizes, list) and len(sizes) <= _MOST_AXES and all(_is_size(size) for size in sizes)
    fits = fits and isinstance(ends, list) and len(ends) == 2 and all(_is_size(end) for end in ends)
    # an empty axis makes the product zero, but NumPy still multiplies the others
    if not fits or math.prod(max(size, 1) for size in sizes) > 2**48:
        message = f"{name} is described as {shown(entry)}"
        raise _Damaged(message)
    dtype = _TYPES[entry["dtype"]]
    length = math.prod(sizes) * int(dtype[2:])
    if ends[1] - ends[0] != length:
        message = f"{name} needs {length:,} bytes and has {ends[1] - ends[0]:,}"
        raise _Damaged(message)
    return _Place(dtype, tuple(sizes), ends[0], ends[1])


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _read(file: BinaryIO, name: str, place: _Place) -> "np.ndarray":
    """One array, read straight into its own memory."""
    xp = resolve("cpu").xp
    a = xp.empty(place.shape, dtype=xp.dtype(place.dtype))
    got = file.readinto(a.reshape(-1).view("u1").data)  # type: ignore[attr-defined]
    if got != a.nbytes:
        message = f"{name} ends too early: the file has shrunk while it was read"
        raise _Damaged(message)
    return a


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        message = "it has shrunk while it was read"
        raise _Damaged(message)
    return data
