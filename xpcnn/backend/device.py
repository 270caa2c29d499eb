"""
Devices by name: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"auto"``, or "where this array lives".

A GPU counts as there only when it works: CuPy imports, the driver answers, memory can be had, a kernel compiles and a
matrix product runs. Each way to fail has its own message with the command that mends it.
"""

import functools
import importlib
import importlib.util
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpcnn.errors import ConfigError, DeviceUnavailable

from .cuda import feed
from .cuda.launch import channels_first, channels_last
from .cuda.memory import on_device
from .namespace import Array, Namespace, array_namespace, device_of, is_array, library, to_numpy
from .precision import NARROW, narrow_dtype
from .registry import generic_only

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

    def __deepcopy__(self, memo: object) -> "Device":
        return self  # it stands for a place; a copied model stays there

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Pickled by name, since a module cannot be; a GPU is probed anew where it is unpickled."""
        if self.name == "cpu" or self.name.startswith("cuda:"):
            return resolve, (self.name,)
        return _named, (self.name, self.xp.__name__, self.native)

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
            with self.active():
                return x if wanted is None or x.dtype == wanted else self.xp.astype(x, wanted)
        host = to_numpy(x)
        if dtype is not None:
            host = host.astype(dtype, copy=False)
        if self.xp is np:
            return host if host.flags.writeable else host.copy()
        with self.active():
            moved = self.xp.asarray(host, device=self.native, copy=True)
            # images and filters lie there as convolution reads them
            return channels_first(channels_last(moved)) if self._is_gpu() and host.ndim == 4 else moved

    def dtype(self, name: str) -> Any:
        """
        The library's dtype of that name, ``"float32"`` or ``"bfloat16"``.

        Raises
        ------
        ConfigError
            If it is one of 16 bits that cannot be had.
        """
        return narrow_dtype(self.xp, name) if name in NARROW else getattr(self.xp, name)

    def owns(self, x: object) -> bool:
        """Whether `x` is an array of this library on this device."""
        if self.xp is np:
            return type(x) is np.ndarray
        return is_array(x) and array_namespace(x) is self.xp and device_of(x) == self.native

    def active(self, samples: int | None = None) -> AbstractContextManager[Any]:
        """
        Context in which CuPy computes on this device; nothing elsewhere.

        Parameters
        ----------
        samples : int, optional
            How many are computed at once, for the error when memory runs out.

        Raises
        ------
        OutOfMemory
        """
        return on_device(self.native, samples) if self._is_gpu() else nullcontext()

    def fits(self, nbytes: int) -> bool:
        """Whether so many bytes may stay here, beside what a training step needs; always on a CPU."""
        if not self._is_gpu():
            return True
        with self.active():
            return feed.fits(nbytes)

    def feed(self, x: np.ndarray, parts: Iterable[np.ndarray]) -> Iterator[Array]:
        """
        Samples of a host array by their numbers, part after part, as arrays of this GPU.

        Parameters
        ----------
        x : ndarray, shape (N, ...)
        parts : iterable of integer arrays
        """
        return feed.feed(x, parts)

    def captures(self) -> bool:
        """Whether work for this device can be captured as a graph; not without our own kernels."""
        return self._is_gpu() and not generic_only()

    def _is_gpu(self) -> bool:
        return self.xp.__name__.endswith("cupy")


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
        log of ``"xpcnn"``: as a warning where CuPy is installed, else as information.

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
            # without CuPy nobody expects a GPU; with it, somebody does
            level = logging.WARNING if _cupy_is_there() else logging.INFO
            log.log(level, "device auto: using cpu, because %s", error)
            return _CPU
    match = re.fullmatch(r"cuda(?::(\d+))?", device) if isinstance(device, str) else None
    if match is None:
        message = f"device: expected 'cpu', 'cuda', 'cuda:N' or 'auto', got {device!r}"
        if is_array(device):
            message += ": to follow an array use model.to(like=array)"
        raise ConfigError(message)
    return _cuda(int(match[1] or 0))


def _named(name: str, namespace: str, native: Any) -> Device:
    return Device(name, importlib.import_module(namespace), native)


_CPU = Device("cpu", np, "cpu")

_INSTALL = "pip install 'xpcnn[cuda13]' (or 'xpcnn[cuda12]' for a driver of CUDA 12)"
_TOOLKIT = "pip install 'cupy-cuda13x[ctk]' (cupy-cuda12x[ctk] for CUDA 12)"
_DRIVER = (
    "install or update the NVIDIA driver, or take xpcnn[cuda12] for one of CUDA 12; `nvidia-smi` must list a GPU "
    "(a container: run it with --gpus all), and $CUDA_VISIBLE_DEVICES must not hide it"
)


def _cupy_is_there() -> bool:
    try:
        return importlib.util.find_spec("cupy") is not None
    except ValueError:  # in sys.modules, but without a spec or as None
        return False


@functools.cache
def _cuda(index: int) -> Device:
    """Probe a GPU once: import, driver, index, memory, kernel, matrix product."""
    name = f"cuda:{index}"

    @contextmanager
    def step(cause: str, mend: str) -> Iterator[None]:
        """Whatever goes wrong inside is `DeviceUnavailable`, with this cause and what mends it."""
        try:
            yield
        except Exception as error:
            line = next(iter(str(error).strip().splitlines()), type(error).__name__)
            message = f"device {name!r}: {cause} ({line[:160]}): {mend}"
            raise DeviceUnavailable(message) from error

    with step("CuPy does not import" if _cupy_is_there() else "CuPy is not installed", _INSTALL):
        cupy = importlib.import_module("cupy")
    with step(f"CuPy {cupy.__version__} is too old", _INSTALL):
        if int(cupy.__version__.partition(".")[0]) < 14:
            raise RuntimeError("14 is the oldest that works")  # noqa: EM101
    with step("no CUDA driver answers, or it is older than CuPy's CUDA", _DRIVER):
        count = cupy.cuda.runtime.getDeviceCount()
    with step("no such index", "look at `nvidia-smi -L` and $CUDA_VISIBLE_DEVICES"):
        if index >= count:
            raise IndexError(f"{count} GPU(s) visible, numbered from 0")  # noqa: EM102
        native = cupy.cuda.Device(index)
    with native:
        with step("no memory can be had", "free the GPU, `nvidia-smi` shows who holds it"):
            a = cupy.zeros((2, 2), dtype="float32")
        with step("kernel compile failed", f"install NVRTC and the CUDA headers: {_TOOLKIT}"):
            a = a * 2.0 + 1.0
        with step("no GEMM library", f"install cuBLAS: {_TOOLKIT}"):
            a @ a
            cupy.cuda.get_current_stream().synchronize()
    return Device(name, importlib.import_module("array_api_compat.cupy"), native)
