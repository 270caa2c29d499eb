"""The folder of a run: made and tried before anything is computed, so that no result is lost at the end."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xpcnn.errors import XpcnnError

__all__ = ["OutputError", "run_folder"]

RUNS = Path("runs")


class OutputError(XpcnnError, RuntimeError):
    """Results cannot be written."""


@contextmanager
def run_folder(out: str | None, files: tuple[str, ...]) -> Iterator[Path]:
    """
    The folder that a run writes to. Should the run fail before it has written, what was made here goes away again.

    Parameters
    ----------
    out : str, optional
        Taken whether it exists or not. Default: the next number in ``runs``, which no other run has.
    files : tuple of str
        Names of the files to come.

    Raises
    ------
    OutputError
        If the folder cannot be made, or a file in it not be written.
    """
    made: list[Path] = []
    folder = RUNS if out is None else Path(os.path.expanduser(out))
    try:
        try:
            _make(folder, made)
            if out is None:
                folder = _next(made)
            _try(folder, files)
        except OSError as error:
            mend = "choose another folder with --out DIR"
            message = f"--out: cannot write to {error.filename or folder} ({error.strerror or error}): {mend}"
            raise OutputError(message) from error
        yield folder
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()  # succeeds for empty folders only
        raise


def _make(folder: Path, made: list[Path]) -> None:
    """Make a folder and its parents, and note those that are new."""
    if folder.is_dir():
        return
    if os.path.lexists(folder):
        raise NotADirectoryError(errno.ENOTDIR, "it is not a folder", str(folder))
    if folder.parent != folder:
        _make(folder.parent, made)
    folder.mkdir()
    made.append(folder)


def _next(made: list[Path]) -> Path:
    """A new folder, numbered after all that there are."""
    numbers = [int(path.name) for path in RUNS.iterdir() if path.name.isascii() and path.name.isdigit()]
    number = max(numbers, default=0) + 1
    while True:
        folder = RUNS / f"{number:03d}"
        try:
            folder.mkdir()
        except FileExistsError:  # another run was faster
            number += 1
        else:
            made.append(folder)
            return folder


def _try(folder: Path, files: tuple[str, ...]) -> None:
    """Write where the files will be, and leave no trace."""
    tempfile.TemporaryFile(dir=folder).close()
    for name in files:
        path = folder / name
        if path.exists():
            path.open("ab").close()
