"""
A folder of images as a data set, with a sub-folder for each class.

::

    root/cat/1.png      or      root/train/cat/1.png
    root/cat/2.jpg              root/train/dog/2.jpg
    root/dog/1.png              root/test/cat/3.png

How a picture is decoded is in :mod:`xpcnn.data.pictures`.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xpcnn import settings
from xpcnn.errors import ConfigError, DataError

from .dataset import Dataset
from .pictures import WHO, is_grey, opened, pixels, upright_size

__all__ = ["by_name", "image_folder"]

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TEST = ("test", "val", "valid", "validation")

_NAME = re.compile(r"folder:(?:(\d{1,9})x(\d{1,9}):)?(.*)", re.DOTALL)


class _Image(NamedTuple):
    """An image file and its class number."""

    path: Path
    label: int


def image_folder(
    path: str | os.PathLike[str],
    size: tuple[int, int] | int | None = None,
    mode: str | None = "RGB",
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
    max_pixels: int = 50_000_000,
) -> Dataset:
    """
    Images of a folder that has a sub-folder for each class.

    Class numbers follow the sorted names of the sub-folders, images the sorted names of their files, deeper folders
    included. Hidden files and folders, and files of other kinds than bmp, gif, jpeg, png, pbm, pgm, ppm, tiff and webp
    are passed over.

    Parameters
    ----------
    path : path
        The folder. If its sub-folders are ``train`` and ``test`` (or ``val``, ``valid``, ``validation``), these hold
        the classes. Otherwise `test_fraction` of the images of each class become test images.
    size : (H, W) or int, optional
        What the images are brought to: scaled, bilinear and antialiased, until they just cover it, then cut around the
        centre. Default: as they are; then all must have one size.
    mode : {"RGB", "L", None}
        Three channels, or one: grey is 0.299 R + 0.587 G + 0.114 B. None: grey if all images are stored so, else RGB.
    test_fraction : float
        From 0 to below 1. At least one image of a class is for training, and one for testing where it has two.
    seed : int
        Decides which ones, together with each file's name: an image that is added moves hardly any others.
    max_pixels : int
        Largest image that is decoded.

    Returns
    -------
    data : Dataset
        Brightness from 0 to 1. Images are turned as their EXIF tag says. Transparent ones are laid on black. Palettes
        and CMYK become RGB, grey of 16 bits is rounded to 8. Of animated images the first one is taken.

    Raises
    ------
    ConfigError
        If a setting makes no sense.
    DataError
        If the folder holds no classes or a class no images; if a file, which is named, cannot be read, is no image,
        is truncated, too large, of floating numbers, or of another size than the others; or if Pillow is missing.

    Examples
    --------
    >>> data = image_folder("pets", size=(64, 64))  # doctest: +SKIP
    >>> data.x_train.shape, data.classes  # doctest: +SKIP
    ((1600, 3, 64, 64), ('cat', 'dog'))
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        message = f"{WHO}: expected a path to a folder, got {path!r}"
        raise ConfigError(message)
    if mode not in ("RGB", "L", None):
        message = f'{WHO}: expected mode "RGB", "L" or None, got {mode!r}'
        raise ConfigError(message)
    shape = None if size is None else _size(size)
    test_fraction = settings.number(WHO, "test_fraction", test_fraction, least=0.0, below=1.0)
    seed = settings.count(WHO, "seed", seed, least=0)
    max_pixels = settings.count(WHO, "max_pixels", max_pixels)
    root = Path(os.path.expanduser(path))
    classes, train, test = _listed(root, test_fraction, seed)
    # before any memory is asked for, and any picture decoded
    grey, common = _surveyed([*train, *test], max_pixels, one_size=shape is None)
    mode = mode or ("L" if grey else "RGB")
    shape = shape or common
    x_train, x_test = (_decoded(part, mode, shape, max_pixels) for part in (train, test))
    y_train, y_test = (np.array([image.label for image in part], np.int64) for part in (train, test))
    return Dataset(root.resolve().name or "folder", x_train, y_train, x_test, y_test, tuple(classes), str(root))


def by_name(name: str) -> Dataset:
    """
    The set that a name such as ``folder:PATH`` or ``folder:32x32:PATH`` (height x width) means.

    Raises
    ------
    ConfigError
        If it is no such name.
    DataError
        As :func:`image_folder`.
    """
    match = _NAME.fullmatch(name)
    height, width, path = match.groups() if match else (None, None, "")
    if not path:
        message = f"datasets.load: expected folder:PATH or folder:HEIGHTxWIDTH:PATH, got {name!r}"
        raise ConfigError(message)
    return image_folder(path, (int(height), int(width)) if height and width else None, mode=None)


