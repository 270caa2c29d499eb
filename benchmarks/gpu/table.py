"""Each work by each contender, in rounds, and what their times come to."""

import statistics
from typing import Any

import numpy as np

from benchmarks.cpu.compare import distance, spread
from benchmarks.cpu.processes import say

from .floor import floor
from .processes import OutOfTime
from .run import Prepared, Run, brief
from .works import Work

# The largest relative difference from ours: of a loss in the first steps, of scores from the largest score.
ALLOWED = {"float32": 1e-3, "bfloat16": 3e-2}
SMALL = 0.1  # of the first loss: what differs in a smaller one counts as in one of this size


def table(run: Run) -> None:
    """
    Measure what is not there yet: all works in the first round, then all in the second, ...

    In a round the contenders of a work follow one another, and take turns at being first. One that failed once is not
    asked again.
    """
    with run.prepared() as prepared:
        for i in range(run.rounds):
            for work in run.works:
                _round(run, prepared, work, i)
    run.unreached += [f"table: {line}" for work in run.works if (line := _missing(run, work))]


def _round(run: Run, prepared: Prepared, work: Work, i: int) -> None:
    names = run.contenders
    first = i % max(len(names), 1)
    for name in names[first:] + names[:first]:
        runs = run.store.get("table", work.name, "runs", name) or []
        if len(runs) > i or (runs and "ms" not in runs[-1]):
            continue
        if runs and runs[-1]["process_s"] > run.budget.left():
            continue  # it would not end in time
        try:
            _one(run, prepared, work, name, runs)
        except OutOfTime:
            return


def _one(run: Run, prepared: Prepared, work: Work, name: str, runs: list[dict[str, Any]]) -> None:
    folder, found = prepared.get(work.model, work.options, work.shape)
    if "failed" in found:
        run.store.put("table", work.name, "runs", name, value=[found])
        return
    if run.store.get("table", work.name, "counts") is None:
        run.store.put("table", work.name, "work", value=work.told())
        run.store.put("table", work.name, "counts", value=found["counts"])
    answer = run.ask("worker", run.job(work, name, folder))
    values = answer.pop("values", None)
    run.store.put("table", work.name, "runs", name, value=[*runs, answer])
    say(f"table: {work.name}: round {len(runs) + 1}/{run.rounds}: {name}: {brief(answer)}")
    if values is None or run.store.get("table", work.name, "values", name) is not None:
        return
    if found["random"] and work.optimizer:
        # losses are compared without dropout, in a process of its own
        values = run.ask("worker", run.job(work, name, folder, same_sums=True, seconds=0.0)).get("values")
    if values is not None:
        run.store.put("table", work.name, "values", name, value=values)


def _missing(run: Run, work: Work) -> str:
    """Who has not been measured as often as was asked for."""
    short = []
    for name in run.contenders:
        runs = run.store.get("table", work.name, "runs", name) or []
        if len(runs) < run.rounds and not (runs and "ms" not in runs[-1]):
            short.append(f"{name} {len(runs)} of {run.rounds}")
    return f"{work.name}: {', '.join(short)}" if short else ""


def figures(row: dict[str, Any], ceilings: dict[str, Any], tf32: bool) -> dict[str, Any]:
    """
    What the rounds of a work come to.

    Parameters
    ----------
    row : dict
        ``work``, ``counts``, ``runs`` and ``values``, as the file has them.
    ceilings : dict
        See `floor.floor`.

    Returns
    -------
    figures : dict
        ``contenders``: for each ``ms``, ``images_per_s`` and ``first_step_s``, or ``refused`` or ``failed``, and
        ``differs`` with ``agrees``; ``ours`` and ``best``: the fastest of each side; ``ratio``: median and extremes of
        the rounds that both have; ``met``; ``floor``; ``gap``: our time over it.
    """
    work, values = row["work"], row.get("values", {})
    found: dict[str, Any] = {}
    for name, runs in row["runs"].items():
        times = [one["ms"] for one in runs if "ms" in one]
        if not times:
            found[name] = {key: runs[-1][key] for key in ("refused", "failed") if key in runs[-1]}
            continue
        ms = statistics.median(times)
        found[name] = {"ms": ms, "rounds": len(times), "images_per_s": work["batch"] / ms * 1e3}
        found[name]["first_step_s"] = statistics.median(one["first_step_s"] for one in runs if "ms" in one)
        found[name]["clock"] = runs[0]["clock"]
    reference = values.get("xpcnn", values.get("torch-eager"))
    for name, own in values.items():
        if name in found and reference is not None:
            apart = differs(own, reference, work["optimizer"] is not None)
            found[name] |= {"differs": apart, "agrees": apart <= ALLOWED[work["dtype"]]}
    result: dict[str, Any] = {"contenders": found, "ours": _fastest(found, "xpcnn"), "best": _fastest(found, "torch")}
    result |= {"ratio": None, "met": None, "floor": floor(work, row["counts"], ceilings, tf32), "gap": None}
    if result["ours"] and result["best"]:
        pairs = zip(row["runs"][result["best"]], row["runs"][result["ours"]], strict=False)
        result["ratio"] = spread([theirs["ms"] / own["ms"] for theirs, own in pairs if "ms" in theirs and "ms" in own])
        result["met"] = result["ratio"]["median"] >= work["goal"]
    if result["ours"] and result["floor"]["floor"]:
        result["gap"] = found[result["ours"]]["ms"] / result["floor"]["floor"]
    return result


def differs(theirs: list[float], ours: list[float], training: bool) -> float:
    """The largest relative difference, of losses each by itself."""
    if not training:
        return distance(theirs, ours, training=False)
    gaps, sizes = np.abs(np.subtract(theirs, ours)), np.abs(ours)
    return float(np.max(gaps / np.maximum(sizes, SMALL * sizes[0])))  # NaN stays NaN


def _fastest(found: dict[str, Any], side: str) -> str | None:
    """Who of a side takes the least time, among those whose sums are right."""
    able = [n for n, one in found.items() if n.startswith(side) and "ms" in one and one.get("agrees", True)]
    return min(able, key=lambda name: found[name]["ms"], default=None)
