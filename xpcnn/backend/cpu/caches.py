"""The size of the processor's caches, which decides how much is worked on at a time."""

import functools
from pathlib import Path

__all__ = ["level2"]

USUAL = 1 << 20


@functools.cache
def level2() -> int:
    """Bytes of a core's own cache (level 2); a megabyte where the system does not say."""
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            if (index / "level").read_text().strip() == "2":
                text = (index / "size").read_text().strip()
                return int(text.rstrip("KM")) << {"K": 10, "M": 20}.get(text[-1], 0)
        except (OSError, ValueError):
            continue
    return USUAL
