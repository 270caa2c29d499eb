"""What the figures of all rounds come to: medians, ratios within a round, shares of what the machine can do."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from .contenders import GEMM
from .works import Work

# The largest relative difference: of a loss in the first training steps, of an output from the largest output.
LOSSES, OUTPUTS = 1e-3, 1e-4

Answers = dict[str, list[dict[str, Any]]]


def distance(ours: Sequence[float], theirs: Sequence[float], training: bool) -> float:
    """How far our results are from theirs, relatively: losses one by one, outputs as a whole."""
    gaps, sizes = np.abs(np.subtract(ours, theirs)), np.abs(theirs)
    return float(np.max(gaps / sizes if training else gaps / np.max(sizes)))  # unlike Python's, this maximum keeps NaN


def row(work: Work, answers: Answers, macs: int) -> dict[str, Any]:
    """
    One work: the figures of each contender, and each rival's ratio to xpcnn.

    Parameters
    ----------
    work : Work
    answers : dict of str to list
        What the processes of each contender measured, in the order of the rounds; "gemm" among them.
    macs : int
        Products for one image, forward. Training takes about three times as many: two products of the same size,
        for the gradients of weights and inputs, come to each one of forward.
    """
    flops = 2 * macs * (3 if work.optimizer else 1)
    rates = [2 * GEMM**3 / one["median_ms"] / 1e6 for one in answers["gemm"]]
    rate = statistics.median(rates)
    figures = {name: _figures(work, own, flops, rate) for name, own in answers.items() if name != "gemm"}
    pairs = []
    for rival, bar in work.bars.items():
        layouts = [name for name in figures if name.partition("-")[0] == rival]
        if layouts:  # PyTorch has two: the better one counts
            best = min(layouts, key=lambda name: figures[name]["median_ms"])
            ratios = spread([a / b for a, b in zip(times(answers[best]), times(answers["xpcnn"]), strict=True)])
            held = None if bar is None else ratios["median"] >= bar
            pair = {"rival": rival, "contender": best, "ratio": ratios["median"], "bar": bar, "holds": held}
            pairs.append(pair | {"least": ratios["least"], "most": ratios["most"]})
    return {
        "flops_per_image": flops,
        "gemm_gflops": spread(rates),
        "contenders": figures,
        "against": pairs,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and extremes."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def times(answers: list[dict[str, Any]]) -> list[float]:
    """The milliseconds of each round."""
    return [one["median_ms"] for one in answers]


def _figures(work: Work, answers: list[dict[str, Any]], flops: int, rate: float) -> dict[str, Any]:
    ms = statistics.median(times(answers))
    images = work.batch / ms * 1e3
    return {
        "about": answers[-1]["about"],
        "median_ms": ms,
        "rounds_ms": times(answers),
        "images_per_s": images,
        "gflops": images * flops / 1e9,
        "gemm_share": images * flops / 1e9 / rate,
        "peak_mib": statistics.median(one["peak_mib"] for one in answers),
        "grown_mib": statistics.median(one["grown_mib"] for one in answers),
    }
