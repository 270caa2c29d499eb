"""The array libraries that every layer is tried on, and how arrays get there and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from xpcnn.backend import Device, Key, device_like, normal, resolve, to_numpy, uniform
from xpcnn.layers import Layer

IDS = ("numpy", "numpy_readonly", "strict", "torch", "cupy")


@dataclass(frozen=True)
class Space:
    """An array library on one of its devices."""

    name: str
    device: Device
    readonly: bool = False

    @property
    def xp(self) -> Any:
        return self.device.xp

    def asarray(self, host, dtype=None):
        """A new array here; nobody can write to it where the space is read-only."""
        host = np.array(host, dtype=dtype)
        x = self.device.asarray(host)
        if self.readonly:
            x.flags.writeable = False
        return x

    def settle(self, layer: Layer, dtype: str = "float64", seed: int = 0) -> Layer:
        """Move a layer here, with random numbers in every parameter and buffer; zeros and ones hide errors."""
        layer.place(self.device, dtype, Key(seed, "init"))
        for arrays in (layer.params, layer.buffers):
            for name, a in arrays.items():
                arrays[name] = self.asarray(interesting(name, tuple(a.shape), seed), str(to_numpy(a).dtype))
        return layer


def interesting(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    key = Key(seed, f"interesting/{name}")
    if name.endswith("num_batches_tracked"):
        return np.asarray(seed % 4)
    if name.endswith("running_var"):
        return 0.5 + uniform(shape, key)
    return 0.1 + normal(shape, key)


def make_space(name: str) -> Space:
    """
    The space of that name.

    Raises
    ------
    ImportError, DeviceUnavailable
        If it is not to be had here.
    """
    if name in ("numpy", "numpy_readonly"):
        return Space(name, resolve("cpu"), readonly=name == "numpy_readonly")
    if name == "strict":
        import array_api_strict as strict

        strict.set_array_api_strict_flags(boolean_indexing=False, data_dependent_shapes=False)
        return Space(name, device_like(strict.zeros(1, device=strict.Device("device1"))))
    if name == "torch":
        import torch

        torch.set_num_threads(1)
        return Space(name, device_like(torch.zeros(1)))
    return Space(name, resolve("cuda"))


def bits(arrays) -> dict[str, bytes]:
    """Copies of the bytes of named arrays, to see later whether anything changed."""
    return {name: to_numpy(a).tobytes() for name, a in arrays.items()}


def snapshot(layer: Layer) -> dict[str, bytes]:
    return bits(layer.params) | bits(layer.buffers)
