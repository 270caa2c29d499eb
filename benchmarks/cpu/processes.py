"""Processes, one after the other: each measures one contender, and they take turns at being the first of a round."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .works import Work

ROOT = Path(__file__).parents[2]
Answer = dict[str, Any]  # of a process; "median_ms" is in it
LIBRARIES = ("XPCNN", "OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")


class WorkerFailed(RuntimeError):
    """A process failed; what it wrote stands before the line that says which one."""


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ask(module: str, job: dict[str, Any], threads: int) -> dict[str, Any]:
    """Run a module of this package on a job, with so many threads for every library; its answer."""
    env = os.environ | {f"{library}_NUM_THREADS": str(threads) for library in LIBRARIES}
    if env.get("DEEPNET_DIR"):
        env["DEEPNET_DIR"] = str(Path(env["DEEPNET_DIR"]).resolve())
    command = [sys.executable, "-m", f"benchmarks.cpu.{module}", json.dumps(job)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    try:
        if done.returncode:
            raise ValueError(done.returncode)
        return json.loads(done.stdout)
    except ValueError:
        who = job.get("contender", "preparing")
        how = f"exit status {done.returncode}" if done.returncode else "its answer is no JSON"
        message = f"{done.stderr}{done.stdout}\n{who} failed on {job['model']} ({how}); what it wrote is above"
        raise WorkerFailed(message.lstrip()) from None


@contextmanager
def prepared(work: Work, onnx: bool, threads: int) -> Iterator[tuple[dict[str, Any], int]]:
    """What the job of each contender has in common, and the network's products for an image."""
    with tempfile.TemporaryDirectory() as folder:
        job = {"folder": folder, "model": work.model, "shape": work.shape, "batch": work.batch, "onnx": onnx}
        macs = ask("prepare", job, threads)["macs"]
        yield {"folder": folder, "model": work.model, "optimizer": work.optimizer}, macs


def run(contender: str, job: dict[str, Any], threads: int, **options: Any) -> dict[str, Any]:
    """One contender at a prepared job, in a process of its own; see `worker`."""
    return ask("worker", {**job, **options, "contender": contender, "threads": threads}, threads)


def in_turns(rounds: int, measure: Mapping[str, Callable[[], Answer]], about: str) -> dict[str, list[Answer]]:
    """Call everything once in a round, each time starting with the next one; what they answered, by rounds."""
    answers: dict[str, list[Answer]] = {name: [] for name in measure}
    names = list(measure)
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            answers[name].append(measure[name]())
            say(f"{about}: round {i + 1}/{rounds}: {name}: {answers[name][-1]['median_ms']:.2f} ms")
    return answers
