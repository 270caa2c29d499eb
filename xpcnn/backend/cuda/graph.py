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

from . import blas, launch
from .cudnn import plans

__all__ = ["Graph", "Room"]


class Room:
    """
    Where graphs are captured that are never replayed at the same time: a stream, and memory that nobody else uses.

    CuPy's pools give free memory back to the system when a request fails, and what was freed while a graph was captured
    is free to them; so all that was asked for is held here, until :meth:`release`.
    """

    def __init__(self) -> None:
        cuda = launch.cupy().cuda
        self._held: list[Any] = []
        self.pool = cuda.MemoryPool(self._keep)
        self.stream = cuda.Stream(non_blocking=True)  # the default stream cannot capture

    def _keep(self, size: int) -> Any:
        cuda = launch.cupy().cuda
        memory = cuda.Memory(size)
        self._held.append(memory)
        return cuda.MemoryPointer(memory, 0)

    def release(self) -> None:
        """Give all memory back that no array holds; graphs that were captured here must not be replayed any more."""
        blas.forget(self.stream.ptr)
        self.pool.free_all_blocks()
        self._held.clear()


class Graph:
    """
    What a function does on the current device, captured.

    Arrays that the function is given, and that stay where they are, are shared by all replays; what it returns is
    written anew by each.

    Parameters
    ----------
    function : callable
        Without arguments. It must have run before, so that all kernels are compiled and all plans made; and must not
        look at a number on the device, or copy from or to the host.
    room : Room

    Attributes
    ----------
    result : object
        What the function returned.

    Raises
    ------
    Exception
        Whatever the function, or CuPy, raises at what cannot be captured; nothing was computed on the device then.
    """

    def __init__(self, function: Callable[[], Any], room: Room) -> None:
        cuda, stream = launch.cupy().cuda, room.stream
        with stream, cuda.using_allocator(room.pool.malloc), plans.noted() as used:
            stream.begin_capture()
            try:
                self.result = function()
            except BaseException:
                with suppress(Exception):  # the capture may have been broken off already
                    stream.end_capture()
                raise
            self._graph = stream.end_capture()
        self._held = room, used  # a plan may hold the code of its kernels

    def replay(self) -> None:
        """Do it all again, on the current stream; nobody waits."""
        self._graph.launch()
