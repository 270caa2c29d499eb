"""The sizes of the processor's caches, which decide how much is worked on at a time."""

import functools
import os
from pathlib import Path

__all__ = ["level2", "working_set"]

USUAL = 1 << 20


@functools.cache
def level2() -> int:
    """Bytes of a core's own cache (level 2); a megabyte where the system does not say."""
    return _size(2) or USUAL


@functools.cache
def working_set() -> int:
    """
    Bytes that a thread works on at a time.

    The larger the pieces, the fewer times a thread has to wait for Python's lock, which the other threads hold between
    two operations: some 20 to 50 microseconds, as long as a small operation takes. The smaller, the nearer they stay.
    Four times level 2 is the best of both, where a core's share of level 3 holds as much, which is nearly as fast.
    """
    share = _size(3) // (2 * (os.cpu_count() or 1))
    return min(max(share, level2()), 4 * level2())


def _size(level: int) -> int:
    """Bytes of a cache; 0 where the system does not say."""
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            if int((index / "level").read_text()) == level:
                text = (index / "size").read_text().strip()
                return int(text.rstrip("KM")) << {"K": 10, "M": 20}.get(text[-1], 0)
        except (OSError, ValueError):
            continue
    return 0
