"""Images for a network: of a data set or a file, and brought to the shape that the network takes."""

import os
import tokenize
import warnings
from typing import Any

import numpy as np

from xpcnn import datasets
from xpcnn.data import read_idx
from xpcnn.data.catalogue import SETS
from xpcnn.data.datasets import Dataset
from xpcnn.errors import DataError, ShapeError
from xpcnn.models import Model

__all__ = ["check_images", "fit_images", "load_for", "read_images"]

# what numpy.load raises on damaged files: their header is a Python literal
_DAMAGED = (
    OSError, ValueError, EOFError, SyntaxError, TypeError, ArithmeticError, LookupError, RecursionError, MemoryError,
    tokenize.TokenError,
)  # fmt: skip


def fit_images(x: np.ndarray, model: Model) -> np.ndarray:
    """
    Put smaller images into the middle of a black frame of the size that a network takes.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    model : Model

    Returns
    -------
    x : ndarray
        The same, if the network takes them as they are.

    Raises
    ------
    ShapeError
        If no frame makes them fit.

    Examples
    --------
    >>> from xpcnn import models
    >>> fit_images(np.ones((2, 1, 20, 25)), models.deepnotes()).shape
    (2, 1, 28, 28)
    """
    shape = tuple(x.shape[1:])
    check_images(shape, model)
    frame = _frame(shape, model.input_shape)
    if frame is None or frame == (0, 0):
        return x
    return np.pad(x, [(0, 0), (0, 0), *((gap // 2, gap - gap // 2) for gap in frame)])


def load_for(model: Model, name: str, folder: str | None) -> Dataset:
    """
    A data set for a model; one whose images the model does not take is refused before it is fetched, if it is known.

    Raises
    ------
    ShapeError
        If the network takes no such images.
    DataError
        As :func:`xpcnn.datasets.load`.
    """
    if name in SETS:
        check_images(SETS[name].test_shape[1:], model)
    return datasets.load(name, folder)


def check_images(shape: tuple[int, ...], model: Model) -> None:
    """
    Raise `ShapeError` unless a network takes images of a shape (C, H, W), with a black frame or without.

    Examples
    --------
    >>> from xpcnn import models
    >>> check_images((1, 20, 25), models.deepnotes())
    """
    wanted = model.input_shape
    if _frame(shape, wanted) is not None:
        return
    try:
        model.output_shape(shape)
    except ShapeError as error:
        # what a layer would suggest is of no use for a network that is finished
        if wanted is None or len(wanted) != 3:
            known, hint = "that fit the network" if wanted is None else f"of shape {wanted}", f" ({error})"
        elif wanted[0] != shape[0]:
            known, hint = f"of shape {wanted}", f": this network wants {wanted[0]} channel(s)"
        else:
            known, hint = f"of shape {wanted}", f": resize them to {wanted[1]}x{wanted[2]}"
        message = f"expected images {known}, got {shape}{hint}"
        raise ShapeError(message) from error


def _frame(shape: tuple[int, ...], wanted: tuple[int, ...] | None) -> tuple[int, int] | None:
    """Height and width that images lack; None where no frame makes them fit."""
    if wanted is None or len(wanted) != 3 or wanted[0] != shape[0]:
        return None
    height, width = wanted[1] - shape[1], wanted[2] - shape[2]
    return (height, width) if min(height, width) >= 0 else None


def read_images(path: str, model: Model) -> np.ndarray:
    """
    Images of an idx file (plain or gzip) or a NumPy file, for a model.

    Bytes are brightness from 0 to 255 and become 0 to 1; floating numbers must be from 0 to 1 already. (H, W) is one
    image, (N, H, W) are grey ones.

    Parameters
    ----------
    path : str
    model : Model

    Returns
    -------
    x : ndarray of the dtype of the model's parameters, shape (N, C, H, W)

    Raises
    ------
    DataError
        If the file is missing, damaged, of another kind, holds no images, or numbers beyond 0 to 1.
    ShapeError
        If the network takes no images of that shape.
    """
    first = _first_bytes(path, 6)
    if first and not first.startswith((b"\x93NUMPY", b"\x1f\x8b", b"\x00\x00")):
        message = (
            f"{path}: expected images in a NumPy file (.npy) or an idx file, plain or .gz, got a file that begins with "
            f"'{first.hex(' ')}': pictures belong into a folder for each class, --dataset folder:PATH"
        )
        raise DataError(message)
    x = _read_npy(path) if first.startswith(b"\x93NUMPY") else read_idx(path)
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        message = f"{path}: expected images as bytes (uint8) or floating numbers, got {x.dtype}"
        raise DataError(message)
    scale = 255.0 if x.dtype == np.uint8 else 1.0
    with np.errstate(over="ignore", invalid="ignore"):  # of infinite numbers and signalling NaN, see below
        x = x.astype(model.params_dtype, order="C")
    if not np.isfinite(x).all():
        message = f"{path}: expected finite numbers of {model.params_dtype}, got NaN or infinity"
        raise DataError(message)
    if scale == 1.0 and x.size and not 0.0 <= x.min() <= x.max() <= 1.0:
        message = (
            f"{path}: expected floating numbers from 0 to 1, got {x.min():g} to {x.max():g}: "
            "divide them by the largest possible value, or save bytes (uint8) from 0 to 255"
        )
        raise DataError(message)
    x /= scale
    return fit_images(_four_axes(path, x, model.input_shape), model)


def _four_axes(path: str, x: np.ndarray, input_shape: tuple[int, ...] | None) -> np.ndarray:
    if x.ndim == 2:
        x = x[None, None]
    elif x.ndim == 3:
        # one image of several channels, or grey ones
        colour = input_shape is not None and input_shape[0] > 1 and x.shape[0] == input_shape[0]
        x = x[None] if colour else x[:, None]
    if x.ndim != 4 or x.size == 0:
        message = f"{path}: expected images of shape (N, H, W) or (N, C, H, W), got {x.shape}"
        raise DataError(message)
    return x


def _first_bytes(path: str, count: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror or error})"
        raise DataError(message) from error


def _read_npy(path: str) -> np.ndarray:
    """Array of a NumPy file. It is mapped, because that proves its length before memory is asked for."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote, which are as good
            mapped: Any = np.load(os.fspath(path), mmap_mode="r", allow_pickle=False)
        return np.array(mapped)
    except _DAMAGED as error:
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        message = f"{path}: damaged, or not a file of numbers ({line}): write it again with numpy.save"
        raise DataError(message) from error
