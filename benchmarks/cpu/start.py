"""How long ``python -c`` takes until torch_mnist has seen its first image, and what part of that is importing."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from .compare import spread, times
from .processes import LIBRARIES, ROOT, Answer, WorkerFailed, in_turns

BAR = 300.0  # milliseconds
FIRST = """
import numpy, xpcnn
xpcnn.models.torch_mnist()(numpy.zeros((1, 1, 28, 28), "float32"))
"""
PROGRAMS = {
    "python alone": "pass",
    "import numpy": "import numpy",
    "import xpcnn": "import xpcnn",
    "torch_mnist's first image": FIRST,
}


def start(threads: int, rounds: int, bars: bool) -> dict[str, Any]:
    """Milliseconds of the whole process, for each program."""
    calls: dict[str, Callable[[], Answer]]
    with installed(threads) as env:
        calls = {name: partial(measure, name, env) for name in PROGRAMS}
        calls["torch_mnist's first image"]()  # so that every module is compiled and in the page cache
        rows = {name: spread(times(own)) for name, own in in_turns(rounds, calls, "start").items()}
    bar = BAR if bars else None
    holds = None if bar is None else rows["torch_mnist's first image"]["median"] <= bar
    return {"rounds": rounds, "rows": rows, "bar_ms": bar, "holds": holds}


@contextmanager
def installed(threads: int) -> Iterator[dict[str, str]]:
    """
    The variables of a process that starts as with an installed package, whose modules are compiled once.

    In a folder of their own: where the modules themselves lie, the user may not be allowed to write.
    """
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {f"{library}_NUM_THREADS": str(threads) for library in LIBRARIES}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        yield env | {"PYTHONPYCACHEPREFIX": folder}


def measure(name: str, env: dict[str, str]) -> Answer:
    """One process, from its start to its end."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PROGRAMS[name]], cwd=ROOT, env=env, capture_output=True, text=True)
    ms = (time.perf_counter() - begin) * 1e3
    if done.returncode:
        message = f"{done.stderr}\npython -c failed ({name}, exit status {done.returncode}); its words are above"
        raise WorkerFailed(message)
    return {"median_ms": ms}
