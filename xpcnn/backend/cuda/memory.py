"""What happens when a GPU's memory runs out: an error that says how much, and a device that works on."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xpcnn.errors import OutOfMemory
from xpcnn.settings import readable

from . import launch

__all__ = ["free_memory", "on_device"]

CODES = ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "ALLOC_FAILED")


@contextmanager
def on_device(native: Any, samples: int | None = None) -> Iterator[None]:
    """
    Let CuPy compute on a device, and say it in its own error when the memory there runs out.

    What the failed call held is let go then, and the pool of free blocks emptied, so that a smaller batch can follow.

    Parameters
    ----------
    native : cupy.cuda.Device
    samples : int, optional
        How many are computed at once; the error then names a number that may fit.

    Raises
    ------
    OutOfMemory
    """
    with native:
        try:
            yield
        except Exception as error:
            if not _ran_out(error):
                raise  # the host's memory, or said already
            raise _failure(error, native, samples) from None


def free_memory() -> None:
    """Give back what CuPy's own pool keeps of arrays that are gone."""
    launch.cupy().get_default_memory_pool().free_all_blocks()


def _ran_out(error: Exception) -> bool:
    """Whether it is CuPy's own error, or that of a library which asked the device by itself."""
    if type(error).__module__.partition(".")[0] not in ("cupy", "cupy_backends"):
        return False
    return isinstance(error, MemoryError) or any(code in str(error) for code in CODES)


def _failure(error: Exception, native: Any, samples: int | None) -> OutOfMemory:
    cupy = launch.cupy()
    pool = cupy.get_default_memory_pool()
    size = re.search(r"allocating ([\d,]+) bytes", str(error))
    asked = int(size[1].replace(",", "")) if size else 0
    before = pool.used_bytes()
    traceback.clear_frames(error.__traceback__)  # arrays that the call had made so far
    taken = before - pool.used_bytes() + asked
    pool.free_all_blocks()
    free, total = cupy.cuda.runtime.memGetInfo()
    if limit := pool.get_limit():
        free, total = min(free, limit - pool.used_bytes()), min(total, limit)
    message = f"cuda:{native.id}: expected {readable(asked)} of memory more, got {readable(free)} free of "
    message += f"{readable(total)} once the call had let go of its own: take a smaller batch"
    found = OutOfMemory(message)
    found.asked, found.free = asked, free
    found.batch = _fitting(samples, taken, free)
    if found.batch is not None:
        found.args = (f"{message}, {found.batch} of these {samples} may fit",)
    return found


def _fitting(samples: int | None, taken: int, free: int) -> int | None:
    """A power of two that may fit; half of what the sizes say, since the call had not come to its end."""
    if samples is None or samples < 2 or taken <= 0:
        return None
    most = min(samples - 1, samples * free // (2 * taken))
    return 1 << (most.bit_length() - 1) if most > 0 else None
