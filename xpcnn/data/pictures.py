"""Pictures read by Pillow, which is imported when the first one is needed; what is wrong with one is a `DataError`."""

import importlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from xpcnn.errors import DataError

__all__ = ["is_grey", "opened", "pixels", "upright_size"]

WHO = "image_folder"  # who reads pictures

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # none of those that run other programs

_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 exchange width and height
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
# what Pillow's decoders raise on damaged files
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, LookupError, TypeError, ArithmeticError,
    RuntimeError,
)  # fmt: skip


def is_grey(picture: Any) -> bool:
    """Whether a picture is stored as grey; its header tells."""
    return picture.mode.startswith(("1", "L", "I")) and picture.mode != "LAB"


def upright_size(picture: Any) -> tuple[int, int]:
    """Height and width of a picture once it is turned as its EXIF tag says; its header tells."""
    width, height = picture.size
    return (width, height) if picture.getexif().get(_ORIENTATION) in (5, 6, 7, 8) else (height, width)


def pixels(picture: Any, mode: str, shape: tuple[int, int], path: Path) -> np.ndarray:
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
    found = np.asarray(picture, np.uint8)
    return found[None] if found.ndim == 2 else found.transpose(2, 0, 1)


@contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[Any]:
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