def _size(size: Any) -> tuple[int, int]:
    sizes = (size, size) if settings.integer(size) is not None else size
    if not isinstance(sizes, Sequence) or isinstance(sizes, (str, bytes)) or len(sizes) != 2:
        message = f"{WHO}: expected size to be (H, W) or one integer, got {size!r}"
        raise ConfigError(message)
    height, width = (settings.count(WHO, "size", value, most=1 << 16) for value in sizes)
    return height, width


def _listed(root: Path, test_fraction: float, seed: int) -> tuple[list[str], list[_Image], list[_Image]]:
    """Names of the classes, training images, test images."""
    folders = _folders(root)
    other = next((name for name in TEST if name in folders), None)
    if "train" in folders and other is not None and set(folders) <= {"train", *TEST}:
        classes = _folders(root / "train")
        unknown = sorted(set(_folders(root / other)) - set(classes))
        if unknown:
            message = f"{root / other}: expected classes of {root / 'train'}, got {unknown[0]!r}: add it there too"
            raise DataError(message)
        train = [image for i, name in enumerate(classes) for image in _images(root / "train" / name, i)]
        test = [
            image for i, name in enumerate(classes) if (root / other / name).is_dir()
            for image in _images(root / other / name, i)
        ]  # fmt: skip
        return classes, train, test
    train, test = [], []
    for i, name in enumerate(folders):
        found = _images(root / name, i)
        n = min(max(1, round(test_fraction * len(found))), len(found) - 1) if test_fraction > 0 else 0
        chosen = set(sorted(found, key=lambda image: _draw(root, image, seed))[:n])
        train += [image for image in found if image not in chosen]
        test += [image for image in found if image in chosen]
    return folders, train, test


def _draw(root: Path, image: _Image, seed: int) -> bytes:
    """A random number for an image, of the seed and the file's name only."""
    name = image.path.relative_to(root).as_posix()
    return hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "surrogateescape")).digest()


def _folders(root: Path) -> list[str]:
    try:
        found = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        message = f"{root}: expected a folder of images, which cannot be read ({error.strerror or error})"
        raise DataError(message) from error
    if not found:
        message = f"{root}: expected a sub-folder of images for each class, got none: make one, named after the class"
        raise DataError(message)
    return found


def _images(folder: Path, label: int) -> list[_Image]:
    found = []
    for place, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        found += [
            Path(place, name) for name in names if name.lower().endswith(ENDINGS) and not name.startswith(".")
        ]  # fmt: skip
    if not found:
        message = f"{folder}: expected images ({', '.join(e[1:] for e in ENDINGS)}), got none: fill or remove it"
        raise DataError(message)
    return [_Image(path, label) for path in sorted(found, key=lambda path: path.relative_to(folder).parts)]


def _surveyed(images: list[_Image], max_pixels: int, *, one_size: bool) -> tuple[bool, tuple[int, int]]:
    """Whether all are stored as grey, and the size of the first; only headers are read."""
    grey, common = True, (0, 0)
    for image in images:
        with opened(image.path, max_pixels) as picture:
            grey, size = grey and is_grey(picture), upright_size(picture)
        if common == (0, 0):
            common = size
        if one_size and common != size:
            message = (
                f"{image.path}: expected {common[0]}x{common[1]} pixels (height x width) as {images[0].path} has, "
                f"got {size[0]}x{size[1]}: say what to bring them to, such as size=({common[0]}, {common[1]})"
            )
            raise DataError(message)
    return grey, common


def _decoded(images: list[_Image], mode: str, shape: tuple[int, int], max_pixels: int) -> np.ndarray:
    x = np.empty((len(images), len(mode), *shape), np.float32)
    for i, image in enumerate(images):
        with opened(image.path, max_pixels) as picture:
            found = pixels(picture, mode, shape, image.path)
        if found.shape != x.shape[1:]:  # changed since it was looked at
            message = f"{image.path}: expected shape {x.shape[1:]}, got {found.shape}: the file has just changed"
            raise DataError(message)
        np.divide(found, np.float32(255.0), out=x[i])
    return x
