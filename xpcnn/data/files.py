"""Where the files of a data set are on this machine."""

import os
from pathlib import Path

from xpcnn.cache import cache_folder
from xpcnn.errors import ConfigError

from .catalogue import PICKLES
from .described import Archive, DataFile, DataSet

__all__ = ["BUNDLED", "SYSTEM", "find", "lacking", "locate", "packed", "pickles", "places"]

BUNDLED = Path(__file__).parent / "mnist_mini"
SYSTEM = Path("/usr/share/datasets")


def places(known: DataSet, data_dir: str | os.PathLike[str] | None = None) -> list[Path]:
    """
    Folders in which a data set is looked for, first one first; they need not exist.

    With `data_dir` these are ``data_dir/<folder>`` and `data_dir` and no others.
    """
    if data_dir is not None:
        if not isinstance(data_dir, (str, os.PathLike)) or not os.fspath(data_dir):
            message = f"datasets: expected data_dir to be a path, got {data_dir!r}"
            raise ConfigError(message)
        folder = Path(os.path.expanduser(data_dir))
        return [folder / known.folder, folder]
    if known.bundled:
        return [BUNDLED]
    environment = os.environ.get("XPCNN_DATA_DIR")
    bases = [Path(environment) if environment else None, cache_folder(), SYSTEM]
    return [base / known.folder for base in bases if base is not None]


def find(folder: Path, known: DataSet, file: DataFile) -> Path | None:
    """The file in a folder, compressed or plain, or None; also where the archive unpacks it to."""
    bases = [folder] if known.archive is None else [folder, folder / known.archive.folder]
    names = dict.fromkeys((file.published, file.name))
    return next((base / name for base in bases for name in names if _is_file(base / name)), None)


def packed(folder: Path, known: DataSet) -> Path | None:
    """The archive in a folder, or None."""
    if known.archive is not None and _is_file(folder / known.archive.name):
        return folder / known.archive.name
    return None


def lacking(folder: Path, known: DataSet) -> list[DataFile | Archive]:
    """
    What a folder does not hold of a set.

    Where the files come in an archive, that is nothing if the archive or all of its files are there, the archive if
    there is none of either, else the files.
    """
    if packed(folder, known) is not None:
        return []
    missing: list[DataFile | Archive] = [file for file in known.files if find(folder, known, file) is None]
    if known.archive is not None and len(missing) == len(known.files):
        return [known.archive]
    return missing


def pickles(folder: Path) -> list[str]:
    """Archives of pickles in a folder; they are never read."""
    return [name for name in PICKLES if _is_file(folder / name)]


def locate(known: DataSet, data_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """First folder that holds a whole set, or None; it is not read yet."""
    for folder in places(known, data_dir):
        if not lacking(folder, known):
            return folder
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be looked into holds nothing for us
        return False
