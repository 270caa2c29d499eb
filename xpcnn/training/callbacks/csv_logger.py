"""The figures of each epoch in a file."""

import csv
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO, final

from xpcnn.errors import ConfigError
from xpcnn.settings import count, flag, shown

from .base import Callback, Logs

__all__ = ["CSVLogger"]

Row = list[int | float | None]


@final
class CSVLogger(Callback):
    """
    Write the figures of each epoch as a line of a CSV file, at once.

    The file is tried before the first step, and changed when the first epoch begins. A run that goes on from a
    checkpoint leaves what the whole run would have written: lines of epochs behind the checkpoint go, and a file that
    is gone, or another one's, is written anew.

    Parameters
    ----------
    filename : str or Path
    separator : str, one character
    append : bool
        Continue an existing file, which must have the same columns, instead of replacing it.

    Raises
    ------
    ConfigError
        If a setting makes no sense; before the first step, if the file cannot be written or has other columns.

    Examples
    --------
    >>> CSVLogger("history.csv").separator
    ','
    """

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        if not isinstance(filename, (str, Path)):
            message = f"CSVLogger: expected filename to be a path, got {filename!r}"
            raise ConfigError(message)
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
            message = f"CSVLogger: expected separator to be one character, and no quote or newline, got {separator!r}"
            raise ConfigError(message)
        self.filename, self.separator, self.append = Path(filename), separator, flag(self, "append", append)
        self._reset()

    def _reset(self) -> None:
        self._columns: list[str] = []
        self._rows: list[Row] = []  # of this run
        self._before: dict[str, Any] | None = None  # what stood in the file before this run: size and digest
        self._begun = False

    def writes_to(self) -> Path:
        return self.filename

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()
        self._columns = ["epoch", *self.params["metrics"]]
        with self._named():
            new = not os.path.lexists(self.filename)
            with self.filename.open("ab"):
                pass
            if new:
                self.filename.unlink()  # a run that is refused leaves nothing
            elif self.append:
                self._check_columns()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if not self._says("inside_epoch"):  # then the state comes afterwards
            self._begin()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        figures = logs or {}
        self._rows.append([epoch, *(figures.get(name) for name in self._columns[1:])])
        if not self._begun or not self.filename.exists():  # somebody may have removed it
            self._begun = False
            self._begin()
        elif not self._says("rehearsing"):
            with self._named(), self.filename.open("ab") as file:
                file.write(self._lines([self._rows[-1]]))

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._begin()  # of a run that was over already

    def state_dict(self) -> dict[str, Any]:
        return {"columns": self._columns, "rows": self._rows, "before": self._before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the lines of a run; the file is made to hold them, and no more, when the run goes on."""
        columns, rows, before = state["columns"], state["rows"], state["before"]
        names = isinstance(columns, list) and all(isinstance(name, str) for name in columns)
        _expect(names, "columns to be names", columns)
        _expect(isinstance(rows, list), "rows to be a list", rows)
        found: list[Row] = []
        for row in rows:
            fits = isinstance(row, list) and len(row) == len(columns) and all(map(_is_figure, row))
            _expect(fits, f"rows of {len(columns)} numbers", row)
            figures = dict(zip(columns, row, strict=True))
            epoch = count(self, "epoch", figures.get("epoch"), least=0)
            found.append([epoch, *(figures.get(name) for name in self._columns[1:])])
        if before is not None:
            count(self, "the size before", before["size"], least=0)
            _expect(isinstance(before["sha256"], str), "a digest as text", before["sha256"])
        self._rows, self._before, self._begun = found, before, False

    def _begin(self) -> None:
        """Let the file hold this run's lines so far, behind what stood there before if that is to stay."""
        if self._begun:
            return
        self._begun = True
        if self._says("rehearsing"):
            return
        with self._named():
            if self.filename.exists() and not self.filename.is_file():  # a pipe, a terminal: what is said is said
                with self.filename.open("ab") as file:
                    file.write(self._text(0))
                return
            self.filename.open("ab").close()  # now it is there
            with self.filename.open("r+b") as file:
                start = self._kept(file)
                wanted = self._text(start)
                file.seek(start)
                if file.read(len(wanted) + 1) != wanted:
                    file.seek(start)
                    file.write(wanted)
                    file.truncate()

    def _kept(self, file: BinaryIO) -> int:
        """Where this run's lines begin."""
        if not self.append:
            return 0
        there = file.read()
        if self._before is not None:
            size = self._before["size"]
            own, lines = there[size:], self._text(size)
            same = hashlib.sha256(there[:size]).hexdigest() == self._before["sha256"]
            if same and (own.startswith(lines) or lines.startswith(own)):
                return size
        # a new run, or another file than that of the checkpoint: all of it stays
        self._before = {"size": len(there), "sha256": hashlib.sha256(there).hexdigest()}
        return len(there)

    def _check_columns(self) -> None:
        """Raise unless the file that is there has this run's columns: else figures would stand under wrong titles."""
        if not self.filename.is_file():
            return
        with self.filename.open(newline="", encoding="utf-8", errors="replace") as file:
            first = file.readline(10_000)
        try:
            there = next(csv.reader([first], delimiter=self.separator), []) if first else self._columns
        except csv.Error:
            there = [first]
        if there != self._columns:
            wanted, got = (self.separator.join(columns) for columns in (self._columns, there))
            message = f"CSVLogger: expected {self.filename} to begin with {wanted}, got {got}: take another file"
            raise ConfigError(message)

    def _text(self, start: int) -> bytes:
        """This run's lines, with the titles where the file begins with them."""
        return self._lines([self._columns, *self._rows] if start == 0 else self._rows)

    def _lines(self, rows: list[Any]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self.separator, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()

    def _says(self, name: str) -> bool:
        """What the trainer says of the run; not there where somebody calls this by hand."""
        return getattr(getattr(self, "trainer", None), name, False)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors of the system, as ours."""
        try:
            yield
        except ConfigError:
            raise
        except (OSError, ValueError) as error:  # no OSError: names with a zero in them
            message = f"CSVLogger: {self.filename} cannot be written ({getattr(error, 'strerror', None) or error})"
            raise ConfigError(message) from error


def _is_figure(value: object) -> bool:
    return value is None or (isinstance(value, Real) and not isinstance(value, bool))


def _expect(fits: bool, wanted: str, got: object) -> None:
    """Raise where a state out of a file is none."""
    if not fits:
        message = f"CSVLogger: expected {wanted}, got {shown(got)}"
        raise ConfigError(message)
