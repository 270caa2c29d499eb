"""Special functions that some libraries have built in; the generic bodies are in ``xpcnn.ops``."""

from importlib import import_module

from .namespace import Array
from .registry import accelerates


@accelerates("erfcx", "torch")
def _torch_erfcx(x: Array) -> Array:
    return import_module("torch").special.erfcx(x)


@accelerates("erfcx", "cupy")
def _cupy_erfcx(x: Array) -> Array:
    return import_module("cupyx.scipy.special").erfcx(x)
