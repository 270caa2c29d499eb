"""Data sets and batches: from a name to arrays, and from arrays to the pairs that a training step takes."""

from . import augment, datasets
from .batches import batches, order
from .datasets import Dataset, DatasetInfo
from .idx import read_idx
from .prefetch import prefetch

__all__ = ["Dataset", "DatasetInfo", "augment", "batches", "datasets", "order", "prefetch", "read_idx"]
