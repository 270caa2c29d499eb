"""Tiny archives in the layout of the published ones, and the catalogue's entries with their sizes and digests."""

import dataclasses
import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np

from xpcnn.data import catalogue

CIFAR10 = "cifar-10-batches-bin"
CIFAR100 = "cifar-100-binary"


def cifar_files(name: str, per_file: int = 4, seed: int = 1) -> dict[str, bytes]:
    """Contents of the files of records, in the order of the catalogue."""
    rng = np.random.default_rng(seed)
    known = catalogue.SETS[name]
    made = {}
    for file in known.files:
        labels = [rng.integers(0, classes, (per_file, 1), "u1") for classes in known.records.classes]
        made[file.name] = np.hstack([*labels, rng.integers(0, 256, (per_file, 3072), "u1")]).tobytes()
    return made


def tar(contents: dict[str, bytes], folder: str, extra: tuple[tuple[tarfile.TarInfo, bytes], ...] = ()) -> bytes:
    """A ``.tar.gz`` with a folder, a readme, the files in another order than they are read in, and `extra` entries."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        entry = tarfile.TarInfo(folder)
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
        for name, content in reversed([*contents.items(), ("readme.html", b"<html>"), ("batches.meta.txt", b"a\nb\n")]):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for entry, content in extra:
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def zipped(contents: dict[str, bytes], extra: tuple[tuple[zipfile.ZipInfo, bytes], ...] = ()) -> bytes:
    """A ``.zip`` as that of EMNIST, with `extra` entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("gzip/", b"")
        archive.writestr("gzip/emnist-letters-mapping.txt", b"1 65 97\n")
        for name, content in reversed(contents.items()):
            archive.writestr(f"gzip/{name}.gz", gzip.compress(content, mtime=0))
        for entry, content in extra:
            archive.writestr(entry, content)
    return buffer.getvalue()


def emnist_files(name: str, train: int = 6, test: int = 4, seed: int = 1) -> dict[str, bytes]:
    """Contents of the four idx files: 28 x 28 as stored, labels from the set's first one on."""
    rng = np.random.default_rng(seed)
    known = catalogue.SETS[name]
    made = {}
    for file, n in zip(known.files, (train, train, test, test), strict=True):
        if "images" in file.name:
            made[file.name] = struct.pack(">4B3I", 0, 0, 8, 3, n, 28, 28) + rng.bytes(n * 784)
        else:
            labels = rng.integers(0, len(known.classes), n) + known.first_label
            made[file.name] = struct.pack(">4BI", 0, 0, 8, 1, n) + labels.astype("u1").tobytes()
    return made


def entry(known: catalogue.DataSet, contents: dict[str, bytes], archive: bytes, digests: bool = True):
    """The catalogue's entry with the sizes and digests of tiny contents; everything else stays as it is."""
    files = []
    for file in known.files:
        content = contents.get(file.name, b"")
        packed = hashlib.sha256(gzip.compress(content, mtime=0)).hexdigest() if file.packed and digests else ""
        files.append(file._replace(size=len(content), packed=packed))
    if known.records is None:
        counts = [len(contents[file.name]) - 8 for file in known.files if "labels" in file.name]
    else:
        length = 3072 + len(known.records.classes)
        test = len(contents[known.files[-1].name]) // length
        counts = [sum(len(content) for content in contents.values()) // length - test, test]
    return dataclasses.replace(
        known,
        files=tuple(files),
        train_shape=(counts[0], *known.train_shape[1:]),
        test_shape=(counts[1], *known.test_shape[1:]),
        archive=known.archive._replace(sha256=hashlib.sha256(archive).hexdigest(), size=len(archive)),
    )


def put(folder: Path, known: catalogue.DataSet, archive: bytes) -> Path:
    """Write an archive under its published name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / known.archive.name).write_bytes(archive)
    return folder


def unpack(folder: Path, contents: dict[str, bytes], packed: bool = False) -> Path:
    """Write the files themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (folder / name).write_bytes(content)
    return folder
