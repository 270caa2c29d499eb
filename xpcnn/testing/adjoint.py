"""Is a backward pass the adjoint of a forward pass that is linear? Two inner products know, without differences."""

from typing import Any

from xpcnn.backend import Key, array_namespace, device_like, normal
from xpcnn.layers import Layer

from .differences import finite
from .float64 import in_float64

__all__ = ["adjoint_error"]


def adjoint_error(layer: Layer, x: Any, key: Key) -> float:
    """
    How far a layer's backward pass is from the adjoint of its forward pass A, for a layer that is linear in x.

    ``<A x, dy> == <x, A' dy>`` up to rounding, whatever x and dy are. What the layer adds to A x, such as a bias, is
    its output for zeros. The error is a share of the sum of the terms' sizes on both sides.
    """
    several = isinstance(x, (tuple, list))
    xs = tuple(x) if several else (x,)
    xp, home = array_namespace(*xs), device_like(xs[0])
    options: dict[str, Any] = {"key": key.child("layer")} if layer.random else {}
    with in_float64(layer, home):
        zeros = tuple(xp.zeros_like(a) for a in xs)
        y, cache = layer.forward(x, train=True, **options)
        y = y - layer.forward(zeros if several else zeros[0], train=True, **options)[0]
        dy = home.asarray(normal(tuple(y.shape), key.child("dy")))
        dx, _ = layer.backward(dy, cache)
        left, right = [y * dy], [a * da for a, da in zip(xs, dx if several else (dx,), strict=True)]
        size = sum(float(xp.sum(xp.abs(terms))) for terms in (*left, *right))
        gap = sum(float(xp.sum(terms)) for terms in left) - sum(float(xp.sum(terms)) for terms in right)
        return finite(abs(gap) / max(size, 1e-300))
