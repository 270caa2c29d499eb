"""cuDNN on this machine: loaded once, and a handle for each thread and GPU."""

from __future__ import annotations

import ctypes
import functools
import importlib
import logging
import threading
from pathlib import Path
from typing import Any

from xpcnn.backend.cuda import launch

__all__ = ["frontend", "handle", "versions"]

log = logging.getLogger("xpcnn")

_INSTALL = "pip install 'xpcnn[cuda13]' brings both (or 'xpcnn[cuda12]' for a driver of CUDA 12)"
_handles = threading.local()


@functools.cache
def frontend() -> Any:
    """The module ``cudnn`` of nvidia-cudnn-frontend; None, said once in the log, where it or cuDNN does not load."""
    try:
        _load_libraries()
        module = importlib.import_module("cudnn")
        module.backend_version()
    except Exception as error:  # whatever a broken installation raises
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        log.warning("cuda: convolution without cuDNN (%s): %s", reason[:160], _INSTALL)
        return None
    return module


def _load_libraries() -> None:
    """
    Load CUDA's runtime and all of cuDNN, from one folder, before the frontend looks for them.

    It asks for the runtime by name, which CuPy brings inside of itself; and parts of two cuDNNs do not go together.
    """
    load = importlib.import_module("cuda.pathfinder").load_nvidia_dynamic_lib
    load("cudart")
    main = Path(load("cudnn").abs_path)
    for part in sorted(main.parent.glob("libcudnn*.so.9")):
        ctypes.CDLL(str(part), mode=ctypes.RTLD_GLOBAL)


def handle() -> int:
    """cuDNN's handle of this thread for the current GPU, on the current stream."""
    cuda = launch.cupy().cuda
    device, stream = cuda.runtime.getDevice(), cuda.get_current_stream().ptr
    known = vars(_handles).setdefault("known", {})
    if device not in known:
        known[device] = [frontend().create_handle(), None]
    found = known[device]
    if found[1] != stream:
        frontend().set_stream(handle=found[0], stream=stream)
        found[1] = stream
    return found[0]


def versions() -> dict[str, str]:
    """Versions of the frontend and of cuDNN; empty where these cannot be used."""
    module = frontend()
    if module is None:
        return {}
    number = module.backend_version()
    cudnn = f"{number // 10000}.{number // 100 % 100}.{number % 100}"
    return {"nvidia-cudnn-frontend": module.__version__, "cudnn": cudnn}
