"""Ctrl-C and SIGTERM, put off until a step is over."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Interrupts"]

log = logging.getLogger("xpcnn")

# what Python does by itself; other handlers are somebody's own
PLAIN = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Interrupts:
    """
    Notes SIGINT and SIGTERM inside of a ``with``, for somebody who asks between two steps.

    The second signal is not put off: it does what it did before. Nothing changes in other threads than the main one, to
    which Python gives all signals, and for a signal that somebody else handles.

    Inside of another one it shares what that one notes.

    Examples
    --------
    >>> with Interrupts() as interrupts:
    ...     interrupts.number is None
    True
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._outer: Interrupts | None = None
        self._before: dict[int, Any] = {}

    @property
    def number(self) -> int | None:
        """Of the signal that came."""
        return self._number if self._outer is None else self._outer.number

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number, plain in PLAIN.items():
                handler = signal.getsignal(number)
                owner = getattr(handler, "__self__", None)
                if isinstance(owner, Interrupts):
                    self._outer = owner
                elif handler is plain:
                    self._before[number] = plain
                    signal.signal(number, self._came)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
        if self._outer is not None or self._number is None or (kind and not issubclass(kind, Exception)):
            return
        if error is not None:  # whoever catches it would never hear of the signal
            log.error("a signal ends what had failed already: %s", error, exc_info=error)
        self.end()  # it came when nobody asked any more

    def end(self) -> None:
        """
        Raise what stands for the signal, if one came.

        Raises
        ------
        KeyboardInterrupt
            For SIGINT.
        SystemExit
            For SIGTERM, with the exit code 143.
        """
        number = self.number
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if number is not None:
            raise SystemExit(128 + number)

    def _came(self, number: int, frame: FrameType | None) -> None:
        self._number = number
        self._give_back()

    def _give_back(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
