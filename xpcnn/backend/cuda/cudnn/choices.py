"""
Which of cuDNN's ways to compute a graph is taken: the first one, or with ``XPCNN_AUTOTUNE=1`` the fastest, measured.

What was measured is kept on disk for each GPU and version of cuDNN, so that it is measured once.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpcnn.atomic import write_atomically
from xpcnn.backend.cuda import launch
from xpcnn.cache import cache_folder
from xpcnn.errors import CheckpointError, ConfigError

from .library import frontend, handle

if TYPE_CHECKING:
    from .plans import Tensor

__all__ = ["choose", "tuning"]

log = logging.getLogger("xpcnn")

ROUNDS = 5  # runs of each, of which the fastest counts


def tuning() -> bool:
    """
    Whether ``$XPCNN_AUTOTUNE`` asks for measuring.

    Raises
    ------
    ConfigError
        If it holds anything but "0" or "1".

    Examples
    --------
    >>> tuning() == (os.environ.get("XPCNN_AUTOTUNE") == "1")
    True
    """
    asked = os.environ.get("XPCNN_AUTOTUNE", "") or "0"
    if asked not in ("0", "1"):
        message = f"XPCNN_AUTOTUNE: expected '1' or nothing, got {asked!r}: '1' means to measure cuDNN's plans"
        raise ConfigError(message)
    return asked == "1"


def choose(graph: Any, key: object, tensors: Sequence[Tensor], tune: bool) -> int | None:
    """
    Build the way that is to be taken, and give its number; None for what cuDNN expects to be the fastest.

    Parameters
    ----------
    graph : cudnn.pygraph
        Checked for support, nothing built yet.
    key : object
        Whose text tells this graph from all others.
    tensors : sequence of Tensor
        Its inputs and last its output, for something to measure with.
    tune : bool
        Whether to measure where nothing is known.
    """
    policy = frontend().build_plan_policy
    if not tune:
        graph.build_plans(policy.HEURISTICS_CHOICE)
        return None
    names = [graph.get_plan_name_at_index(i) for i in range(graph.get_execution_plan_count())]
    path = _path()
    known = _read(path).get(repr(key))
    if known in names:
        with contextlib.suppress(*failures()):
            graph.build_plan_at_index(names.index(known))
            return names.index(known)
    graph.build_plans(policy.ALL)
    index = _fastest(graph, len(names), tensors)
    if index is not None:
        _write(path, repr(key), names[index])
    return index


def failures() -> tuple[type[Exception], ...]:
    """What a plan that cannot be had raises, or one that there is no memory for."""
    return frontend().cudnnGraphNotSupportedError, RuntimeError, MemoryError


def _fastest(graph: Any, count: int, tensors: Sequence[Tensor]) -> int | None:
    """The number of the fastest one; None if none of them runs."""
    cuda = launch.cupy().cuda
    best, least = None, float("inf")
    try:
        arrays = [launch.empty((t.extent,), t.dtype) for t in tensors]
    except MemoryError as error:
        log.info("cuda: no memory to measure plans with: %s", error)
        return None
    pointers = {i: launch.address(a) for i, a in enumerate(arrays, start=1)}
    for index in range(count):
        try:
            room = launch.empty((max(graph.get_workspace_size_plan_at_index(index), 1),), "uint8")
            start, stop = cuda.Event(), cuda.Event()
            for i in range(1 + ROUNDS):  # the first one loads the kernels
                start.record()
                graph.execute_plan_at_index(pointers, launch.address(room), index, handle=handle())
                stop.record()
                stop.synchronize()
                taken = cuda.get_elapsed_time(start, stop)
                if i and taken < least:
                    best, least = index, taken
        except failures() as error:  # left out above, or it does not run here
            log.debug("cuda: plan %d does not run: %s", index, error)
    return best


@functools.cache
def _gpu(device: int) -> str:
    name = launch.cupy().cuda.runtime.getDeviceProperties(device)["name"]
    return re.sub(r"\W+", "-", name.decode())


def _path() -> Path | None:
    """The file for this GPU and this cuDNN; None where there is no cache."""
    folder = cache_folder()
    if folder is None:
        return None
    device = launch.cupy().cuda.runtime.getDevice()
    return folder / "cudnn" / f"{_gpu(device)}-{frontend().backend_version()}.json"


def _read(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("cuda: %s is not read (%s), and measured anew", path, error)
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path | None, key: str, name: str) -> None:
    """Add one to the file, which is replaced as a whole; another process may be at it, too."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**_read(path), key: name}, indent=0)
        write_atomically(path, [text.encode()])
    except (OSError, CheckpointError) as error:
        log.info("cuda: measured plans are not kept: %s", error)
