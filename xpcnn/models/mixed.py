"""
Layers in a model that computes in 16 bits: `Layer.narrow` says what each takes.

A layer that takes its parameters in 16 bits too is copied for the call, with its parameters cast; everything else of
the copy is the layer's own. So nothing is hidden in the layer, two threads may use it at once, and the backward pass
finds the same cast parameters in what the forward pass kept.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from xpcnn.backend import Array, Key, cast, overflow_allowed
from xpcnn.errors import DtypeError
from xpcnn.layers import Layer
from xpcnn.ops.checks import common, conversion

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Kept", "backward", "computing", "forward"]


class Kept(NamedTuple):
    """The layer that computed, its cache, and the dtype of its output before any cast."""

    layer: Layer
    cache: Any
    dtype: Any


def computing(layer: Layer, narrow: Any) -> Layer:
    """The layer, or a copy of it with parameters of 16 bits where it takes such."""
    if "params" not in layer.narrow:
        return layer
    twin = copy.copy(layer)
    twin._params = {name: cast(p, narrow) for name, p in layer.params.items()}
    return twin


def forward(model: Model, x: Any, train: bool, key: Key) -> tuple[Array, Any]:
    """A model's output in float32, of what comes in in float32 or 16 bits, and the caches of its layers."""
    with overflow_allowed():
        y, caches = model._forward(_entering(model, x), train, key)
    return cast(y, model.home.dtype("float32")), caches


def backward(model: Model, dy: Array, caches: Any, grads: dict[str, Array], input_grad: bool) -> Any:
    """The gradient at a model's input, in float32; as `Model._backward`."""
    with overflow_allowed():
        dx = model._backward(dy, caches, grads, input_grad)
    return cast(dx, model.home.dtype("float32"))


def _entering(model: Model, x: Any) -> Any:
    """What a model of 16 bits was given, one array or several, in these; DtypeError unless it is float32 or they."""
    who, narrow, wide = type(model).__name__, model.home.dtype(model.dtype), model.home.dtype("float32")
    several = model.merges and isinstance(x, (tuple, list))
    for a in x if several else (x,):
        common(who, x=a)
        if a.dtype not in (narrow, wide):
            message = f"{who}: expected x of float32 or {model.dtype}, got {a.dtype}: convert it, as in "
            raise DtypeError(message + conversion("x", a, "float32"))
    return cast(tuple(x) if several else x, narrow)
