"""
The idx file format of MNIST, read strictly: what is not exactly right is an error, never a guess.

::

    00 00 TT DD           TT: type of the elements, DD: number of dimensions
    DD x uint32           sizes, big-endian
    the elements          C order, big-endian

The file may be compressed with gzip, which shows in its first two bytes, ``1f 8b``, whatever its name. A header can
claim anything, so nothing is allocated on its word: memory grows with what the file really holds, and a stream is read
one byte past the declared end at most.
"""

import hashlib
import io
import math
import os
import struct
from typing import NamedTuple

import numpy as np

from xpcnn.errors import DataError

from .streams import Gunzip, Hashing, Stream, fill, opened

__all__ = ["Idx", "read_hashed", "read_idx", "read_stream"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMS = 64  # NumPy's own limit


def read_idx(
    source: str | os.PathLike[str] | bytes, *, max_bytes: int = 1 << 30, name: str | None = None
) -> np.ndarray:
    """
    Array of an idx file, plain or compressed with gzip.

    Parameters
    ----------
    source : path or bytes
        The file, or its content.
    max_bytes : int
        Largest content, header included and decompressed, that is accepted.
    name : str, optional
        What errors call the source; default: its path.

    Returns
    -------
    array : ndarray of uint8, int8, int16, int32, float32 or float64, native byte order
        Of the shape in the header, writable, not shared with `source`.

    Raises
    ------
    DataError
        If the file cannot be read, is no idx file, is shorter or longer than its header says, claims more than
        `max_bytes`, or if its gzip stream is truncated, damaged, or followed by anything.

    Examples
    --------
    >>> read_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1])).tolist()
    [7, 2, 1]
    """
    return read_hashed(source, max_bytes=max_bytes, name=name)[0]


def read_hashed(
    source: str | os.PathLike[str] | bytes, *, max_bytes: int = 1 << 30, name: str | None = None
) -> tuple[np.ndarray, str]:
    """
    Array of an idx file, and the SHA-256 of its decompressed content.

    Parameters and errors are those of :func:`read_idx`.

    Returns
    -------
    array : ndarray
    digest : str
        64 hexadecimal digits.
    """
    if isinstance(source, bytes):
        who = name or f"idx data of {len(source)} bytes"
        return read_stream(io.BytesIO(source), who, size=len(source), max_bytes=max_bytes)[:2]
    if not isinstance(source, (str, os.PathLike)):
        message = f"read_idx: expected a path or bytes, got {type(source).__name__}"
        raise DataError(message)
    who = name or os.fspath(source)
    with opened(source, who) as (file, size):
        return read_stream(file, who, size=size, max_bytes=max_bytes)[:2]


class Idx(NamedTuple):
    """
    An idx file that was read, and the digests that prove which one it is.

    Parameters
    ----------
    array : ndarray
    sha256 : str
        Of the decompressed content: gzip files of the same content differ, in their header and with the compressor.
    packed : str
        SHA-256 of the file as it is, if it is compressed with gzip, else empty.
    """

    array: np.ndarray
    sha256: str
    packed: str


class _Header(NamedTuple):
    dtype: np.dtype
    shape: tuple[int, ...]
    length: int
    total: int


def read_stream(raw: Stream, who: str, *, size: int | None = None, max_bytes: int = 1 << 30) -> Idx:
    """
    Array and digests of an idx file that is open already. Errors are those of :func:`read_idx`.

    Parameters
    ----------
    raw : Stream
        Read to its end.
    who : str
        What errors call it.
    size : int, optional
        Its length as it is, where that is known.
    max_bytes : int
    """
    content = bytearray(raw.read(2))
    packed: Hashing | None = None
    stream = raw
    if content == b"\x1f\x8b":
        packed = Hashing(bytes(content), raw)
        content, stream = bytearray(), Gunzip(bytes(content), packed, who)
    header = _header(stream, content, max_bytes, who)
    if packed is None and size is not None and size != header.total:
        raise _wrong_length(who, header, f"{size:,}")
    fill(stream, content, header.total + 1)  # the end, and with it gzip's checksum, shows only by reading past it
    if len(content) != header.total:
        raise _wrong_length(who, header, "more" if len(content) > header.total else f"{len(content):,}")
    count = math.prod(header.shape)
    array = np.frombuffer(content, header.dtype, count=count, offset=header.length).reshape(header.shape)
    digest = hashlib.sha256(content).hexdigest()
    return Idx(array.astype(header.dtype.newbyteorder("="), copy=False), digest, packed.digest if packed else "")


def _header(stream: Stream, content: bytearray, max_bytes: int, who: str) -> _Header:
    """Read and check the header; its bytes are appended to `content`."""
    fill(stream, content, 4)
    if len(content) < 4 or content[:2] != b"\0\0":
        message = f"{who}: expected an idx file, which begins with two zero bytes, got {_describe(bytes(content))}"
        raise DataError(message)
    code, ndim = content[2], content[3]
    if code not in _TYPES:
        known = ", ".join(f"{c:02x}" for c in _TYPES)
        message = f"{who}: expected an idx type code of {known}, got {code:02x}: this is no idx file, or a damaged one"
        raise DataError(message)
    if not 1 <= ndim <= _MAX_DIMS:
        message = f"{who}: expected 1 to {_MAX_DIMS} dimensions, got {ndim}: this is no idx file, or a damaged one"
        raise DataError(message)
    length = 4 + 4 * ndim
    fill(stream, content, length)
    if len(content) < length:
        message = f"{who}: expected a header of {length} bytes, got {len(content)}: the file is truncated"
        raise DataError(message)
    dtype, shape = np.dtype(_TYPES[code]), struct.unpack(f">{ndim}I", content[4:])
    # an empty axis makes the product zero, but NumPy still multiplies the others
    room = length + math.prod(max(size, 1) for size in shape) * dtype.itemsize
    if room > max_bytes:
        message = f"{who}: expected at most {max_bytes:,} bytes, got a header that claims {room:,} for shape {shape}"
        raise DataError(message)
    return _Header(dtype, shape, length, length + math.prod(shape) * dtype.itemsize)


def _wrong_length(who: str, header: _Header, got: str) -> DataError:
    message = (
        f"{who}: expected {header.total:,} bytes, as its header says (shape {header.shape}, {header.dtype.name}), "
        f"got {got}: the file is damaged or was not fetched whole"
    )
    return DataError(message)


def _describe(start: bytes) -> str:
    """What a file that begins so probably is."""
    kinds = {
        b"\x1f\x8b": "gzip inside gzip: decompress it once",
        b"PK": "a zip archive: extract it",
        b"\x93NUM": "a NumPy file",
        b"<": "a web page, as servers send instead of a missing file: fetch the file again",
        b"version": "a Git LFS pointer: fetch the file itself",
    }
    for prefix, kind in kinds.items():
        if start.startswith(prefix[:4]):
            return kind
    return f"{start.hex(' ')!r}" if start else "an empty file"
