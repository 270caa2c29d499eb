"""
One contender in a process of its own: its first steps, then the time of a step.

Takes a JSON object, prints another one in its last line.
"""

import json
import sys
import time
from typing import Any

import numpy as np

from . import ours, theirs
from .clocks import measure
from .job import Job, Refused

CHECKED = 5  # training steps whose losses are compared
SHOWN = 100  # scores of inference, which are those of the first images


def work(job: Job) -> dict[str, Any]:
    """Build the contender and measure it; ``{"refused": why}`` where it does not do such a work."""
    try:
        ready = (ours if job.contender.startswith("xpcnn") else theirs).ready(job)
    except Refused as error:
        return {"refused": str(error)}
    values = [np.asarray(ready.read(ready.step()), dtype="float64").ravel().tolist()]
    ready.clock.synchronize()
    first = time.time() - job.began
    if job.optimizer:
        values += [np.asarray(ready.read(ready.step()), dtype="float64").ravel().tolist() for _ in range(CHECKED - 1)]
    answer: dict[str, Any] = {
        "about": ready.about,
        "first_step_s": round(first, 3),
        "values": [value for one in values for value in one][:SHOWN],
    }
    if job.seconds > 0:
        answer |= measure(ready.step, ready.clock, job.seconds)
    return answer


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    print(json.dumps(work(Job(**{**told, "shape": tuple(told["shape"])}))))
