"""Each work in every library: first that all compute the same, then how long they take."""

import importlib.util
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from benchmarks import deepnet_net

from . import compare
from .processes import Answer, WorkerFailed, in_turns, prepared, run, say
from .works import Work

NEEDS = {"torch": ["torch"], "onnxruntime": ["onnxruntime", "torch", "onnx"]}  # PyTorch writes the graphs
LAYOUTS = {"torch": ("torch", "torch-channels_last")}
GEMM_SECONDS = 0.3  # the product is looked at in each round, so not for long


def present(rivals: set[str]) -> set[str]:
    """Those who can take part; says why the others cannot."""
    there = set()
    for rival in sorted(rivals):
        missing = [name for name in NEEDS.get(rival, ()) if not importlib.util.find_spec(name)]
        reason = f"not installed: {', '.join(missing)}" if missing else None
        if rival == "deepnet":
            reason = deepnet_net.absent()
        if reason:
            say(f"left out: {rival}: {reason}")
        else:
            there.add(rival)
    return there


def contenders(work: Work, rivals: set[str]) -> list[str]:
    """Who computes a work: xpcnn, and the chosen of those that it is compared with."""
    return ["xpcnn", *(layout for name in work.bars if name in rivals for layout in LAYOUTS.get(name, (name,)))]


def check(work: Work, names: list[str], threads: int) -> dict[str, float]:
    """How far the results of the others are from xpcnn's; an error where that is too far."""
    if len(names) == 1:
        return {}
    options = {"steps": 0, "seconds": 0.0, "same_sums": True}
    with prepared(work, "onnxruntime" in names, threads) as (job, _):
        values = {name: run(name, job, threads, **options)["values"] for name in names}
    found = {}
    for name in names[1:]:
        found[name] = compare.distance(values["xpcnn"], values[name], training=work.optimizer is not None)
        allowed = compare.LOSSES if work.optimizer else compare.OUTPUTS
        say(f"{work.name}: {name} differs from xpcnn by {found[name]:.1e} (allowed: {allowed:.0e})")
        if not found[name] <= allowed:
            shown = [[float(f"{v:.7g}") for v in values[one][:5]] for one in ("xpcnn", name)]
            message = (
                f"{work.name}: xpcnn and {name} do not compute the same: they differ by {found[name]:.1e}, "
                f"more than {allowed:.0e}: {shown[0]} and {shown[1]}"
            )
            raise WorkerFailed(message)
    return found


def row(work: Work, names: list[str], threads: int, rounds: int, timing: dict[str, Any]) -> dict[str, Any]:
    """Measure one work; see `compare.row`."""
    with prepared(work, "onnxruntime" in names, threads) as (job, macs):

        def measure(name: str) -> Callable[[], Answer]:
            short = {"seconds": min(GEMM_SECONDS, timing["seconds"])} if name == "gemm" else {}
            return lambda: run(name, job, threads, **timing | short)

        answers = in_turns(rounds, {name: measure(name) for name in [*names, "gemm"]}, work.name)
    return {"work": work.name} | asdict(work) | compare.row(work, answers, macs)


def table(works: list[Work], against: set[str], threads: int, rounds: int, timing: dict[str, Any]) -> dict[str, Any]:
    """All works: the checks come first, since the times take long."""
    rivals = present({name for work in works for name in work.bars} & against)
    who = {work.name: contenders(work, rivals) for work in works}
    checks = {work.name: check(work, who[work.name], threads) for work in works}
    rows = []
    for work in works:
        rows.append(row(work, who[work.name], threads, rounds, timing) | {"differs": checks[work.name]})
        for pair in rows[-1]["against"]:
            say(f"{work.name}: {pair['contender']} takes {pair['ratio']:.2f} times as long as xpcnn")
    tolerance = {"losses": compare.LOSSES, "outputs": compare.OUTPUTS}
    return {"rounds": rounds, **timing, "tolerance": tolerance, "rows": rows}
