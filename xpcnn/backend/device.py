"""
Devices by name: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"auto"``, or "where this array lives".

A GPU counts as there only when it works: CuPy imports, the driver answers, memory can be had, a kernel compiles and a
matrix product runs. Each way to fail has its own message with the command that mends it.
"""

import functools
import importlib
import logging
import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpcnn.errors import ConfigError, DeviceUnavailable

from .namespace import Array, Namespace, array_namespace, device_of, is_array, library, to_numpy

__all__ = ["Device", "device_like", "is_host", "resolve"]

log = logging.getLogger("xpcnn")


@dataclass(frozen=True)
class Device:
    """
    A place where arrays live: an array library and one of its devices.

    Parameters
    ----------
    name : str
        ``"cpu"``, ``"cuda:0"``, or for other libraries ``"torch:cpu"``, ``"array_api_strict:device1"``.
    xp : namespace
    native : object
        What the library's ``device=`` arguments take.
    """

    name: str
    xp: Namespace
    native: Any

    def __str__(self) -> str:
        return self.name

    def asarray(self, x: Array, dtype: str | None = None) -> Array:
        """
        The numbers of `x` as an array of this device; `x` itself where it already is one.

        Parameters
        ----------
        x : array of any library, or a NumPy scalar
        dtype : str, optional
            ``"float32"``, ``"int64"``, ...; default: unchanged.
        """
        wanted = None if dtype is None else getattr(self.xp, dtype)
        if self.owns(x):
            return x if wanted is None or x.dtype == wanted else self.xp.astype(x, wanted)
        host = to_numpy(x)
        if dtype is not None:
            host = host.astype(dtype, copy=False)
        if self.xp is np:
            return host if host.flags.writeable else host.copy()
        with self.active():
            return self.xp.asarray(host, device=self.native, copy=True)

    def owns(self, x: object) -> bool:
        """Whether `x` is an array of this library on this device."""
        if self.xp is np:
            return type(x) is np.ndarray
        return is_array(x) and array_namespace(x) is self.xp and device_of(x) == self.native

    def active(self) -> AbstractContextManager[Any]:
        """Context in which CuPy computes on this device; nothing elsewhere."""
        return self.native if self.xp.__name__.endswith("cupy") else nullcontext()


def device_like(x: Array) -> Device:
    """
    The device that an array lives on.

    Examples
    --------
    >>> device_like(np.zeros(3)).name
    'cpu'
    """
    xp, native, kind = array_namespace(x), device_of(x), library(x)
    if kind == "numpy":
        return _CPU
    if kind == "cupy":
        return Device(f"cuda:{native.id}", xp, native)
    name = re.sub(r"^.*Device\('(.*)'\)$", r"\1", str(native))
    return Device(f"{kind}:{name}", xp, native)


def is_host(x: Array) -> bool:
    """Whether the values of `x` can be read without waiting for an accelerator."""
    return library(x) != "cupy" and "cuda" not in str(device_of(x))


def resolve(device: "str | Device") -> Device:
    """
    The device of a name.

    Parameters
    ----------
    device : {"cpu", "cuda", "cuda:N", "auto"} or Device
        ``"cuda"`` is ``"cuda:0"``; ``"auto"`` is ``"cuda"`` where that works and ``"cpu"`` elsewhere, said in the
        log of ``"xpcnn"``.

    Raises
    ------
    ConfigError
        If there is no such name.
    DeviceUnavailable
        If the device does not work here, with the reason and the mending command.

    Examples
    --------
    >>> resolve("cpu").name
    'cpu'
    """
    if isinstance(device, Device):
        return device
    if device == "cpu":
        return _CPU
    if device == "auto":
        try:
            return _cuda(0)
        except DeviceUnavailable as error:
            log.info("device auto: using cpu, because %s", error)
            return _CPU
    match = re.fullmatch(r"cuda(?::(\d+))?", device) if isinstance(device, str) else None
    if match is None:
        message = f"device: expected 'cpu', 'cuda', 'cuda:N' or 'auto', got {device!r}"
        if is_array(device):
            message += ": to follow an array use model.to(like=array)"
        raise ConfigError(message)
    return _cuda(int(match[1] or 0))


_CPU = Device("cpu", np, "cpu")

_INSTALL = "pip install 'xpcnn[cuda13]' (or 'xpcnn[cuda12]' for a driver of CUDA 12)"


@functools.cache
def _cuda(index: int) -> Device:
    """Probe a GPU once: import, driver, index, memory, kernel, matrix product."""
    name = f"cuda:{index}"

    def unavailable(cause: str, mend: str) -> DeviceUnavailable:
        return DeviceUnavailable(f"device {name!r}: {cause}; {mend}")

    try:
        cupy = importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise unavailable(f"CuPy does not import ({_line(error)})", f"reinstall it: {_INSTALL}") from error
        raise unavailable("CuPy is not installed", _INSTALL) from error
    except Exception as error:
        raise unavailable(f"CuPy does not import ({_line(error)})", f"reinstall it: {_INSTALL}") from error
    if int(cupy.__version__.partition(".")[0]) < 14:
        raise unavailable(f"CuPy {cupy.__version__} is too old, 14 is the oldest that works", _INSTALL)
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        mend = "install the NVIDIA driver and look whether `nvidia-smi` lists a GPU (in a container: run it with --gpus all)"
        if "insufficient" in str(error).lower():
            mend = f"no driver, or one older than CuPy's CUDA: {mend}"
        raise unavailable(f"no CUDA driver answers ({_line(error)})", mend) from error
    if index >= count:
        have = "no GPU is visible" if count == 0 else f"only {count} GPU(s) visible, numbered from 0"
        mend = "choose a smaller index or look at `nvidia-smi -L` and $CUDA_VISIBLE_DEVICES"
        raise unavailable(f"no such index, {have}", mend)
    xp = importlib.import_module("array_api_compat.cupy")
    native = cupy.cuda.Device(index)
    with native:
        try:
            a = cupy.zeros((2, 2), dtype="float32")
        except Exception as error:
            raise unavailable(f"no memory can be had ({_line(error)})", "free the GPU: see `nvidia-smi`") from error
        try:
            a = a * 2.0 + 1.0
        except Exception as error:
            mend = "install NVRTC and the CUDA headers: pip install 'cupy-cuda13x[ctk]' (cupy-cuda12x[ctk] for CUDA 12)"
            raise unavailable(f"kernel compile failed ({_line(error)})", mend) from error
        try:
            a @ a
            cupy.cuda.get_current_stream().synchronize()
        except Exception as error:
            mend = "install cuBLAS: pip install 'cupy-cuda13x[ctk]' (cupy-cuda12x[ctk] for CUDA 12)"
            raise unavailable(f"no GEMM library ({_line(error)})", mend) from error
    return Device(name, xp, native)


def _line(error: BaseException) -> str:
    """The first line of an error, cut to what fits into a message."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return text if len(text) <= 160 else text[:157] + "..."


