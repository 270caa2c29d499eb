"""
Work spread over the processor's cores.

NumPy gives up Python's lock while it computes, so threads are enough. A piece of work is cut in the same parts whatever
the number of threads, and each part is computed by one thread alone: that is why results are equal, bit for bit, for
any number of threads. BLAS, which has threads of its own, is held to one while ours run.
"""

from __future__ import annotations

import contextvars
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from xpcnn.errors import ConfigError
from xpcnn.settings import count

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["get_num_threads", "set_num_threads", "single_threaded_blas", "spread"]

MOST = 1024


class _State:
    """Threads of this process; a child of ``fork`` gets a new one, since threads do not survive it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads: int | None = None
        self.pool: ThreadPoolExecutor | None = None
        self.holders = 0  # who asked BLAS for one thread
        self.blas: list[Any] | None = None
        self.before: list[int] = []


class _Here(threading.local):
    """Whether this thread is doing a part of something that was spread already."""

    busy = False


_state = _State()
_here = _Here()


def get_num_threads() -> int:
    """
    Number of threads that work on NumPy arrays.

    `set_num_threads`, else ``$XPCNN_NUM_THREADS``, else the number of cores that this process may use.

    Raises
    ------
    ConfigError
        If the environment variable is no positive integer.

    Examples
    --------
    >>> get_num_threads() >= 1
    True
    """
    threads = _state.threads
    if threads is None:
        threads = _state.threads = _default()
    return threads


def set_num_threads(threads: int | None) -> None:
    """
    Set the number of threads that work on NumPy arrays, in the whole process.

    Results do not depend on it, not in a single bit.

    Parameters
    ----------
    threads : int, 1 to 1024, or None
        None goes back to the default, see :func:`get_num_threads`.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(None)
    """
    threads = None if threads is None else count("set_num_threads", "threads", threads, 1, MOST)
    with _state.lock:
        _state.threads = threads
        pool, _state.pool = _state.pool, None
    if pool is not None:
        pool.shutdown(wait=False)  # what it has begun it ends


def spread(work: Callable[[int], Any], parts: int) -> None:
    """
    Call ``work(0)``, ..., ``work(parts - 1)``, on several threads; in order on this one where it is busy with parts.

    The calling thread works too, and its context variables, of which ``numpy.errstate`` is one, hold in all. An
    exception ends the handing out of parts and is raised here, once all threads are done.
    """
    threads = 1 if _here.busy else min(get_num_threads(), parts)
    if threads == 1:
        with single_threaded_blas():
            for i in range(parts):
                work(i)
        return
    tickets = itertools.count()  # next() on it is atomic
    job = [work]  # taken away in the end: a helper may hold `take` a moment longer, and with it arrays that are gone

    def take() -> None:
        nonlocal tickets
        _here.busy = True
        try:
            (own,) = job
            while (i := next(tickets)) < parts:
                own(i)
        except BaseException:
            tickets = itertools.count(parts)
            raise
        finally:
            _here.busy = False

    with single_threaded_blas():
        helpers = [_submit(contextvars.copy_context(), take) for _ in range(threads - 1)]
        try:
            take()
        finally:
            # a helper that has not begun would find nothing left to do
            waiting = [helper for helper in helpers if not helper.cancel()]
            errors = [error for helper in waiting if (error := helper.exception()) is not None]
            job.clear()
        if errors:
            raise errors[0]


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread; the last one to leave gives back what it had."""
    if _here.busy:
        yield  # whoever spread the work holds it
        return
    state = _hold()
    try:
        yield
    finally:
        _let_go(state)


def _hold() -> _State:
    with _state.lock:
        _state.holders += 1
        if _state.holders == 1:
            if _state.blas is None:
                _state.blas = _find_blas()
            _state.before = [library.num_threads for library in _state.blas]
            _set(_state, [1] * len(_state.blas))
        return _state


def _let_go(state: _State) -> None:
    if state is not _state:
        return  # held by the parent of this process
    with state.lock:
        state.holders -= 1
        if not state.holders:
            _set(state, state.before)


def _set(state: _State, threads: list[int]) -> None:
    """Set what is not one thread before and now; to ask each time would cost more than to set."""
    for library, before, number in zip(state.blas or (), state.before, threads, strict=True):
        if before != 1:
            _uncontrolled(library)
            library.set_num_threads(number)
            _uncontrolled(library)


def _uncontrolled(library: Any) -> None:
    """Let any thread set the number: threadpoolctl since 3.7 listens to the first one only, but we count holders."""
    clear = getattr(library, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


def _find_blas() -> list[Any]:
    from threadpoolctl import ThreadpoolController  # takes 10 ms, which `import xpcnn` need not

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def _submit(context: contextvars.Context, take: Callable[[], None]) -> Any:
    with _state.lock:
        if _state.pool is None:
            from concurrent.futures import ThreadPoolExecutor  # which `import xpcnn` need not

            _state.pool = ThreadPoolExecutor(max(1, get_num_threads() - 1), thread_name_prefix="xpcnn")
        return _state.pool.submit(context.run, take)


def _default() -> int:
    text = os.environ.get("XPCNN_NUM_THREADS", "")
    if text:
        if text.isascii() and text.isdigit() and 1 <= int(text) <= MOST:
            return int(text)
        message = f"XPCNN_NUM_THREADS: expected an integer from 1 to {MOST}, got {text!r}"
        raise ConfigError(message)
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return max(1, len(usable))


def _after_fork() -> None:
    """A child has none of its parent's threads, and perhaps a lock that nobody will open."""
    global _state
    old, _state = _state, _State()
    _state.threads, _state.blas = old.threads, old.blas
    if old.holders:  # forked in the middle of work: the child is not in it
        _set(old, old.before)
    _here.busy = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
