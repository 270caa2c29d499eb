"""How exactly a GPU is to compute: what a model was asked for, seen by the kernels below it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

__all__ = ["Options", "computing", "options"]


class Options(NamedTuple):
    """
    What kernels may do.

    Parameters
    ----------
    allow_tf32 : bool
        Round the factors of float32 products to TF32, which has the 10 bits of float16 behind the point.
    deterministic : bool
        Only what gives the same bits every time.
    """

    allow_tf32: bool = False
    deterministic: bool = False


_USUAL = Options()
_CURRENT: ContextVar[Options] = ContextVar("options", default=_USUAL)


def options() -> Options:
    """
    Those that hold here.

    Examples
    --------
    >>> options()
    Options(allow_tf32=False, deterministic=False)
    """
    return _CURRENT.get()


@contextmanager
def computing(wanted: Options) -> Iterator[None]:
    """
    Let others hold inside.

    Examples
    --------
    >>> with computing(Options(allow_tf32=True)):
    ...     options().allow_tf32
    True
    """
    token = _CURRENT.set(wanted)
    try:
        yield
    finally:
        _CURRENT.reset(token)
