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
import weakref
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
        self.holders: weakref.WeakSet[_Holder] = weakref.WeakSet()  # who asked BLAS for one thread
        self.held = False  # whether it has one; still, where the last holder was kept from letting go
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
    exception, an interrupt too, ends the handing out of parts and is raised here, once all threads are done.
    """
    threads = 1 if _here.busy else min(get_num_threads(), parts)
    if threads == 1:
        with single_threaded_blas():
            for i in range(parts):
                work(i)
        return
    with single_threaded_blas():
        _Job(work, parts).run(threads - 1)


class _Job:
    """Parts that are handed out: each to the thread that asks first."""

    def __init__(self, work: Callable[[int], Any], parts: int) -> None:
        self.work: Callable[[int], Any] | None = work
        self.parts = parts
        self.error: BaseException | None = None  # the first one of a helper
        self._tickets = itertools.count()  # next() on it is atomic
        self._changed = threading.Condition()
        self._helping, self.over = 0, False

    def run(self, helpers: int) -> None:
        """Do all parts, with so many helpers; on no way out is one of them still at work."""
        try:
            for _ in range(helpers):
                if not _submit(contextvars.copy_context(), self.help):
                    break
            self.take()
        finally:
            # not in a function of its own: an interrupt could come at its beginning
            interrupt = None
            while not self.over:
                try:
                    self.end()
                except BaseException as error:
                    interrupt = interrupt or error
            if interrupt is not None:
                raise interrupt
        if self.error is not None:
            raise self.error

    def take(self) -> None:
        """Do parts until there are none left."""
        _here.busy, work = True, self.work
        try:
            while work is not None and (i := next(self._tickets)) < self.parts:
                work(i)
        except BaseException:
            self._stop()
            raise
        finally:
            _here.busy = False

    def help(self) -> None:
        """What a helper does; if it comes too late, nothing."""
        with self._changed:
            self._helping += 1
        try:
            self.take()
        except BaseException as error:  # raised by the caller
            with self._changed:
                self.error = error if self.error is None else self.error
        finally:
            with self._changed:
                self._helping -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """Hand out no more, and wait for the helpers that have begun; to be called again if it is interrupted."""
        self._stop()
        with self._changed:
            while self._helping:
                self._changed.wait()
        self.work = None  # a helper may hold the job a moment longer, and with it arrays that are gone
        self.over = True

    def _stop(self) -> None:
        self._tickets = itertools.count(self.parts)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread; the last one to leave gives back what it had."""
    if _here.busy:
        yield  # whoever spread the work holds it
        return
    holder = _Holder()
    try:
        _hold(holder)
        yield
    finally:
        try:
            _let_go(holder)
        except BaseException:  # an interrupt
            _let_go(holder)
            raise


class _Holder:
    """Stands for one that holds BLAS: if interrupts keep it from letting go, it is gone with the call all the same."""


def _hold(holder: _Holder) -> None:
    with _state.lock:
        if not _state.holders:
            if not _state.held:
                libraries = _find_blas() if _state.blas is None else _state.blas
                _state.blas, _state.before = libraries, [library.num_threads for library in libraries]
                _state.held = True
            _set(_state, [1] * len(_state.before))
        _state.holders.add(holder)


def _let_go(holder: _Holder) -> None:
    state = _state  # in a child of fork a new one, which knows nothing of its parent's holders
    with state.lock:
        state.holders.discard(holder)
        if state.held and not state.holders:
            _set(state, state.before)
            state.held = False


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


def _submit(context: contextvars.Context, task: Callable[[], None]) -> bool:
    """Ask a helper; False where none can be had, and then the caller does the work."""
    try:
        with _state.lock:
            if _state.pool is None:
                from concurrent.futures import ThreadPoolExecutor  # which `import xpcnn` need not

                _state.pool = ThreadPoolExecutor(max(1, get_num_threads() - 1), thread_name_prefix="xpcnn")
            _state.pool.submit(context.run, task)
        return True
    except RuntimeError:  # the system gives no more threads, or the main thread is over
        _abandon_pool()
        return False
    except BaseException:  # an interrupt, perhaps while a thread began, of which the pool then knows nothing
        _abandon_pool()
        raise


def _abandon_pool() -> None:
    """Let the pool's threads end, those too that it does not know: else they would keep the process from ending."""
    with _state.lock:
        pool, _state.pool = _state.pool, None
    if pool is not None:
        pool.shutdown(wait=False, cancel_futures=True)  # the task is in its queue, which perhaps nobody empties


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
    if old.held:  # forked in the middle of work: the child is not in it
        _set(old, old.before)
    _here.busy = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
