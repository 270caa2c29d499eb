"""What is known about a data set before it is read: the form in which the catalogue holds it."""

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Archive", "DataFile", "DataSet", "Records"]


class DataFile(NamedTuple):
    """
    One file of images or labels.

    Parameters
    ----------
    name : str
        Without ``.gz``.
    sha256 : str
        Of its decompressed content; empty if not known.
    size : int
        Bytes of its decompressed content.
    packed : str
        SHA-256 of the published ``.gz``; empty if not known or not needed.
    """

    name: str
    sha256: str
    size: int
    packed: str = ""

    @property
    def published(self) -> str:
        """What the publisher calls it: idx files are compressed."""
        return self.name if self.name.endswith(".bin") else f"{self.name}.gz"


class Archive(NamedTuple):
    """
    The one published file that holds all files of a set, a ``.zip`` or a ``.tar.gz``.

    Parameters
    ----------
    name : str
    sha256 : str
    size : int
        Bytes, as it is.
    folder : str
        Of the files in it.
    """

    name: str
    sha256: str
    size: int
    folder: str

    @property
    def published(self) -> str:
        """What the publisher calls it."""
        return self.name


class Records(NamedTuple):
    """
    How the files of CIFAR are made of records: a byte for each label, then the image as (C, H, W).

    Parameters
    ----------
    classes : tuple of int
        How many classes each label byte knows.
    chosen : int
        Which of them is the label of this set.
    """

    classes: tuple[int, ...]
    chosen: int


@dataclass(frozen=True)
class DataSet:
    """
    What is known about a data set before it is read.

    Parameters
    ----------
    name : str
        For :func:`xpcnn.datasets.load`; also the name of its folder.
    files : tuple of DataFile
        idx files: training images, training labels, test images, test labels. Records: those for training, the test's.
    train_shape, test_shape : tuple of int
        (N, C, H, W).
    classes : tuple of str
        Names of the labels 0, 1, ...
    licence : str
        Licence and authors.
    download_bytes : int
        Sum of the compressed files, or size of the archive.
    mirrors : tuple of str
        Folders on servers, in the order in which they are tried, ending in a slash.
    bundled : bool
        Whether the files come with xpcnn.
    archive : Archive, optional
        What holds the files, if they are not published one by one.
    records : Records, optional
        None: the files are idx files.
    shared : str
        Name of the folder, if sets share it.
    transposed : bool
        Whether images are stored as (W, H).
    first_label : int
        The label in the file that means class 0.
    """

    name: str
    files: tuple[DataFile, ...]
    train_shape: tuple[int, ...]
    test_shape: tuple[int, ...]
    classes: tuple[str, ...]
    licence: str
    download_bytes: int
    mirrors: tuple[str, ...] = ()
    bundled: bool = False
    archive: Archive | None = None
    records: Records | None = None
    shared: str = ""
    transposed: bool = False
    first_label: int = 0

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return self.shared or self.name
