"""
Captured graphs: work for a GPU that is written down once, and from then on started by one call.

A small network's step is some hundred kernels of a few microseconds, and starting each from Python takes longer than
that. While a stream captures, nothing is computed: every kernel is noted with its arguments, so what is replayed reads
and writes the same memory each time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from . import launch

__all__ = ["Graph", "new_pool"]


class Graph:
    """
    What a function does on the current device, captured.

    Its memory comes from a pool of its own, so that nobody else uses it between two replays. Arrays that the function
    is given, and that stay where they are, are shared by all replays; what it returns is written anew by each.

    Parameters
    ----------
    function : callable
        Without arguments. It must have run before, so that all kernels are compiled and all plans made; and must not
        look at a number on the device, or copy from or to the host.
    pool : cupy.cuda.MemoryPool
        May be shared by graphs that are never replayed at the same time.

    Attributes
    ----------
    result : object
        What the function returned.

    Raises
    ------
    Exception
        Whatever the function, or CuPy, raises at what cannot be captured; nothing was computed then.
    """

    def __init__(self, function: Callable[[], Any], pool: Any) -> None:
        cuda = launch.cupy().cuda
        stream = cuda.Stream(non_blocking=True)  # the default stream cannot capture
        with stream, cuda.using_allocator(pool.malloc):
            stream.begin_capture()
            try:
                self.result = function()
            except BaseException:
                with suppress(Exception):  # the capture may have been broken off already
                    stream.end_capture()
                raise
            self._graph = stream.end_capture()
        self._pool = pool

    def replay(self) -> None:
        """Do it all again, on the current stream; nobody waits."""
        self._graph.launch()


def new_pool() -> Any:
    """A pool of memory for graphs."""
    return launch.cupy().cuda.MemoryPool()
