"""Where the files of a data set are on this machine, and whether they are what their names say."""

import os
from pathlib import Path

import numpy as np

from xpcnn.errors import ConfigError, DataError

from .catalogue import SETS, DataFile, DataSet, recognise
from .idx import read_hashed

__all__ = ["BUNDLED", "SYSTEM", "cache_folder", "find", "lacking", "locate", "places", "read"]

BUNDLED = Path(__file__).parent / "mnist_mini"
SYSTEM = Path("/usr/share/datasets")


def cache_folder() -> Path | None:
    """
    Folder for downloads: ``$XDG_CACHE_HOME/xpcnn``, else ``~/.cache/xpcnn``, else None: there is no home folder.

    As the XDG base directory specification says, a relative ``$XDG_CACHE_HOME`` does not count.
    """
    for base in (os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache")):
        if os.path.isabs(base):
            return Path(base) / "xpcnn"
    return None


def places(known: DataSet, data_dir: str | os.PathLike[str] | None = None) -> list[Path]:
    """
    Folders in which a data set is looked for, first one first; they need not exist.

    With `data_dir` these are ``data_dir/<name>`` and `data_dir` and no others.
    """
    if data_dir is not None:
        if not isinstance(data_dir, (str, os.PathLike)) or not os.fspath(data_dir):
            message = f"datasets: expected data_dir to be a path, got {data_dir!r}"
            raise ConfigError(message)
        folder = Path(os.path.expanduser(data_dir))
        return [folder / known.name, folder]
    if known.bundled:
        return [BUNDLED]
    environment = os.environ.get("XPCNN_DATA_DIR")
    bases = [Path(environment) if environment else None, cache_folder(), SYSTEM]
    return [base / known.name for base in bases if base is not None]


def find(folder: Path, file: DataFile) -> Path | None:
    """The file in a folder, compressed or plain, or None."""
    for name in (f"{file.name}.gz", file.name):
        try:
            if (folder / name).is_file():
                return folder / name
        except OSError:  # a folder that may not be looked into holds nothing for us
            return None
    return None


def lacking(folder: Path, known: DataSet) -> list[DataFile]:
    """Those of the four files that a folder does not hold."""
    return [file for file in known.files if find(folder, file) is None]


def locate(known: DataSet, data_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """First folder that holds all four files, or None; they are not read yet."""
    for folder in places(known, data_dir):
        if not lacking(folder, known):
            return folder
    return None


def read(path: Path, known: DataSet, file: DataFile, name: str | None = None) -> np.ndarray:
    """
    Array of a file, after its digest has proven that it is the one expected.

    Parameters
    ----------
    path : Path
    known : DataSet
    file : DataFile
    name : str, optional
        What errors call the file; default: its path.

    Raises
    ------
    DataError
        If the file is damaged, or is another one: then it says which, where that is known.
    """
    who = name or str(path)
    # enough for every known file, so that a wrong one is recognised instead of being too large
    limit = max(other.size for candidate in SETS.values() for other in candidate.files)
    array, digest = read_hashed(path, max_bytes=limit, name=who)
    if digest == file.sha256:
        return array
    other = recognise(digest)
    hint = "the file is damaged, changed or of another data set: delete or replace it"
    if other is not None:
        hint = f"this is {other[1]} of {other[0]}: put the right file in its place"
    message = f"{who}: expected {file.name} of {known.name}, content with SHA-256 {file.sha256}, got {digest}: {hint}"
    raise DataError(message)
