"""The names of the files of a run: by the number of batches that are done, the best epoch's, and abandoned ones."""

import re
from pathlib import Path

from xpcnn.errors import CheckpointError

__all__ = ["ABANDONED", "BEST", "SUFFIX", "abandon", "name", "number", "numbered", "older"]

SUFFIX = ".safetensors"
BEST = f"best{SUFFIX}"
ABANDONED = ".abandoned"  # behind the name of a file that the run has gone back from


def name(step: int) -> str:
    """
    The name of the file after so many batches.

    Examples
    --------
    >>> name(1200)
    'step-00001200.safetensors'
    """
    return f"step-{step:08d}{SUFFIX}"


def number(path: Path) -> int | None:
    """
    The number of batches that a file's name says; None of any other name, also of one that only looks like it.

    Examples
    --------
    >>> number(Path("run/step-00001200.safetensors"))
    1200
    >>> number(Path("run/step-00001200-good.safetensors")), number(Path("run/step-3.safetensors"))
    (None, None)
    """
    found = re.fullmatch(rf"step-([0-9]{{8,19}}){re.escape(SUFFIX)}", path.name)
    step = None if found is None else int(found[1])
    return step if step is not None and path.name == name(step) else None


def numbered(folder: Path) -> list[Path]:
    """
    The numbered files of a folder, the one of the fewest batches first; none where there is no folder.

    Raises
    ------
    CheckpointError
        If there is a folder that cannot be read: it may hold some.
    """
    try:
        found = [(number(path), path) for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:  # no OSError: names with a zero in them
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{folder}: cannot be read ({reason}): choose another folder"
        raise CheckpointError(message) from error
    return [path for _, path in sorted((step, path) for step, path in found if step is not None and path.is_file())]


def older(path: Path) -> Path | None:
    """
    What there is to go on from where a checkpoint turns out to be damaged: the numbered file before it.

    Parameters
    ----------
    path : Path
        A checkpoint. Before one without a number, such as that of the best epoch, is the newest numbered one.

    Returns
    -------
    path : Path or None
        None where there is none.
    """
    last = number(path)
    before = [one for one in numbered(path.parent) if last is None or (number(one) or 0) < last]
    return before[-1] if before else None


def abandon(path: Path) -> Path:
    """Give a file that a run has gone back from another name, which nothing goes on from; what it is called now."""
    target, count = path.with_name(path.name + ABANDONED), 1
    while target.exists() or target.is_symlink():
        count += 1
        target = path.with_name(f"{path.name}{ABANDONED}-{count}")
    return path.rename(target)
