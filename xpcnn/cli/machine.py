"""What there is on this machine: packages, processor, folders and variables, as plain data."""

import importlib
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import xpcnn
from xpcnn.backend import cpu, cuda, generic_only, resolve
from xpcnn.cache import cache_folder
from xpcnn.data.files import SYSTEM
from xpcnn.errors import ConfigError, DeviceUnavailable

__all__ = ["folders", "gpu", "left_out", "packages", "processor", "program", "variables", "wrong_variables"]

NEEDED = ("numpy", "array-api-compat", "safetensors", "threadpoolctl", "tqdm", "pooch")
# what only GPUs need, and the names under which it is published
OPTIONAL = {
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "cudnn": ("nvidia-cudnn-cu13", "nvidia-cudnn-cu12"),
    "cudnn-frontend": ("nvidia-cudnn-frontend",),
    "ml_dtypes": ("ml_dtypes",),
}

VARIABLES = {
    "XPCNN_DATA_DIR": "folder with data sets",
    "XPCNN_OFFLINE": "1: never download",
    "XPCNN_KERNELS": "generic: no accelerated kernels",
    "XPCNN_NUM_THREADS": "threads on the CPU",
    "XDG_CACHE_HOME": "cache, instead of ~/.cache",
    "OMP_NUM_THREADS": "threads of the BLAS",
    "OPENBLAS_NUM_THREADS": "threads of OpenBLAS",
    "MKL_NUM_THREADS": "threads of MKL",
    "CUDA_VISIBLE_DEVICES": "GPUs that may be used",
    "CUDA_PATH": "CUDA toolkit",
    "CUPY_CACHE_DIR": "compiled kernels",
    "XPCNN_AUTOTUNE": "1: measure which plans of cuDNN are fast",
}


def program() -> dict[str, Any]:
    """Versions of xpcnn, Python and system."""
    return {
        "xpcnn": xpcnn.__version__,
        "folder": str(Path(xpcnn.__file__).parent),
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
    }


def packages() -> dict[str, dict[str, Any]]:
    """Version of each package that is needed, or why it does not import; and of those that only GPUs need."""
    needed = {name: _package(name) for name in NEEDED}
    return {**needed, **{name: _optional(published) for name, published in OPTIONAL.items()}}


def _package(name: str) -> dict[str, Any]:
    try:
        importlib.import_module(name.replace("-", "_"))
        return {"version": version(name), "ok": True}
    except PackageNotFoundError:  # it imports, but was not installed by a package manager
        return {"version": "unknown", "ok": True}
    except Exception as error:  # a broken package may raise anything
        return {"version": None, "ok": False, "text": f"{type(error).__name__}: {error}: pip install {name}"}


def _optional(published: tuple[str, ...]) -> dict[str, Any]:
    """Not imported here: that takes a second, and `gpu` does it."""
    for name in published:
        try:
            return {"version": f"{version(name)} ({name})", "ok": True}
        except PackageNotFoundError:
            continue
    use = "bfloat16" if "ml_dtypes" in published else "GPUs"
    return {"version": None, "ok": True, "text": f"not installed; only for {use}"}


def processor() -> dict[str, Any]:
    """Cores that this process may use, threads, caches, kernels, and the BLAS below them."""
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    try:
        from threadpoolctl import threadpool_info

        blas = [
            {
                "library": pool["internal_api"],
                "version": pool.get("version"),
                "threads": pool["num_threads"],
                "architecture": pool.get("architecture"),
                "file": pool["filepath"],
            }
            for pool in threadpool_info()
            if pool["user_api"] == "blas"
        ]
    except Exception:  # packages() says what is wrong with threadpoolctl
        blas = []
    return {
        "cores": cores,
        "usable": usable,
        "quota": _quota(),
        "threads": xpcnn.get_num_threads(),
        "threads_from": _threads_from(usable),
        "level2": cpu.level2(),
        "kernels": "generic" if generic_only() else "accelerated",
        "blas": blas,
    }


