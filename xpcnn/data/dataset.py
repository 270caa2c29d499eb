"""What a data set is once it is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Dataset"]


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
