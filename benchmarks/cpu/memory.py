"""Resident memory of this process in MiB: now, and at most so far."""

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def resident() -> float:
    """What is resident now; the peak where the system does not tell."""
    return _status("VmRSS") or peak()


def peak() -> float:
    """
    The most that was resident.

    On Linux not from ``getrusage``: its ``ru_maxrss`` counts what the parent held when it started this process.
    """
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _status(field: str) -> float | None:
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
    return None
