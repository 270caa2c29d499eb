"""xpcnn alone: what more threads bring, and whether the cost grows with the batch and not faster."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from .compare import spread, times
from .processes import in_turns, prepared, run
from .works import Work

FACTORS = (1, 2, 4)  # of the batch
BAR = 1.8  # of two threads


def scaling(works: list[Work], threads: int, rounds: int, timing: dict[str, Any], bars: bool) -> dict[str, Any]:
    """Each work of more than one image: with one thread and with all, in batches of 1, 2 and 4 times the size."""
    bar = BAR if bars and threads == 2 else None
    rows = [_row(work, threads, rounds, timing, bar) for work in works if work.batch > 1]
    return {"rounds": rounds, **timing, "threads": threads, "rows": rows}


def _row(work: Work, threads: int, rounds: int, timing: dict[str, Any], bar: float | None) -> dict[str, Any]:
    with ExitStack() as folders:
        calls = {}
        for factor in FACTORS:
            larger = replace(work, batch=factor * work.batch)
            job, _ = folders.enter_context(prepared(larger, False, threads))
            calls[f"batch x{factor}"] = partial(run, "xpcnn", job, threads, **timing)
            if factor == 1:
                calls["1 thread"] = partial(run, "xpcnn", job, 1, **timing)
        ms = {name: times(own) for name, own in in_turns(rounds, calls, f"scaling of {work.name}").items()}
    plain = ms["batch x1"]
    speed_up = spread([a / b for a, b in zip(ms["1 thread"], plain, strict=True)])
    return {
        "work": work.name,
        "batch": work.batch,
        "rounds_ms": ms,
        "speed_up": speed_up,
        "bar": bar,
        "holds": None if bar is None else speed_up["median"] >= bar,
        "cost_per_image": {
            f"x{factor}": spread([a / factor / b for a, b in zip(ms[f"batch x{factor}"], plain, strict=True)])
            for factor in FACTORS[1:]
        },
    }
