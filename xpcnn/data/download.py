"""
Fetching the files of a data set from its mirrors into the cache.

A file is written under a name of its own beside its place, checked as it will be checked at every load, and only then
renamed: a partial or wrong file never gets the right name, and two processes that fetch the same set both succeed.
"""

import importlib
import logging
import os
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin

from xpcnn.cache import cache_folder
from xpcnn.errors import DataError, DownloadError

from .described import Archive, DataFile, DataSet
from .files import lacking, pickles, places
from .reading import check

__all__ = ["download"]

log = logging.getLogger("xpcnn")

TIMEOUTS = (10.0, 30.0)  # seconds to connect, and of silence
DEADLINE = 3600.0  # seconds for one file, the largest has 562 MB
_SLACK = 1 << 16  # bytes by which a compressed file may exceed its content
_HEADERS = {"User-Agent": "xpcnn", "Accept-Encoding": "identity"}  # some servers refuse Python's own name


def download(known: DataSet) -> Path:
    """
    Fetch the missing files of a data set into the cache.

    Returns
    -------
    folder : Path
        ``<cache>/<folder>``, holding all the files, or their archive.

    Raises
    ------
    DownloadError
        If a file can be had from no mirror, or ``XPCNN_OFFLINE`` forbids trying. The text lists each mirror with its
        reason, and says which files to put where by hand.
    DataError
        If the cache folder cannot be written.
    """
    cache = cache_folder()
    if cache is None:
        message = (
            f"datasets.load({known.name!r}): expected a home folder to download to, got none: set XDG_CACHE_HOME to a "
            "folder that can be written, or XPCNN_DATA_DIR to one that holds the files"
        )
        raise DataError(message)
    folder = cache / known.folder
    missing: list[DataFile | Archive] = [known.archive] if known.archive is not None else lacking(folder, known)
    if os.environ.get("XPCNN_OFFLINE", "0") not in ("", "0"):
        raise _by_hand(known, folder, missing, ["XPCNN_OFFLINE is set, so no mirror was tried"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error) from error
    mirrors = list(known.mirrors)
    for part in missing:
        reasons = []
        for mirror in tuple(mirrors):
            size = f" ({part.size / 1e6:.0f} MB)" if isinstance(part, Archive) else ""
            log.info("datasets: fetching %s%s%s", mirror, part.published, size)
            reason = _fetch(f"{mirror}{part.published}", folder, known, part)
            if reason is None:
                break
            log.info("datasets: %s", reason)
            reasons.append(reason)
            mirrors.append(mirrors.pop(mirrors.index(mirror)))  # do not wait for a dead one with every file
        else:
            raise _by_hand(known, folder, missing[missing.index(part) :], reasons)
    return folder


class _Refused(OSError):
    """A transfer that we end ourselves."""


class _Sink:
    """Temporary file that limits how much and for how long a server may send."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file, self._left, self._limit = file, limit, limit
        self._end = time.monotonic() + DEADLINE

    def write(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            message = f"it sends more than {self._limit:,} bytes"
            raise _Refused(message)
        if time.monotonic() > self._end:
            message = f"not done within {DEADLINE:g} seconds"
            raise _Refused(message)
        try:
            self._file.write(data)
        except OSError as error:
            raise _not_writable(Path(self._file.name), error) from error

    def flush(self) -> None:
        """Left to the end; pooch asks for it after every chunk."""


def _fetch(url: str, folder: Path, known: DataSet, wanted: DataFile | Archive) -> str | None:
    """Put one file into its place; the reason, if that does not work with this URL."""
    # the process alone would not do: threads share it, and containers that share a cache number theirs alike
    part = folder / f".{wanted.name}.{os.getpid()}.{secrets.token_hex(4)}.part"
    try:
        try:
            # not tempfile's: that one would be closed to the other users of a shared cache
            with open(part, "xb") as target:
                reason = _transfer(url, _Sink(target, wanted.size + _SLACK), _progress_bar(wanted))
        except OSError as error:
            raise _not_writable(folder, error) from error
        if reason is not None:
            return f"{url}: {reason}"
        try:
            check(part, known, wanted, name=url)
        except DataError as error:
            return str(error)
        name = wanted.published
        if isinstance(wanted, DataFile):  # a server may have decompressed it on its way
            with open(part, "rb") as content:
                name = name if content.read(2) == b"\x1f\x8b" else wanted.name
        try:
            part.replace(folder / name)
        except OSError as error:
            raise _not_writable(folder, error) from error
        return None
    finally:
        part.unlink(missing_ok=True)


def _transfer(url: str, sink: _Sink, progress: Any) -> str | None:
    """Copy what a server sends; the reason, if it does not."""
    pooch = importlib.import_module("pooch")
    hooks = {"response": lambda response, **_: _look_at(response)}
    fetch = pooch.HTTPDownloader(
        progressbar=progress, chunk_size=1 << 16, timeout=TIMEOUTS, hooks=hooks, headers=_HEADERS
    )
    try:
        fetch(url, sink, None)
    except DataError:
        raise  # a ValueError of our own: the disk is to blame, not the server
    except (OSError, ValueError) as error:  # requests' errors are OSErrors, but for those of malformed addresses
        return _line(error)
    finally:
        if progress is not False:
            progress.close()
    return None


def _progress_bar(file: DataFile | Archive) -> Any:
    """Bar on a terminal, False elsewhere."""
    if sys.stderr is None or not sys.stderr.isatty():
        return False
    # pooch sets the true total, but first asks for the bar's truth value, which needs one
    return importlib.import_module("tqdm").tqdm(desc=file.name, total=file.size, unit="B", unit_scale=True, leave=False)


def _look_at(response: Any) -> None:
    """Before anything of a response is read."""
    _stay_secure(response)
    _take_as_it_is(response)


def _stay_secure(response: Any) -> None:
    """Refuse to be sent from https to http."""
    if response.is_redirect:
        target = urljoin(response.url, response.headers["location"])
        if response.url.startswith("https:") and not target.startswith("https:"):
            message = f"it redirects to {target}, which is not encrypted"
            raise _Refused(message)


def _take_as_it_is(response: Any) -> None:
    """Some servers call ``.gz`` an encoding of the transfer; undone on the way, it would lose its published digest."""
    response.raw.headers.pop("content-encoding", None)


def _line(error: Exception) -> str:
    """The cause of a network error in one line; requests wraps it in several."""
    text = (str(error).strip().splitlines() or [""])[0]
    _, wrapped, cause = text.rpartition("(Caused by ")
    cause = cause.removesuffix(")") if wrapped else text or type(error).__name__
    return cause if len(cause) <= 200 else cause[:197] + "..."


def _by_hand(
    known: DataSet, folder: Path, missing: Sequence[DataFile | Archive], reasons: list[str]
) -> DownloadError:
    """Error that tells what was tried and how to do without a network."""
    looked = ", ".join(_holding(place, known) for place in places(known))
    tried = "".join(f"\n  {reason}" for reason in reasons)
    files = "".join(f"\n  {part.published}" for part in missing)
    elsewhere = "this file" if known.archive is not None else f"all {len(known.files)} of them"
    message = (
        f"datasets.load({known.name!r}): not found in {looked}, and not downloaded:{tried}\n"
        f"To go on without a network put these files into {folder}, "
        f"or {elsewhere} into $XPCNN_DATA_DIR/{known.folder}:{files}"
    )
    return DownloadError(message)


def _holding(place: Path, known: DataSet) -> str:
    """A folder, and what it lacks if it holds some of the files."""
    missing = lacking(place, known)
    if known.archive is not None and missing == [known.archive]:
        found = pickles(place)
        return f"{place} (where {found[0]} holds pickles, which are not read)" if found else str(place)
    if len(missing) == len(known.files):
        return str(place)
    return f"{place} (which lacks {' and '.join(part.name for part in missing)})"


def _not_writable(path: Path, error: OSError) -> DataError:
    message = (
        f"datasets: cannot write {path} ({error.strerror or error}): set XDG_CACHE_HOME to a folder that can be "
        "written and has room, or XPCNN_DATA_DIR to one that holds the files"
    )
    return DataError(message)
