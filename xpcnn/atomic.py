"""
Writing whole files so that a reader always sees the old one or the new one, whatever happens meanwhile.

The content goes into a temporary file beside the target (another folder may be another disk), is flushed to the disk
and renamed; then the folder's own entry is flushed.

A process that dies in between leaves its temporary file. The next write of the same target removes it, and so does
:func:`sweep`, for all targets of a folder: whoever writes holds a lock on its temporary file, which the system takes
back when the process ends, however it ends. So no process number is compared, which would mean nothing in a container,
and no age guessed. Where there are no such locks (Windows, some network folders), left files stay.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["make_folder", "probe", "sweep", "write_atomically"]

_PREFIX = ".xpcnn-"  # of temporary files

_MENDS = {
    errno.ENOENT: "make the folder first",
    errno.ENOTDIR: "a part of the path is a file: choose another path",
    errno.EISDIR: "give the name of a file, not of a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "the symbolic links lead in a circle: remove one",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENOSPC: "make room there, or choose another disk",
    errno.EDQUOT: "make room there, or choose another disk",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f), or choose another disk",
}


def write_atomically(path: str | os.PathLike[str], chunks: Iterable[bytes | memoryview]) -> None:
    """
    Replace a file, or make it: as a whole or not at all.

    Parameters
    ----------
    path : path
        A symbolic link is followed: what it points to is replaced. Two processes may write one path; the last one wins.
    chunks : iterable of bytes
        The content, in order.

    Raises
    ------
    CheckpointError
        If it cannot be written; the file is what it was, and nothing is left beside it.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "notes"
    >>> write_atomically(path, [b"one ", b"two"])
    >>> path.read_bytes()
    b'one two'
    """
    with _named(path):
        target = _target(path)
        _sweep(target)
        with _temporary(target) as (temporary, file):
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:  # where open files cannot be renamed
                file.close()
            os.replace(temporary, target)
        _flush_folder(target.parent)


def probe(path: str | os.PathLike[str]) -> None:
    """
    Raise now what writing this file would raise later: before hours of computing, not behind them.

    A byte is written beside it and removed again, as is what processes that have died left there. Disks that fill up
    meanwhile cannot be foreseen.

    Raises
    ------
    CheckpointError

    Examples
    --------
    >>> probe("no such folder/model")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    xpcnn.errors.CheckpointError: no such folder/model: cannot be written (No such file or directory): make the ...
    """
    with _named(path):
        target = _target(path)
        _sweep(target)
        with _temporary(target) as (_, file):
            file.write(b"\0")
            file.flush()


def make_folder(path: str | os.PathLike[str]) -> bool:
    """
    Make a folder, and those above it, so that they are there after a crash, too; whether it was not there.

    Raises
    ------
    CheckpointError

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "run"
    >>> make_folder(path), make_folder(path)
    (True, False)
    """
    folder = Path(path)
    try:
        if folder.is_dir():
            return False
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for one in missing:
            _flush_folder(one.parent)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{path}: no folder can be made there ({reason}): choose another one"
        raise CheckpointError(message) from error
    return True


def sweep(folder: str | os.PathLike[str]) -> None:
    """
    Remove the temporary files that dead processes left in a folder, whatever they were to become.

    What cannot be removed stays.
    """
    _remove_left(Path(folder), _PREFIX)


@contextlib.contextmanager
def _named(path: object) -> Iterator[None]:
    """Errors of the system, as ours: with the path and how to mend it."""
    try:
        yield
    except CheckpointError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # no OSError: names with a zero in them
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error)
        message = f"{path}: cannot be written ({reason}): {_MENDS.get(number or 0, 'choose another path')}"
        raise CheckpointError(message) from error


def _target(path: str | os.PathLike[str]) -> Path:
    """The file that is meant, links followed; raises where it cannot be replaced by a file."""
    try:
        target = Path(path).resolve()
    except RuntimeError as error:  # how old Pythons say that links lead in a circle
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
    try:
        there = os.lstat(target)
    except FileNotFoundError:
        return target
    if stat.S_ISLNK(there.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if stat.S_ISDIR(there.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(there.st_mode):
        message = "it is a device or a pipe"
        raise ValueError(message)
    folder = os.stat(target.parent)
    if folder.st_mode & stat.S_ISVTX and _user() not in (0, there.st_uid, folder.st_uid):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))  # in /tmp nobody replaces a file of another user
    return target


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _prefix(target: Path) -> str:
    """How temporary files of a target begin. A digest, since the name may fill all the room that a name has."""
    return f"{_PREFIX}{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}-"


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new locked file beside the target; gone afterwards, unless it was renamed."""
    path, file = _create(target)
    try:
        yield path, file
    finally:
        if fcntl is None:  # where open files cannot be removed
            file.close()
        # else removed first: as soon as it is closed, it is anybody's to remove
        with contextlib.suppress(OSError):
            os.unlink(path)
        with contextlib.suppress(OSError):  # what did not fit on the disk is not to be tried again
            file.close()


def _create(target: Path) -> tuple[Path, BinaryIO]:
    while True:
        path = target.with_name(f"{_prefix(target)}{secrets.token_hex(8)}.tmp")
        # not tempfile's: that one would be closed to others whatever the user's mask says
        file = open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), "wb")  # noqa: SIM115  (goes out open)
        _lock(file.fileno(), wait=True)
        if os.fstat(file.fileno()).st_nlink:
            return path, file
        file.close()  # another process took it for a left one, before it had its lock


def _sweep(target: Path) -> None:
    """Remove what processes that have died left behind of a file."""
    _remove_left(target.parent, _prefix(target))


def _remove_left(folder: Path, prefix: str) -> None:
    with contextlib.suppress(OSError, ValueError), os.scandir(folder) as entries:
        for path in [entry.path for entry in entries if entry.name.startswith(prefix) and entry.name.endswith(".tmp")]:
            with contextlib.suppress(OSError):
                handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
                try:
                    if _lock(handle, wait=False):
                        os.unlink(path)
                finally:
                    os.close(handle)


def _lock(handle: int, *, wait: bool) -> bool:
    """Whether the lock on a file could be had."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # another has it, or the folder knows no locks
        return False
    return True


def _flush_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # one may write to it, but not list it
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # folders that know no such thing
            raise
    finally:
        os.close(handle)
