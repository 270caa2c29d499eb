"""Changes that are undone, or not, by a truth that only the device knows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .namespace import Array, array_namespace

__all__ = ["undone_unless"]


@contextmanager
def undone_unless(go: Array, arrays: Callable[[], dict[str, Array]]) -> Iterator[None]:
    """
    Let arrays change inside; at the end they are what they were, unless `go` is true. Nobody waits for the device.

    Parameters
    ----------
    go : array of one bool
        Looked at when the work inside is done.
    arrays : callable
        Gives all arrays that may change, by name, when it is called. What is new at the end, or of another shape, is
        zeros unless `go` is true.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.ones(2)
    >>> with undone_unless(np.asarray(False), lambda: {"a": a}):
    ...     a += 1
    >>> a.tolist()
    [1.0, 1.0]
    """
    xp = array_namespace(go)
    before = {name: xp.asarray(a, copy=True) for name, a in arrays().items()}
    yield
    for name, a in arrays().items():
        kept = before.get(name)
        if kept is None or kept.shape != a.shape:
            kept = xp.zeros_like(a)
        a[...] = xp.where(go, a, kept)
