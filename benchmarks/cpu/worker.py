"""
One contender in a process of its own: the median time of a step, or what its first steps return.

Takes a JSON object, prints another one.
"""

import importlib
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .contenders import CONTENDERS, Job, batches
from .memory import peak, resident

WARM_UP = 3  # steps at least, and a quarter of the time that is measured then
CHECKED = 5  # training steps whose losses are compared
# An always equal batch is learned by heart. Before gradients get so small that they are denormal numbers, which slow
# everybody down, it ends.
MOST = 400


def work(job: Job, model: str, steps: int, seconds: float) -> dict[str, Any]:
    """Build the contender and measure it."""
    module, make = CONTENDERS[job.contender]
    importlib.import_module(module)
    pairs = batches(job)
    base = resident()
    step, about = make(job, model)
    if job.same_sums:
        shown = pairs * CHECKED
        values = [np.asarray(step(*pair), dtype="float64") for pair in shown[: CHECKED if job.optimizer else 1]]
        return {"values": np.concatenate([v.ravel() for v in values]).tolist()}
    turns = itertools.cycle(pairs)
    times = timed(lambda: step(*next(turns)), steps, seconds, MOST if job.optimizer else None)
    top = peak()
    return {
        "median_ms": statistics.median(times) * 1e3,
        "steps": len(times),
        "peak_mib": top,
        "grown_mib": top - base,
        "about": about,
    }


def timed(step: Callable[[], Any], steps: int, seconds: float, most: int | None = None) -> list[float]:
    """Seconds of each step, once they are warm: of so many at least, for so long at least, of `most` at most."""
    _run(step, WARM_UP, seconds / 4, most)
    return _run(step, steps, seconds, most)


def _run(step: Callable[[], Any], steps: int, seconds: float, most: int | None) -> list[float]:
    times: list[float] = []
    total = 0.0
    while len(times) < steps or (total < seconds and (most is None or len(times) < most)):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
        total += times[-1]
    return times


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    rest = {key: told.pop(key) for key in ("model", "steps", "seconds")}
    print(json.dumps(work(Job(**told | {"folder": Path(told["folder"])}), **rest)))
