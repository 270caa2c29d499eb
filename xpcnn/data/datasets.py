"""
Image data sets by name, as arrays that are ready for training.

A set is taken from the first of these places that holds all its files, each plain or as ``.gz``:

1. `data_dir`, if given: ``data_dir/<name>/``, or `data_dir` itself. No other place is then looked at, and nothing is
   downloaded: who names a folder means that folder.
2. The package itself for mnist-mini, which comes with it, and no further.
3. ``$XPCNN_DATA_DIR/<name>/``.
4. The cache: ``$XDG_CACHE_HOME/xpcnn/<name>/``, else ``~/.cache/xpcnn/<name>/``.
5. ``/usr/share/datasets/<name>/``.
6. The mirrors, from which it is downloaded into the cache, unless ``XPCNN_OFFLINE=1`` forbids that.

Wherever the files come from, the SHA-256 of their decompressed content is compared with the published one at every
load. A wrong file is an error; it does not make the search go on.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from xpcnn.errors import ConfigError, DataError

from .catalogue import SETS, DataSet
from .files import find, lacking, locate, places, read

__all__ = ["Dataset", "DatasetInfo", "available", "load"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """
    Training and test images with their labels.

    Iteration gives Keras' pair of pairs: ``(x_train, y_train), (x_test, y_test) = datasets.load("mnist-mini")``.
    The arrays are NumPy's, belong to the caller alone, and may be written to.

    Parameters
    ----------
    name : str
    x_train, x_test : ndarray, float32, shape (N, C, H, W)
        Brightness from 0 (background) to 1, the file's 0 to 255 divided by 255.
    y_train, y_test : ndarray, int64, shape (N,)
        Classes, 0 to ``len(classes) - 1``.
    classes : tuple of str
        Their names.
    source : str
        Folder that the files were read from.
    """

    name: str
    x_train: np.ndarray = field(repr=False)
    y_train: np.ndarray = field(repr=False)
    x_test: np.ndarray = field(repr=False)
    y_test: np.ndarray = field(repr=False)
    classes: tuple[str, ...]
    source: str

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield self.x_train, self.y_train
        yield self.x_test, self.y_test


class DatasetInfo(NamedTuple):
    """
    What there is to know about a data set without reading it.

    Parameters
    ----------
    name : str
    train_shape, test_shape : tuple of int
        (N, C, H, W).
    classes : tuple of str
    licence : str
    download_bytes : int
        Size of the compressed files.
    bundled : bool
        Whether it comes with xpcnn.
    found : str or None
        Folder that it would be read from, or None where it would have to be downloaded. The digests are not checked.
    """

    name: str
    train_shape: tuple[int, ...]
    test_shape: tuple[int, ...]
    classes: tuple[str, ...]
    licence: str
    download_bytes: int
    bundled: bool
    found: str | None


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """
    Load a data set, and download it first where that is necessary.

    Parameters
    ----------
    name : {"mnist-mini", "mnist", "fashion-mnist"}
        mnist-mini, 6,000 training and 1,000 test digits of MNIST, comes with xpcnn.
    data_dir : path, optional
        Folder that holds ``<name>/`` or the files themselves. It is then the only place that is looked at.

    Returns
    -------
    data : Dataset

    Raises
    ------
    ConfigError
        If there is no data set of that name.
    DataError
        If `data_dir` lacks a file, a file is damaged or is not the one its name says, or the cache cannot be written.
    DownloadError
        If the set is nowhere on this machine and cannot be fetched; a kind of DataError.

    Notes
    -----
    MNIST: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document recognition",
    Proc. IEEE 86, 1998. Fashion-MNIST: H. Xiao, K. Rasul and R. Vollgraf, arXiv:1708.07747, 2017; some of its labels
    are known to be wrong.

    Examples
    --------
    >>> data = load("mnist-mini")
    >>> data.x_train.shape, data.y_test.shape
    ((6000, 1, 28, 28), (1000,))
    >>> (x_train, y_train), (x_test, y_test) = data
    """
    known = _known(name)
    folder = locate(known, data_dir)
    if folder is None and (data_dir is not None or known.bundled):
        raise _missing(known, data_dir)
    if folder is None:
        from .download import download

        folder = download(known)
    arrays = []
    for file in known.files:
        path = find(folder, file)
        if path is None:  # gone since it was found
            raise _missing(known, data_dir)
        arrays.append(read(path, known, file))
    x_train, y_train, x_test, y_test = arrays
    return Dataset(
        name=known.name,
        x_train=_images(x_train, known.train_shape),
        y_train=y_train.astype(np.int64),
        x_test=_images(x_test, known.test_shape),
        y_test=y_test.astype(np.int64),
        classes=known.classes,
        source=str(folder),
    )


def available(data_dir: str | os.PathLike[str] | None = None) -> list[DatasetInfo]:
    """
    All data sets that :func:`load` knows, mnist-mini first, and where each would be read from.

    Parameters
    ----------
    data_dir : path, optional
        As for :func:`load`.

    Examples
    --------
    >>> [(info.name, len(info.classes)) for info in available()]
    [('mnist-mini', 10), ('mnist', 10), ('fashion-mnist', 10)]
    """
    records = []
    for known in SETS.values():
        folder = locate(known, data_dir)
        records.append(
            DatasetInfo(
                name=known.name,
                train_shape=known.train_shape,
                test_shape=known.test_shape,
                classes=known.classes,
                licence=known.licence,
                download_bytes=known.download_bytes,
                bundled=known.bundled,
                found=None if folder is None else str(folder),
            )
        )
    return records


def _known(name: str) -> DataSet:
    if isinstance(name, str) and name in SETS:
        return SETS[name]
    names = ", ".join(SETS)
    guess = name.lower().replace("_", "-") if isinstance(name, str) else ""
    hint = f": did you mean {guess!r}?" if guess in SETS else ""
    message = f"datasets.load: expected one of {names}, got {name!r}{hint}"
    raise ConfigError(message)


def _images(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    x = array.reshape(shape).astype(np.float32)
    x /= 255.0
    return x


def _missing(known: DataSet, data_dir: str | os.PathLike[str] | None) -> DataError:
    """Error for a folder that was named and lacks files: those missing where it holds most of them."""
    folders = places(known, data_dir)
    best = min(folders, key=lambda folder: len(lacking(folder, known)))
    looked = " or ".join(str(folder) for folder in folders)
    files = ", ".join(f"{file.name}.gz" for file in lacking(best, known))
    mend = "put them there, or leave data_dir out to look in the usual places and download"
    if known.bundled:
        mend = "leave data_dir out, as this set comes with xpcnn" if data_dir is not None else "install xpcnn again"
    message = (
        f"datasets.load({known.name!r}): expected its {len(known.files)} files, plain or .gz, in {looked}, "
        f"missing in {best}: {files}: {mend}"
    )
    return DataError(message)