def _threads_from(usable: int) -> str:
    """Who has said how many threads there are."""
    asked, number = os.environ.get("XPCNN_NUM_THREADS"), xpcnn.get_num_threads()
    if asked:
        return "$XPCNN_NUM_THREADS" if asked.isdigit() and int(asked) == number else "set_num_threads"
    return "usable cores" if usable == number else "set_num_threads"


def _quota() -> float | None:
    """Cores' worth of time that the container gets (control groups, version 2); None: no limit is known."""
    try:
        share, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if share == "max" else int(share) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def gpu() -> tuple[dict[str, Any], Any]:
    """What is known of the first GPU, and its device; or why it cannot be used, and None."""
    try:
        device = resolve("cuda")
    except DeviceUnavailable as error:
        return {"ok": False, "text": str(error)}, None
    facts: dict[str, Any] = {"ok": True, "text": device.name}
    try:  # a bare device says nothing of itself in words: these are extras
        name = device.xp.cuda.runtime.getDeviceProperties(device.native.id)["name"].decode()
        free, total = device.native.mem_info
        facts["text"] = f"{device.name}: {name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        runtime = device.xp.cuda.runtime
        facts["driver"] = f"for CUDA {_cuda_version(runtime.driverGetVersion())}"
        facts["runtime"] = f"CUDA {_cuda_version(runtime.runtimeGetVersion())}"
        found = cuda.cudnn.versions()
        facts["cudnn"] = ", frontend ".join(reversed(found.values())) or "not used: see above"
    except Exception as error:
        facts["text"] += f" (nothing more is known: {error})"
    return facts, device


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def folders() -> dict[str, dict[str, Any]]:
    """The folders where data sets are looked for, and what may be done there."""
    found: dict[str, dict[str, Any]] = {}
    data = os.environ.get("XPCNN_DATA_DIR")
    if data:
        found["data ($XPCNN_DATA_DIR)"] = _folder(Path(data))
    cache = cache_folder()
    if cache is None:
        found["cache"] = {"path": None, "text": "no home folder: set XDG_CACHE_HOME to download", "writable": False}
    else:
        found["cache"] = _folder(cache)
    found["system"] = _folder(SYSTEM)
    if not os.path.lexists(SYSTEM):  # xpcnn never writes there
        found["system"] = {"path": str(SYSTEM), "text": "not there; only read", "writable": False}
    return found


def _folder(path: Path) -> dict[str, Any]:
    if os.path.isdir(path):
        readable, writable = os.access(path, os.R_OK | os.X_OK), os.access(path, os.W_OK | os.X_OK)
        text = "writable" if writable else "read-only" if readable else "closed to you"
        return {"path": str(path), "text": text, "writable": writable}
    if os.path.lexists(path):
        return {"path": str(path), "text": "not a folder", "writable": False}
    parent = next((p for p in path.absolute().parents if os.path.lexists(p)), Path("/"))
    writable = os.path.isdir(parent) and os.access(parent, os.W_OK | os.X_OK)
    text = "not there yet, will be made" if writable else "not there, and cannot be made"
    return {"path": str(path), "text": text, "writable": writable}


def variables() -> dict[str, str | None]:
    """Environment variables that change what xpcnn does."""
    return {name: os.environ.get(name) for name in VARIABLES}


def wrong_variables() -> dict[str, str]:
    """Those of them that hold what xpcnn does not take, and what it says to that."""
    found = {}
    for name, read in (
        ("XPCNN_KERNELS", generic_only),
        ("XPCNN_NUM_THREADS", xpcnn.get_num_threads),
        ("XPCNN_AUTOTUNE", cuda.cudnn.choices.tuning),
    ):
        try:
            read()
        except ConfigError as error:
            found[name] = str(error)
    return found


@contextmanager
def left_out(wrong: Iterable[str]) -> Iterator[None]:
    """Do without some variables, so that one that is wrong hides nothing else."""
    before = {name: os.environ.pop(name) for name in wrong}
    try:
        yield
    finally:
        os.environ.update(before)
        if "XPCNN_NUM_THREADS" in before:
            xpcnn.set_num_threads(None)  # a default was taken meanwhile
