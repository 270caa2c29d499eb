"""Layers in float64, for as long as they are checked."""

from collections.abc import Iterator
from contextlib import contextmanager

from xpcnn.backend import Device, array_namespace
from xpcnn.layers import Layer
from xpcnn.models import Container

__all__ = ["in_float64"]


@contextmanager
def in_float64(layer: Layer, home: Device) -> Iterator[None]:
    """Let a layer hold float64, and give it back its own arrays at the end."""
    # not through a model's flat dicts, which keep to the model's dtype
    leaves = [leaf for _, leaf in layer.leaves()] if isinstance(layer, Container) else [layer]
    kept = [(arrays, dict(arrays)) for leaf in leaves for arrays in (leaf.params, leaf.buffers)]
    try:
        for arrays, own in kept:
            for name, a in own.items():
                if array_namespace(a).isdtype(a.dtype, "real floating"):
                    arrays[name] = home.asarray(a, "float64")
        yield
    finally:
        for arrays, own in kept:
            arrays.update(own)
