"""Reading from files that may be anything: bounded, checked to the end, and hashed on the way."""

import hashlib
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

from xpcnn.errors import DataError

__all__ = ["CHUNK", "Bounded", "Gunzip", "Hashing", "Stream", "exactly", "fill", "opened"]

CHUNK = 1 << 20


class Stream(Protocol):
    """What can be read from: at most `count` bytes a call, none at the end."""

    def read(self, count: int, /) -> bytes:
        """The next bytes."""


class Gunzip:
    """
    Bounded reads of the one member of a gzip stream, whose checksum is verified when its end is reached.

    Parameters
    ----------
    start : bytes
        What was read of the stream already.
    raw : Stream
    who : str
        What errors call the stream.
    """

    def __init__(self, start: bytes, raw: Stream, who: str) -> None:
        self._start, self._raw, self._who = start, raw, who
        self._inflater = zlib.decompressobj(wbits=31)

    def read(self, count: int, /) -> bytes:
        """The next bytes."""
        while not self._inflater.eof:
            packed = self._start or self._inflater.unconsumed_tail or self._raw.read(CHUNK)
            self._start = b""
            if not packed:
                message = f"{self._who}: the gzip stream is truncated: fetch the file again"
                raise DataError(message)
            try:
                data = self._inflater.decompress(packed, count)
            except zlib.error as error:
                message = f"{self._who}: the gzip stream is damaged ({error}): fetch the file again"
                raise DataError(message) from error
            if data:
                return data
        if self._inflater.unused_data or self._raw.read(1):
            message = f"{self._who}: expected one gzip stream, got more data after its end: fetch the file again"
            raise DataError(message)
        return b""


class Hashing:
    """A stream that keeps the SHA-256 of all that was read of it; `start` was read before."""

    def __init__(self, start: bytes, raw: Stream) -> None:
        self._raw, self._hash = raw, hashlib.sha256(start)

    def read(self, count: int, /) -> bytes:
        """The next bytes."""
        data = self._raw.read(count)
        self._hash.update(data)
        return data

    @property
    def digest(self) -> str:
        """64 hexadecimal digits."""
        return self._hash.hexdigest()


class Bounded:
    """A stream that ends with an error once it has given more than `limit` bytes."""

    def __init__(self, raw: Stream, limit: int, who: str) -> None:
        self._raw, self._left, self._limit, self._who = raw, limit, limit, who

    def read(self, count: int, /) -> bytes:
        """The next bytes."""
        data = self._raw.read(count)
        self._left -= len(data)
        if self._left < 0:
            message = f"{self._who}: expected at most {self._limit:,} bytes when decompressed, got more: do not use it"
            raise DataError(message)
        return data


def fill(stream: Stream, content: bytearray, length: int) -> None:
    """Append to `content` until it has `length` bytes or the stream ends."""
    while len(content) < length:
        data = stream.read(min(length - len(content), CHUNK))
        if not data:
            return
        content += data


def exactly(stream: Stream, count: int, who: str) -> bytearray:
    """The next `count` bytes, or a DataError if the stream ends before."""
    data = bytearray()
    fill(stream, data, count)
    if len(data) < count:
        message = f"{who}: expected {count - len(data):,} bytes more, got its end: the file is truncated"
        raise DataError(message)
    return data


@contextmanager
def opened(path: str | os.PathLike[str], who: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """A file to read from, and its size if it has one; every OSError on the way becomes a DataError."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            yield file, status.st_size if stat.S_ISREG(status.st_mode) else None
    except OSError as error:
        message = f"{who}: cannot be read ({error.strerror or error})"
        raise DataError(message) from error
