"""
A folder of images as a data set, with a sub-folder for each class.

::

    root/cat/1.png      or      root/train/cat/1.png
    root/cat/2.jpg              root/train/dog/2.jpg
    root/dog/1.png              root/test/cat/3.png

Pictures are decoded by Pillow, which is imported when the first one is needed.
"""

import hashlib
import importlib
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xpcnn import settings
from xpcnn.errors import ConfigError, DataError

from .dataset import Dataset

__all__ = ["by_name", "image_folder"]

WHO = "image_folder"

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # none of those that run other programs
TEST = ("test", "val", "valid", "validation")

_NAME = re.compile(r"folder:(?:(\d{1,9})x(\d{1,9}):)?(.*)", re.DOTALL)
_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 exchange width and height
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
# what Pillow's decoders raise on damaged files
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, LookupError, TypeError, ArithmeticError,
    RuntimeError,
)  # fmt: skip


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
        with _opened(image.path, max_pixels) as picture:
            grey = grey and picture.mode.startswith(("1", "L", "I")) and picture.mode != "LAB"
            width, height = picture.size
            if picture.getexif().get(_ORIENTATION) in (5, 6, 7, 8):
                width, height = height, width
        if common == (0, 0):
            common = (height, width)
        if one_size and common != (height, width):
            message = (
                f"{image.path}: expected {common[0]}x{common[1]} pixels (height x width) as {images[0].path} has, "
                f"got {height}x{width}: say what to bring them to, such as size=({common[0]}, {common[1]})"
            )
            raise DataError(message)
    return grey, common


def _decoded(images: list[_Image], mode: str, shape: tuple[int, int], max_pixels: int) -> np.ndarray:
    x = np.empty((len(images), len(mode), *shape), np.float32)
    for i, image in enumerate(images):
        with _opened(image.path, max_pixels) as picture:
            pixels = _pixels(picture, mode, shape, image.path)
        if pixels.shape != x.shape[1:]:  # changed since it was looked at
            message = f"{image.path}: expected shape {x.shape[1:]}, got {pixels.shape}: the file has just changed"
            raise DataError(message)
        np.divide(pixels, np.float32(255.0), out=x[i])
    return x


def _pixels(picture: Any, mode: str, shape: tuple[int, int], path: Path) -> np.ndarray:
    """Bytes of a picture, shape (C, H, W)."""
    tools, ops = _pillow("Image"), _pillow("ImageOps")
    picture = ops.exif_transpose(picture)
    if picture.mode == "F":
        message = f"{path}: expected whole numbers as pixels, got floating ones, whose range nobody knows: convert it"
        raise DataError(message)
    if picture.mode.startswith("I"):
        # Pillow would cut off what is above 255
        deep = np.asarray(picture).astype(np.int64)
        if deep.size and not 0 <= deep.min() <= deep.max() <= 65535:
            message = f"{path}: expected grey of 16 bits, got {deep.min()} to {deep.max()}: convert it"
            raise DataError(message)
        picture = tools.fromarray(((deep * 255 + 32767) // 65535).astype(np.uint8))
    if picture.mode in _ALPHA or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = tools.alpha_composite(tools.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
    picture = picture.convert("RGB") if picture.mode in ("CMYK", "P") else picture
    picture = picture.convert(mode)
    picture = ops.fit(picture, (shape[1], shape[0]), tools.Resampling.BILINEAR, centering=(0.5, 0.5))
    pixels = np.asarray(picture, np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


@contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[Any]:
    """A picture whose header was read; what goes wrong with it, until it is closed, is a DataError."""
    tools = _pillow("Image")
    tools.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd tags, and of sizes that the limit below allows
            with tools.open(path, formats=[name for name in FORMATS if name in tools.OPEN]) as picture:
                width, height = picture.size
                if width * height > max_pixels:
                    message = (
                        f"{path}: expected at most {max_pixels:,} pixels, got {height}x{width}: make it smaller, or "
                        "raise max_pixels if you trust it"
                    )
                    raise DataError(message)
                yield picture
    except DataError:
        raise
    except tools.DecompressionBombError as error:
        message = f"{path}: expected at most {max_pixels:,} pixels, got many more ({error})"
        raise DataError(message) from error
    except tools.UnidentifiedImageError as error:
        message = f"{path}: expected an image ({', '.join(FORMATS)}), got something else: replace or remove it"
        raise DataError(message) from error
    except _DAMAGED as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        message = f"{path}: cannot be read as an image ({reason}): replace or remove it"
        raise DataError(message) from error


def _pillow(module: str) -> Any:
    try:
        return importlib.import_module(f"PIL.{module}")
    except ImportError as error:
        message = f"{WHO}: expected Pillow, which reads images, got none: pip install 'xpcnn[images]'"
        raise DataError(message) from error
