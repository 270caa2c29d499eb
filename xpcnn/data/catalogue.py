"""
The data sets that xpcnn knows: what they hold, who made them, where they are, and the digests that prove it.

MNIST, Fashion-MNIST and their relatives use the same file names, and servers have sent one for the other, so the name
of a file says nothing. The SHA-256 of the decompressed content does.
"""

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["SETS", "DataFile", "DataSet", "recognise"]


class DataFile(NamedTuple):
    """One idx file: its name without ``.gz``, and SHA-256 and size in bytes of its decompressed content."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class DataSet:
    """
    What is known about a data set before it is read.

    Parameters
    ----------
    name : str
        For :func:`xpcnn.datasets.load`; also the name of its folder.
    files : tuple of four DataFile
        Training images, training labels, test images, test labels.
    train_shape, test_shape : tuple of int
        (N, C, H, W).
    classes : tuple of str
        Names of the labels 0, 1, ...
    licence : str
        Licence and authors.
    download_bytes : int
        Sum of the compressed files.
    mirrors : tuple of str
        Folders on servers, in the order in which they are tried, ending in a slash.
    bundled : bool
        Whether the files come with xpcnn.
    """

    name: str
    files: tuple[DataFile, DataFile, DataFile, DataFile]
    train_shape: tuple[int, ...]
    test_shape: tuple[int, ...]
    classes: tuple[str, ...]
    licence: str
    download_bytes: int
    mirrors: tuple[str, ...] = ()
    bundled: bool = False


_DIGITS = tuple("0123456789")

_MNIST = DataSet(
    name="mnist",
    files=(
        DataFile(
            "train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 47040016
        ),
        DataFile("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60008),
        DataFile("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 7840016),
        DataFile("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10008),
    ),
    train_shape=(60000, 1, 28, 28),
    test_shape=(10000, 1, 28, 28),
    classes=_DIGITS,
    licence="CC BY-SA 3.0, Yann LeCun and Corinna Cortes",
    download_bytes=11594722,
    # the authors' own server has refused downloads for years
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
)

_FASHION = DataSet(
    name="fashion-mnist",
    files=(
        DataFile(
            "train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", 47040016
        ),
        DataFile("train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", 60008),
        DataFile("t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", 7840016),
        DataFile("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 10008),
    ),
    train_shape=(60000, 1, 28, 28),
    test_shape=(10000, 1, 28, 28),
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    licence="MIT, Zalando SE",
    download_bytes=30878645,
    # the publisher's own server speaks plain HTTP only, so it comes last
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
)

# cut by tools/make_mnist_mini.py, which prints these lines
_MINI = DataSet(
    name="mnist-mini",
    files=(
        DataFile(
            "train-images-idx3-ubyte", "276107be590759c3f0926df722c4de39cdda1227591a1ecd47a184690a8ebf06", 4704016
        ),
        DataFile("train-labels-idx1-ubyte", "68a5c4f7f395a30b3c9c1866520c6eee961a3d0347446a56e17e4f65c8dfbbc6", 6008),
        DataFile("t10k-images-idx3-ubyte", "08212e895b958225f959f761e33da53e35faa44cebc75e329dcaa7b477fbddc0", 784016),
        DataFile("t10k-labels-idx1-ubyte", "a8455fc3bf4f53a12fd7fac83ac10b16241e37d6ab97bdfad5c2ebdffb543bea", 1008),
    ),
    train_shape=(6000, 1, 28, 28),
    test_shape=(1000, 1, 28, 28),
    classes=_DIGITS,
    licence="CC BY-SA 3.0, Yann LeCun and Corinna Cortes",
    download_bytes=1138068,
    bundled=True,
)

SETS: dict[str, DataSet] = {known.name: known for known in (_MINI, _MNIST, _FASHION)}


def recognise(sha256: str) -> tuple[str, str] | None:
    """
    Data set and file name that a digest belongs to, or None.

    Examples
    --------
    >>> recognise("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2")
    ('mnist', 't10k-labels-idx1-ubyte')
    """
    for known in SETS.values():
        for file in known.files:
            if file.sha256 == sha256:
                return known.name, file.name
    return None
