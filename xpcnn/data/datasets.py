"""
Image data sets by name, as arrays that are ready for training.

A set is taken from the first of these places that holds all its files, each plain or as ``.gz``, or the archive that
they are published in. ``<folder>`` is the set's name, but ``emnist`` for all of EMNIST's and ``cifar100`` for both of
its own:

1. `data_dir`, if given: ``data_dir/<folder>/``, or `data_dir` itself. No other place is then looked at, and nothing is
   downloaded: who names a folder means that folder.
2. The package itself for mnist-mini, which comes with it, and no further.
3. ``$XPCNN_DATA_DIR/<folder>/``.
4. The cache: ``$XDG_CACHE_HOME/xpcnn/<folder>/``, else ``~/.cache/xpcnn/<folder>/``.
5. ``/usr/share/datasets/<folder>/``.
6. The mirrors, from which it is downloaded into the cache, unless ``XPCNN_OFFLINE=1`` forbids that.

Wherever the files come from, their SHA-256, or that of their archive, is compared with the published one at every
load. Where nobody published one (plain files of EMNIST, unpacked ones of CIFAR), sizes, shapes and labels must be
exactly right. A wrong file is an error; it does not make the search go on.
"""

import os
from typing import NamedTuple

from xpcnn.errors import ConfigError, DataError
from xpcnn.settings import like

from .catalogue import SETS
from .dataset import Dataset
from .described import DataSet
from .files import lacking, locate, pickles, places
from .images import by_name, image_folder
from .reading import read

__all__ = ["Dataset", "DatasetInfo", "available", "image_folder", "load"]


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
    folder : str
        Name of the folder that it is looked for in, at each of the places.
    """

    name: str
    train_shape: tuple[int, ...]
    test_shape: tuple[int, ...]
    classes: tuple[str, ...]
    licence: str
    download_bytes: int
    bundled: bool
    found: str | None
    folder: str


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """
    Load a data set, and download it first where that is necessary.

    Parameters
    ----------
    name : str
        "mnist-mini" (6,000 training and 1,000 test digits of MNIST, which come with xpcnn), "mnist", "fashion-mnist",
        "kmnist", "emnist-byclass", "emnist-bymerge", "emnist-balanced", "emnist-letters", "emnist-digits",
        "emnist-mnist", "cifar10", "cifar100" (100 fine classes), "cifar100-coarse" (the same images in 20 classes);
        or "folder:PATH", "folder:32x32:PATH": :func:`image_folder` with that path and size (height x width), grey if
        all its images are.
    data_dir : path, optional
        Folder that holds ``<folder>/`` or the files themselves. It is then the only place that is looked at.

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
    are known to be wrong. KMNIST: T. Clanuwat et al., arXiv:1812.01718, 2018. EMNIST: G. Cohen, S. Afshar, J. Tapson
    and A. van Schaik, arXiv:1702.05373, 2017; its images are stored transposed and are turned back here, and the
    labels 1 to 26 of its letters become 0 to 25. CIFAR: A. Krizhevsky, "Learning multiple layers of features from tiny
    images", 2009.

    Examples
    --------
    >>> data = load("mnist-mini")
    >>> data.x_train.shape, data.y_test.shape
    ((6000, 1, 28, 28), (1000,))
    >>> (x_train, y_train), (x_test, y_test) = data
    """
    if isinstance(name, str) and name.startswith("folder:"):
        return _own_images(name, data_dir)
    known = _known(name)
    folder = locate(known, data_dir)
    if folder is None and (data_dir is not None or known.bundled):
        raise _missing(known, data_dir)
    if folder is None:
        from .download import download

        folder = download(known)
    return Dataset(known.name, *read(folder, known), classes=known.classes, source=str(folder))


def available(data_dir: str | os.PathLike[str] | None = None) -> list[DatasetInfo]:
    """
    All data sets that :func:`load` knows, mnist-mini first, and where each would be read from.

    Parameters
    ----------
    data_dir : path, optional
        As for :func:`load`.

    Examples
    --------
    >>> [(info.name, len(info.classes)) for info in available()][:3]
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
                folder=known.folder,
            )
        )
    return records


def _known(name: str) -> DataSet:
    if isinstance(name, str) and name in SETS:
        return SETS[name]
    names = ", ".join(SETS)
    guess = next((known for known in SETS if _letters(known) == _letters(name)), None)
    hint = f": did you mean {guess!r}?" if guess else like(name, SETS)
    message = f"datasets.load: expected one of {names} or folder:PATH, got {name!r}{hint}"
    raise ConfigError(message)


def _own_images(name: str, data_dir: object) -> Dataset:
    if data_dir is None:
        return by_name(name)
    message = f"datasets.load: expected no data_dir beside {name!r}, which says where the images are, got {data_dir!r}"
    raise ConfigError(message)


def _letters(name: object) -> str:
    """A name without what people disagree on."""
    return "".join(filter(str.isalnum, str(name).lower()))


def _missing(known: DataSet, data_dir: str | os.PathLike[str] | None) -> DataError:
    """Error for a folder that was named and lacks files: those missing where it holds most of them."""
    folders = places(known, data_dir)
    best = min(folders, key=lambda folder: (lacking(folder, known) == [known.archive], len(lacking(folder, known))))
    looked = " or ".join(str(folder) for folder in folders)
    files = ", ".join(part.published for part in lacking(best, known))
    mend = "put them there, or leave data_dir out to look in the usual places and download"
    if known.bundled:
        mend = "leave data_dir out, as this set comes with xpcnn" if data_dir is not None else "install xpcnn again"
    wanted = f"its {len(known.files)} files, plain or .gz,"
    if known.archive is not None:
        wanted = f"{known.archive.name} or its {len(known.files)} files"
        found = [name for folder in folders for name in pickles(folder)]
        if found:
            mend = f"{found[0]} is there, but pickles are not read, as they can run anything: take the binary version"
    message = f"datasets.load({known.name!r}): expected {wanted} in {looked}, missing in {best}: {files}: {mend}"
    return DataError(message)
