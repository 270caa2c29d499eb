"""From the files of a data set to its four arrays, with every file proven or refused."""

import math
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xpcnn.errors import DataError

from .archives import check_archive, each_file
from .catalogue import SETS, recognise
from .described import Archive, DataFile, DataSet, Records
from .files import find, packed
from .idx import Idx, read_stream
from .streams import Stream, exactly, opened

__all__ = ["Arrays", "check", "read"]

_ROWS = 1024  # records at once


class Arrays(NamedTuple):
    """Images, float32 from 0 to 1, shape (N, C, H, W), and labels, int64 from 0."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def read(folder: Path, known: DataSet) -> Arrays:
    """
    Arrays of a set whose files, or whose archive, are in a folder.

    Raises
    ------
    DataError
        If a file is gone, damaged, or is another one: then it says which, where that is known.
    """
    reader: _IdxFiles | _RecordFiles = _IdxFiles(known) if known.records is None else _RecordFiles(known)
    archive = packed(folder, known)
    if archive is not None:
        each_file(archive, known, reader.take)
        return reader.arrays()
    for file in known.files:
        path = find(folder, known, file)
        if path is None:
            message = f"{folder / file.published}: expected {file.name} of {known.name}, got no file: it has just gone"
            raise DataError(message)
        with opened(path, str(path)) as (stream, size):
            reader.take(file, str(path), stream, size)
    return reader.arrays()


def check(path: Path, known: DataSet, part: DataFile | Archive, name: str | None = None) -> None:
    """
    Whether something published by itself is what it should be, proven by a digest.

    Parameters
    ----------
    path : Path
    known : DataSet
    part : DataFile or Archive
    name : str, optional
        What errors call it; default: its path.

    Raises
    ------
    DataError
        If it is not.
    """
    if isinstance(part, Archive):
        check_archive(path, part, name)
        return
    who = name or str(path)
    with opened(path, who) as (stream, size):
        _prove(_read_idx(stream, who, part, size), known, part, who, strict=True)


class _IdxFiles:
    """Arrays from four idx files."""

    def __init__(self, known: DataSet) -> None:
        self._known = known
        self._found: dict[str, np.ndarray] = {}

    def take(self, file: DataFile, who: str, stream: Stream, size: int | None = None) -> None:
        """Read one of the files, compressed or plain."""
        known, place = self._known, self._known.files.index(file)
        result = _read_idx(stream, who, file, size)
        _prove(result, known, file, who, strict=False)
        shape = known.train_shape if place < 2 else known.test_shape
        count, channels, height, width = shape
        stored = (count, width, height) if known.transposed else (count, height, width)
        wanted = stored if place % 2 == 0 else (count,)
        if result.array.shape != wanted or result.array.dtype != np.uint8:
            got = f"{result.array.dtype} of shape {result.array.shape}"
            message = f"{who}: expected {file.name} of {known.name}, bytes of shape {wanted}, got {got}: replace it"
            raise DataError(message)
        if place % 2 == 0:
            x = result.array.reshape(count, channels, *stored[1:])
            x = (x.swapaxes(2, 3) if known.transposed else x).astype(np.float32, order="C")
            x /= 255.0
            self._found[file.name] = x
        else:
            first = known.first_label
            _check_labels(result.array, first, first + len(known.classes) - 1, who)
            self._found[file.name] = result.array.astype(np.int64) - first

    def arrays(self) -> Arrays:
        """All of them."""
        return Arrays(*(self._found[file.name] for file in self._known.files))


class _RecordFiles:
    """Arrays from files of records, the last of them the test's; each goes straight to its place."""

    def __init__(self, known: DataSet) -> None:
        train, test = known.train_shape, known.test_shape
        self._known = known
        self._x = np.empty((train[0] + test[0], *train[1:]), np.float32)
        self._y = np.empty(train[0] + test[0], np.int64)

    def take(self, file: DataFile, who: str, stream: Stream, size: int | None = None) -> None:
        """Read one of the files."""
        known, records = self._known, self._known.records or Records((), 0)
        labels, shape = len(records.classes), self._x.shape[1:]
        length = labels + math.prod(shape)
        if size is not None and size != file.size:
            message = (
                f"{who}: expected {file.size:,} bytes, {file.size // length:,} records of {length:,}, got {size:,}: "
                "the file is damaged or was not fetched whole"
            )
            raise DataError(message)
        starts = [0, *accumulate(part.size // length for part in known.files)]
        at, end = starts[known.files.index(file)], starts[known.files.index(file) + 1]
        for start in range(at, end, _ROWS):
            rows = slice(start, min(start + _ROWS, end))
            data = exactly(stream, (rows.stop - start) * length, who)
            table = np.frombuffer(data, np.uint8).reshape(-1, length)
            for i, classes in enumerate(records.classes):
                _check_labels(table[:, i], 0, classes - 1, who)
            self._y[rows] = table[:, records.chosen]
            np.divide(table[:, labels:].reshape(-1, *shape), np.float32(255.0), out=self._x[rows])
        if stream.read(1):
            message = f"{who}: expected {file.size:,} bytes, got more: the file is damaged"
            raise DataError(message)

    def arrays(self) -> Arrays:
        """All of them."""
        n = self._known.train_shape[0]
        return Arrays(self._x[:n], self._y[:n], self._x[n:], self._y[n:])


def _read_idx(stream: Stream, who: str, file: DataFile, size: int | None) -> Idx:
    # enough for every set of single files, so that a wrong one is recognised instead of being too large
    usual = max(other.size for known in SETS.values() if known.archive is None for other in known.files)
    return read_stream(stream, who, size=size, max_bytes=max(usual, file.size))


def _prove(result: Idx, known: DataSet, file: DataFile, who: str, *, strict: bool) -> None:
    """Compare digests. Unless `strict`, plain content of which nobody published one may pass: its form is checked."""
    if result.sha256 == file.sha256 or (file.packed and result.packed == file.packed):
        return
    other = recognise(result.sha256) or recognise(result.packed)
    if other is None and not (strict or file.sha256 or result.packed):
        return
    hint = "the file is damaged, changed or of another data set: delete or replace it"
    if other is not None:
        hint = f"this is {other[1]} of {other[0]}: put the right file in its place"
    wanted, got = f"content with SHA-256 {file.sha256}", result.sha256
    if not file.sha256:
        wanted, got = f"the .gz with SHA-256 {file.packed}", result.packed or f"plain content with {result.sha256}"
    message = f"{who}: expected {file.name} of {known.name}, {wanted}, got {got}: {hint}"
    raise DataError(message)


def _check_labels(labels: np.ndarray, least: int, most: int, who: str) -> None:
    if labels.size and not least <= labels.min() <= labels.max() <= most:
        got = f"{labels.min()} to {labels.max()}"
        message = f"{who}: expected labels from {least} to {most}, got {got}: the file is damaged or another one"
        raise DataError(message)
