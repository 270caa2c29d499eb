"""Processes, one after the other, none longer than it may, and none that takes the rest with it when it fails."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cpu.processes import ROOT

LEAST = 5.0  # seconds: where less is left, nothing is started
LINES = 25  # that are kept of what a failed process wrote


class OutOfTime(Exception):
    """The time of the whole run is up; what was asked for is not known."""


class Budget:
    """Seconds that a run may take in all."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        """How many are left."""
        return self.end - time.monotonic()


class Done(NamedTuple):
    """How a process ended: its exit status (None: it took too long), what it wrote, and how long it took."""

    status: int | None
    out: str
    err: str
    seconds: float


def execute(command: Sequence[str], budget: Budget, limit: float, env: Mapping[str, str] | None = None) -> Done:
    """
    A process from its start to its end; when its time is up, it ends with all that it has started.

    Raises
    ------
    OutOfTime
        If there is no time to start it, or the run's time ended it, not its own limit.
    """
    left = budget.left()
    if left < LEAST:
        raise OutOfTime
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=out, stderr=err, start_new_session=True
        )
        try:
            status: int | None = process.wait(min(left, limit))
        except subprocess.TimeoutExpired:
            if left < limit:
                raise OutOfTime from None
            status = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # compilers that it has started, too
                process.wait()
        out.seek(0)
        err.seek(0)
        return Done(status, out.read(), err.read(), time.monotonic() - started)


def ask(
    module: str, job: dict[str, Any], budget: Budget, limit: float, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """
    Run a module of this package on a job; its answer, or ``{"failed": why, "log": [...]}``.

    Raises
    ------
    OutOfTime
    """
    # the time of day, since the process is to tell how long it took from here
    command = [sys.executable, "-m", f"benchmarks.gpu.{module}", json.dumps({**job, "began": time.time()})]
    done = execute(command, budget, limit, env)
    seconds = round(done.seconds, 2)
    try:
        answer = json.loads(done.out.splitlines()[-1]) if done.status == 0 else None
    except (ValueError, IndexError):
        answer = None
    if isinstance(answer, dict):
        return {**answer, "process_s": seconds}
    log = (done.err + done.out).splitlines()[-LINES:]
    how = f"took more than {limit:.0f} s" if done.status is None else f"exit status {done.status}"
    if done.status == 0:
        how = "its answer is no JSON"
    last = next((line.strip() for line in reversed(done.err.splitlines()) if line.strip()), "")
    return {"failed": f"{how}: {last}"[:300] if last else how, "log": log, "process_s": seconds}


def relative(path: Path) -> str:
    """A path for people: from the root of the repository where it lies in there."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
