"""The figures of each epoch in a file."""

import csv
import os
from pathlib import Path
from typing import Any, final

from xpcnn.errors import ConfigError
from xpcnn.settings import flag

from .base import Callback, Logs

__all__ = ["CSVLogger"]


@final
class CSVLogger(Callback):
    """
    Write the figures of each epoch as a line of a CSV file, at once.

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
        if not isinstance(separator, str) or len(separator) != 1:
            message = f"CSVLogger: expected separator to be one character, got {separator!r}"
            raise ConfigError(message)
        self.filename, self.separator, self.append = Path(filename), separator, flag(self, "append", append)
        self._columns: list[str] = []
        self._rows: list[list[Any]] = []  # of this run

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._columns, self._rows = ["epoch", *self.params["metrics"]], []
        try:
            goes_on = self.append or getattr(getattr(self, "trainer", None), "resuming", False)
            fresh = not (goes_on and self.filename.exists() and self.filename.stat().st_size)
            if fresh:
                self._write(self._columns, "w")
            else:
                self._check_columns()
                self.filename.open("a").close()
        except OSError as error:
            message = f"CSVLogger: {self.filename} cannot be written ({error.strerror or error})"
            raise ConfigError(message) from error

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        figures = {"epoch": epoch, **(logs or {})}
        self._rows.append([figures.get(name, "") for name in self._columns])
        self._write(self._rows[-1], "a")

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self._rows, "bytes": self.filename.stat().st_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Cut off what was written after the checkpoint; a file that is gone, or another one, is written anew."""
        self._rows, size = state["rows"], int(state["bytes"])
        if self.filename.stat().st_size >= size:
            os.truncate(self.filename, size)
            return
        self._write(self._columns, "w")
        for row in self._rows:
            self._write(row, "a")

    def _check_columns(self) -> None:
        """Raise unless the file that is there has this run's columns: else figures would stand under wrong titles."""
        with self.filename.open(newline="", encoding="utf-8", errors="replace") as file:
            there = file.readline(10_000).rstrip("\r\n").split(self.separator)
        if there != self._columns:
            wanted, got = (self.separator.join(columns) for columns in (self._columns, there))
            message = f"CSVLogger: expected {self.filename} to begin with {wanted}, got {got}: take another file"
            raise ConfigError(message)

    def _write(self, row: list[Any], mode: str) -> None:
        with self.filename.open(mode, newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=self.separator, lineterminator="\n").writerow(row)
