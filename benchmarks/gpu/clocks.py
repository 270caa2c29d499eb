"""Stopwatches: events of the device where there is one, and the time that the caller sees."""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

LEAST = 20  # steps that are timed at least
BLOCKS = 10  # of steps; the time of a step is the median of theirs
APART = 0.9  # events that saw less than this share of the time were not on the stream that computed


class Lap(NamedTuple):
    """Milliseconds of some steps: by events of the device (None: it has none), and on the wall."""

    events: float | None
    wall: float


class Clock:
    """
    The wall's time, between two moments at which the device has nothing to do.

    Parameters
    ----------
    synchronize : callable
        Waits for the device.
    event : callable, optional
        Makes an event, whose ``record()`` puts it behind all that was started on the current stream.
    elapsed : callable, optional
        Milliseconds from one event to another.
    """

    def __init__(
        self,
        synchronize: Callable[[], Any] = lambda: None,
        event: Callable[[], Any] | None = None,
        elapsed: Callable[[Any, Any], float] | None = None,
    ) -> None:
        self.synchronize, self._event, self._elapsed = synchronize, event, elapsed

    def lap(self, step: Callable[[], Any], steps: int) -> Lap:
        """The time of so many steps."""
        self.synchronize()
        events = [self._event(), self._event()] if self._event else []
        started = time.perf_counter()
        if events:
            events[0].record()
        for _ in range(steps):
            step()
        if events:
            events[1].record()
        self.synchronize()
        wall = (time.perf_counter() - started) * 1e3
        return Lap(self._elapsed(*events) if events and self._elapsed else None, wall)


def cupy_clock(cupy: Any) -> Clock:
    """Of CuPy's current device."""

    def synchronize() -> None:
        cupy.cuda.runtime.deviceSynchronize()

    return Clock(synchronize, cupy.cuda.Event, cupy.cuda.get_elapsed_time)


def torch_clock(torch: Any) -> Clock:
    """Of PyTorch's current device."""
    return Clock(
        torch.cuda.synchronize, lambda: torch.cuda.Event(enable_timing=True), lambda a, b: a.elapsed_time(b)
    )


def measure(step: Callable[[], Any], clock: Clock, seconds: float) -> dict[str, Any]:
    """
    Milliseconds of a step, once it is warm.

    Returns
    -------
    figures : dict
        ``ms``: the median over the blocks; ``blocks_ms``; ``steps`` in all; ``clock``: "events", or "wall" where there
        are no events or they missed what was computed, on another stream.
    """
    clock.lap(step, 3)
    lap = clock.lap(step, 2)
    each = max(lap.wall / 2, 1e-3)
    clock.lap(step, math.ceil(seconds * 1e3 / 4 / each))
    steps = max(math.ceil(LEAST / BLOCKS), math.ceil(seconds * 1e3 / BLOCKS / each))
    laps = [clock.lap(step, steps) for _ in range(BLOCKS)]
    events = [lap.events for lap in laps if lap.events is not None]
    by_events = len(events) == len(laps) and sum(events) >= APART * sum(lap.wall for lap in laps)
    times = sorted(events if by_events else [lap.wall for lap in laps])
    middle = (times[(len(times) - 1) // 2] + times[len(times) // 2]) / 2
    return {
        "ms": middle / steps,
        "blocks_ms": [round(t / steps, 6) for t in times],
        "steps": steps * BLOCKS,
        "clock": "events" if by_events else "wall",
    }
