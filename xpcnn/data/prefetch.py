"""Making the next items in the background, by a thread that ends when the one who takes them does."""

import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

from xpcnn.errors import ConfigError
from xpcnn.settings import count

__all__ = ["prefetch"]

T = TypeVar("T")


def prefetch(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """
    The same items in the same order, up to `depth` of them made in advance by a thread.

    It pays where making an item leaves Python's lock alone: reading files, decompressing, large NumPy calls, waiting
    for another machine. Work on a GPU runs in the background in any case.

    Parameters
    ----------
    items : iterable
        Only the thread touches it, and closes it if it is a generator.
    depth : int, at least 1
        How many items are made, or in the making, beyond the one that was taken last.

    Returns
    -------
    iterator : generator
        The thread starts with the first item that is asked for. It ends with the items, or when the generator is
        closed: by its ``close()``, by an exception or Ctrl-C while it waits, or when nobody holds it any more. Closing
        waits for the one item that is in the making.

    Raises
    ------
    ConfigError
        If `items` is no iterable or `depth` is not in its range. What making an item raises is raised where the item
        would have come, with the traceback of where it happened.

    Examples
    --------
    >>> list(prefetch(range(5)))
    [0, 1, 2, 3, 4]
    """
    depth = count("prefetch", "depth", depth)
    try:
        source = iter(items)
    except TypeError as error:
        message = f"prefetch: expected something to go through, got {type(items).__name__}"
        raise ConfigError(message) from error
    return _taken(source, depth)


def _taken(source: Iterator[T], depth: int) -> Iterator[T]:
    """The consumer's side: it alone starts and ends the thread."""
    ready: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    room, over = threading.Semaphore(depth + 1), threading.Event()
    thread = threading.Thread(target=_make, args=(source, ready, room, over), name="xpcnn-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, item = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise item
            yield item
            room.release()
    finally:
        item = None  # an error would hold this frame, and this frame the error
        over.set()
        room.release()  # the thread may wait for room
        if thread is not threading.current_thread():  # where the collector happens to find the generator
            thread.join()


def _make(
    source: Iterator[Any], ready: "SimpleQueue[tuple[str, Any]]", room: threading.Semaphore, over: threading.Event
) -> None:
    """The thread: an item as soon as there is room for it. It never waits for anything but room."""
    try:
        try:
            while True:
                room.acquire()
                if over.is_set():
                    break
                ready.put(("item", next(source)))
        except StopIteration:
            pass
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()
        ready.put(("end", None))
    except BaseException as error:  # whatever it is, it belongs to the one who takes the items
        ready.put(("error", error))
