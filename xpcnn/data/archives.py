"""
Files of a data set straight out of the archive that they were published in.

Nothing is ever extracted to the disk. The archive's size and SHA-256 are compared before anything of it is parsed, so
what comes after cannot meet a hostile archive, unless a digest in the catalogue were wrong. It is strict nevertheless:
exact names, plain files, exact sizes, each once, and bounded memory whatever a header claims.
"""

import hashlib
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from xpcnn.errors import DataError

from .catalogue import PICKLES, recognise
from .described import Archive, DataFile, DataSet
from .streams import CHUNK, Bounded, Gunzip, Stream, opened

__all__ = ["check_archive", "each_file"]

_MOST_MEMBERS = 1000  # the largest archive that we know has some forty
_SLACK = 1 << 20  # bytes for headers and the small texts beside the data

Take = Callable[[DataFile, str, Stream], None]


def check_archive(path: Path, archive: Archive, name: str | None = None) -> None:
    """
    Compare an archive's size and SHA-256 with the published ones.

    Parameters
    ----------
    path : Path
    archive : Archive
    name : str, optional
        What errors call it; default: its path.

    Raises
    ------
    DataError
        If it is damaged, or is another one: then it says which, where that is known.
    """
    who = name or str(path)
    with opened(path, who) as (file, _):
        _check(file, archive, who)


def each_file(path: Path, known: DataSet, take: Take) -> None:
    """
    Hand the files of a set, as they come in its archive, to a function.

    Parameters
    ----------
    path : Path
        The archive.
    known : DataSet
    take : function of (DataFile, str, Stream)
        Called once for each file, with what errors call it and its content, which it must read whole.

    Raises
    ------
    DataError
        If the archive is not the published one, is damaged, or holds anything that it should not.
    """
    archive, who = known.archive, str(path)
    if archive is None:
        message = f"{who}: expected a set that is published as an archive, got {known.name}"
        raise DataError(message)
    wanted = {f"{archive.folder}/{file.published}": file for file in known.files}
    walk = _zip_members if archive.name.endswith(".zip") else _tar_members
    seen: set[str] = set()
    with opened(path, who) as (file, _):
        _check(file, archive, who)
        file.seek(0)
        try:
            for count, member in enumerate(walk(file, who, known)):
                _refuse_odd(member, who, count)
                part = wanted.get(member.name)
                if part is None:
                    continue
                if member.name in seen:
                    message = f"{who}: expected {member.name} once, got it twice: do not use this archive"
                    raise DataError(message)
                seen.add(member.name)
                _check_size(member, part, who)
                take(part, f"{who}: {member.name}", member.open())
        except DataError:
            raise
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
            message = f"{who}: the archive is damaged ({error}): fetch it again"
            raise DataError(message) from error
    if len(seen) < len(wanted):
        missing = ", ".join(sorted(set(wanted) - seen))
        message = f"{who}: expected {len(wanted)} files of {known.name}, missing in it: {missing}: fetch it again"
        raise DataError(message)


class _Member(NamedTuple):
    """An entry of an archive; `kind` is "file", "folder", or says what else it is."""

    name: str
    size: int
    kind: str
    open: Callable[[], Stream]


def _check(file: BinaryIO, archive: Archive, who: str) -> None:
    size, digest = os.fstat(file.fileno()).st_size, ""
    if size < 2 * archive.size:  # a larger one is none that we know
        hashing = hashlib.sha256()
        while data := file.read(CHUNK):
            hashing.update(data)
        digest = hashing.hexdigest()
    if (size, digest) == (archive.size, archive.sha256):
        return
    pickle = next((name for name, known in PICKLES.items() if known == digest), None)
    other = recognise(digest)
    hint = "it is damaged, or is not the published one: fetch it again"
    if pickle is not None:
        hint = f"this is {pickle}, and pickles are not read, as they can run anything: take the binary version"
    elif other is not None:
        hint = f"this is {other[1]} of {other[0]}: put the right file in its place"
    message = (
        f"{who}: expected {archive.name}, {archive.size:,} bytes with SHA-256 {archive.sha256}, "
        f"got {size:,} bytes{f' with {digest}' if digest else ''}: {hint}"
    )
    raise DataError(message)


def _refuse_odd(member: _Member, who: str, count: int) -> None:
    """No published archive has any of these, so one that does is not to be trusted with the rest either."""
    reason = ""
    if count >= _MOST_MEMBERS:
        reason = f"at most {_MOST_MEMBERS} entries, got more"
    elif member.name.startswith("/") or "\\" in member.name or ".." in member.name.split("/"):
        reason = f"names below the archive's folder, got {member.name!r}"
    elif member.kind not in ("file", "folder"):
        reason = f"plain files, got {member.name!r}, which is {member.kind}"
    if reason:
        message = f"{who}: expected {reason}: do not use this archive"
        raise DataError(message)


def _check_size(member: _Member, file: DataFile, who: str) -> None:
    """The size in the archive's own words; compressed files may exceed their content by a little."""
    exact = file.published == file.name
    fits = member.size == file.size if exact else member.size <= file.size + _SLACK
    if member.kind != "file" or not fits:
        wanted = f"{file.size:,}" if exact else f"at most {file.size + _SLACK:,}"
        got = f"{member.size:,}" if member.kind == "file" else f"a {member.kind}"
        message = f"{who}: expected {member.name} of {wanted} bytes, got {got}: do not use this archive"
        raise DataError(message)


def _tar_members(file: BinaryIO, who: str, known: DataSet) -> Iterator[_Member]:
    """Entries of a ``.tar.gz``, read from front to back."""
    # all that a header claims is read through this, long names and the like included
    limit = sum(part.size for part in known.files) + _SLACK
    stream = Bounded(Gunzip(b"", file, who), limit, who)
    kinds = {tarfile.SYMTYPE: "a link", tarfile.LNKTYPE: "a link", tarfile.DIRTYPE: "folder"}
    with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]
        for info in tar:
            kind = kinds.get(info.type, "a device, pipe or sparse file")
            if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not info.issparse():
                kind = "file"
            yield _Member(info.name, info.size, kind, lambda info=info: tar.extractfile(info))  # type: ignore[misc]


def _zip_members(file: BinaryIO, who: str, known: DataSet) -> Iterator[_Member]:
    """Entries of a ``.zip``; their checksums are verified where they are read to the end."""
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            kind = "folder" if info.is_dir() else "file"
            if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "a link or device"
            elif info.flag_bits & 0x1:
                kind = "encrypted"
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                kind = "compressed in a way that zip files of data sets are not"
            yield _Member(info.filename, info.file_size, kind, lambda info=info: archive.open(info))  # type: ignore[misc]
