"""One training step of a model, with all that went into its layers and came out, kept by layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from xpcnn.backend import Array, to_numpy
from xpcnn.layers import Cache, Layer
from xpcnn.models import Container, Model

__all__ = ["Call", "Recorder"]


@dataclass(eq=False)
class Call:
    """
    One use of a layer in the step: forward, and later backward.

    What is kept are the layer's own arrays; after :meth:`to_host` they are NumPy's, of float64, which holds every
    float32 exactly.
    """

    path: str
    layer: Layer
    x: Any
    buffers: dict[str, Array]
    y: Any = None
    cache: Any = None
    dy: Any = None
    dx: Any = None
    grads: dict[str, Array] = field(default_factory=dict)
    children: dict[str, Call] = field(default_factory=dict)

    @property
    def saved(self) -> tuple[Any, ...]:
        """What the layer kept for its backward pass."""
        return self.cache.saved if isinstance(self.cache, Cache) else ()

    @property
    def params(self) -> dict[str, Any]:
        """The layer's parameters on the host; none for a container, whose layers speak for themselves."""
        return {} if isinstance(self.layer, Container) else host(self.layer.params)

    def to_host(self) -> None:
        """Bring everything home, here and in the layers inside."""
        self.x, self.y, self.dy, self.dx = (host(a) for a in (self.x, self.y, self.dy, self.dx))
        self.grads, self.buffers = host(self.grads), host(self.buffers)
        for child in self.children.values():
            child.to_host()


class Recorder:
    """
    Listens to the calls from containers to the layers inside them.

    Parameters
    ----------
    model : Model
        A copy made for this: its containers stay tapped.

    Attributes
    ----------
    root : Call
        The model's own.
    backward : list of Call
        In the order in which their gradients were done.
    """

    def __init__(self, model: Model) -> None:
        self.root = Call("", model, None, {})
        self.backward: list[Call] = []
        self._stack = [self.root]
        self._by_cache: dict[int, Call] = {}
        self._tap(model)

    def _tap(self, container: Container) -> None:
        vars(container)["_forward_child"] = partial(self._forward_child, container)
        vars(container)["_backward_child"] = partial(self._backward_child, container)
        for child in container.children.values():
            if isinstance(child, Container):
                self._tap(child)

    def _forward_child(self, container: Container, name: str, x: Any, *rest: Any) -> tuple[Array, Any]:
        child, parent = container.children[name], self._stack[-1]
        own = {} if isinstance(child, Container) else dict(child.buffers)
        call = Call(f"{parent.path}.{name}" if parent.path else name, child, x, own)
        parent.children[name] = call
        self._stack.append(call)
        call.y, call.cache = type(container)._forward_child(container, name, x, *rest)
        self._stack.pop()
        self._by_cache[id(call.cache)] = call  # the call holds the cache, so no other gets its id
        return call.y, call.cache

    def _backward_child(
        self, container: Container, name: str, dy: Array, cache: Any, grads: dict[str, Array], input_grad: bool = True
    ) -> Array:
        own: dict[str, Array] = {}
        dx = type(container)._backward_child(container, name, dy, cache, own, input_grad)
        for full, gradient in own.items():
            grads[full] = grads[full] + gradient if full in grads else gradient
        call = self._by_cache[id(cache)]
        call.dy, call.dx = dy, dx
        if not isinstance(call.layer, Container):
            call.grads = {full.rpartition(".")[2]: gradient for full, gradient in own.items()}
        self.backward.append(call)
        return dx


def host(value: Any) -> Any:
    """Arrays as NumPy's float64, integers and truth values as they are; inside of tuples and dicts, too."""
    if value is None:
        return None
    if isinstance(value, dict):
        return {name: host(one) for name, one in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(host(one) for one in value)
    a = to_numpy(value)
    return a.astype("float64") if a.dtype.kind == "f" else a
