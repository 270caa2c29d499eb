"""A network whose layers may take their inputs from any others before them."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, final

from xpcnn.backend import Array, Device, Key, is_array
from xpcnn.errors import ConfigError, NamespaceError, ShapeError
from xpcnn.layers import Cache, Layer
from xpcnn.settings import like, shape

from .container import Shape, Step, learns, plus
from .model import Model

__all__ = ["Graph"]


@final
class Graph(Model):
    """
    Named layers, each with the names of its inputs: any network without cycles.

    Parameters
    ----------
    nodes : dict of str to tuple
        ``{"name": (layer, "input", ...)}``: a layer, then the names of the nodes that it takes its inputs from, in any
        order of nodes. A node may be used by several others, and a layer may stand at several nodes: it is one layer
        with one set of parameters. Where branches meet, use `Add`, `Multiply`, `Concatenate` or a `Merge` of your own.
        Any layer can be a node, so can a `Sequential` or another `Graph`.
    output : str, optional
        The node whose output is the model's; default: the last one.
    inputs : str or sequence of str
        What the model's input is called. With a sequence of names the model takes a tuple of arrays, in this order,
        `backward` returns a tuple of gradients, and `input_shape` is a tuple of shapes.
    device, dtype, seed, input_shape, allow_tf32, deterministic
        As in `Sequential`.

    Attributes
    ----------
    params, buffers : dict of str to array
        Flat, with names such as ``"stem.weight"``, in the order of `nodes`.
    order : list of str
        The nodes in the order of their computation.

    Raises
    ------
    ConfigError
        For unknown names, cycles, nodes that do not lead to the output, and layers with a wrong number of inputs.
    ShapeError, DeviceUnavailable

    Notes
    -----
    The output of node v is ``y_v = f_v(y_u for u in inputs of v)``, computed in a topological order. By the chain rule
    the gradient at a node's output is the sum over its users, ``dL/dy_u = sum_v (df_v/dy_u)' dL/dy_v``, which the
    reversed order gathers (Baydin et al. (2018), "Automatic differentiation in machine learning: a survey", section
    3.2). The order is that of `nodes` wherever the inputs allow it.

    `fit`, `evaluate` and `predict` take a Graph of one input; one of several is trained by hand, with `forward` and
    `backward`. There is one output.

    Examples
    --------
    >>> from xpcnn import Add, Conv2d, GlobalAvgPool2d, Linear, ReLU
    >>> model = Graph(
    ...     {
    ...         "stem": (Conv2d(3, 8, 3, padding=1), "input"),
    ...         "act": (ReLU(), "stem"),
    ...         "conv": (Conv2d(8, 8, 3, padding=1), "act"),
    ...         "sum": (Add(), "act", "conv"),
    ...         "pool": (GlobalAvgPool2d(), "sum"),
    ...         "head": (Linear(8, 10), "pool"),
    ...     },
    ...     input_shape=(3, 32, 32),
    ... )
    >>> model.output_shape((3, 32, 32))
    (10,)
    """

    def __init__(
        self,
        nodes: Mapping[str, tuple[Any, ...]],
        output: str | None = None,
        *,
        inputs: str | Sequence[str] = "input",
        device: str | Device = "cpu",
        dtype: str = "float32",
        seed: int = 0,
        input_shape: Sequence[Any] | None = None,
        allow_tf32: bool = False,
        deterministic: bool = False,
    ) -> None:
        layers, self.sources = _parsed(nodes)
        if not isinstance(inputs, (str, list, tuple)):
            message = f"Graph: expected inputs to be a name or several, got {inputs!r}"
            raise ConfigError(message)
        self.inputs = inputs if isinstance(inputs, str) else tuple(inputs)
        self.merges = not isinstance(inputs, str)
        self.output = next(reversed(layers)) if output is None else output
        self._entrances = (self.inputs,) if isinstance(self.inputs, str) else self.inputs
        self.order = self._ordered(layers)
        uses = Counter(source for name in self.order for source in self.sources[name])
        for name, layer in layers.items():
            if len(self.sources[name]) > 1 and isinstance(layer, Layer) and not layer.merges:
                many = ", ".join(self.sources[name])
                message = (
                    f"Graph: expected one input for {type(layer).__name__} at node {name!r}, got {many}: "
                    "join them before, e.g. with Add or Concatenate"
                )
                raise ConfigError(message)
        for name in (*self._entrances, *layers):
            if not uses[name] and name != self.output:
                message = f"Graph: expected every node to lead to the output {self.output!r}, got {name!r} unused"
                raise ConfigError(message)
        super().__init__(
            layers,
            device=device,
            dtype=dtype,
            seed=seed,
            input_shape=input_shape,
            allow_tf32=allow_tf32,
            deterministic=deterministic,
        )

    def __getitem__(self, name: str) -> Layer:
        """The layer of that node."""
        return self.children[name]

    @property
    def last(self) -> Layer:
        return self.children[self.output]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Graph:
        nodes = {name: (layer, *sources) for name, layer, sources in config.pop("nodes")}
        return cls(nodes, **config)

    def config(self) -> dict[str, Any]:
        return {
            "nodes": [[name, child, list(self.sources[name])] for name, child in self.children.items()],
            "output": self.output,
            "inputs": self.inputs,
            "input_shape": self.input_shape,
        }

    def __repr__(self) -> str:
        lines = [f"{name}: {child!r} of {', '.join(self.sources[name])}" for name, child in self.children.items()]
        text = "".join(f"\n{line}" for line in [*lines, f"output: {self.output}"])
        return f"Graph({text.replace(chr(10), chr(10) + '  ')}\n)"

    # The passes.

    def _forward(self, x: Any, train: bool, key: Key) -> tuple[Array, dict[str, Cache | None]]:
        values = dict(zip(self._entrances, self._split(x), strict=True))
        left = Counter(source for sources in self.sources.values() for source in sources)
        caches = {}
        for name in self.order:
            values[name], caches[name] = self._forward_child(name, self._gather(name, values), train, key)
            for source in self.sources[name]:
                left[source] -= 1
                if not left[source] and source != self.output:
                    del values[source]  # inference needs no more memory than the widest place
        return values[self.output], caches

    def _backward(self, dy: Array, caches: dict[str, Any], grads: dict[str, Array], input_grad: bool) -> Any:
        wanted = dict.fromkeys(self._entrances, input_grad)
        for name in self.order:
            wanted[name] = learns(self.children[name]) or any(wanted[source] for source in self.sources[name])
        gradients = {self.output: dy}
        for name in reversed(self.order):
            if not wanted[name]:
                continue
            sources = self.sources[name]
            below = any(wanted[source] for source in sources)
            dx = self._backward_child(name, gradients.pop(name), caches[name], grads, below)
            if not below:
                continue
            for source, part in zip(sources, dx if self.children[name].merges else (dx,), strict=True):
                if wanted[source]:
                    gradients[source] = plus(gradients[source], part) if source in gradients else part
        if not input_grad:
            return None
        dxs = tuple(gradients[name] for name in self._entrances)
        return dxs if self.merges else dxs[0]

    def _gather(self, name: str, values: Mapping[str, Any]) -> Any:
        """What a node takes: one value, or a tuple of them where its layer merges."""
        found = tuple(values[source] for source in self.sources[name])
        return found if self.children[name].merges else found[0]

    def _split(self, x: Any) -> tuple[Any, ...]:
        if not self.merges:
            return (x,)
        if is_array(x) or not isinstance(x, (tuple, list)) or len(x) != len(self._entrances):
            got = "one array" if is_array(x) else f"{len(x)}" if isinstance(x, (tuple, list)) else type(x).__name__
            message = f"Graph: expected x to be a tuple of {len(self._entrances)} arrays, {self._named()}, got {got}"
            raise NamespaceError(message)
        return tuple(x)

    # Shapes.

    def walk(self, shape: Shape, place: object, step: Step) -> tuple[Shape, object]:
        inner = self._shape_in(shape) if self.merges else (shape,)
        shapes: dict[str, Any] = dict(zip(self._entrances, inner, strict=True))
        if not self.merges:
            where = {self._entrances[0]: place}
        elif isinstance(place, tuple):
            where = dict(zip(self._entrances, place, strict=True))
        else:
            where = {name: object() for name in self._entrances}
        for name in self.order:
            own, before = self._gather(name, shapes), self._gather(name, where)
            shapes[name], where[name] = step(name, self.children[name], own, before)
        return shapes[self.output], where[self.output]

    def _shape_in(self, input_shape: Any) -> Any:
        if not self.merges:
            return super()._shape_in(input_shape)
        shapes = tuple(input_shape) if isinstance(input_shape, (tuple, list)) else ()
        if len(shapes) != len(self._entrances) or not all(isinstance(one, (tuple, list)) for one in shapes):
            message = f"Graph: expected a tuple of {len(self._entrances)} shapes, {self._named()}, got {input_shape}"
            raise ShapeError(message)
        return tuple(shape("Graph", "input_shape", one) for one in shapes)

    def _named(self) -> str:
        return f"({', '.join(self._entrances)})"

    # The order.

    def _ordered(self, layers: Mapping[str, Any]) -> list[str]:
        """All nodes, each behind its inputs; raises for names that are unknown, taken twice or on a cycle."""
        known = [*self._entrances, *layers]
        counts = Counter(name for name in known if isinstance(name, str))
        for name in known:
            if not isinstance(name, str) or counts[name] > 1:
                message = f"Graph: expected names that differ, for inputs and nodes, got {name!r}"
                raise ConfigError(message)
        if not self._entrances:
            message = "Graph: expected at least one input, got none"
            raise ConfigError(message)
        asked = [(f"node {name!r}", source) for name in layers for source in self.sources[name]]
        for who, source in [*asked, ("the output", self.output)]:
            if source not in counts or (who == "the output" and source not in layers):
                there = like(source, known) or f": there are {', '.join(known)}"
                message = f"Graph: expected the name of {'a node' if who == 'the output' else 'an input or a node'} "
                raise ConfigError(message + f"for {who}, got {source!r}{there}")
        # of the nodes that are ready always the first, so that the order is that of `layers` where it can be
        places = {name: i for i, name in enumerate(layers)}
        lacking = {name: len(set(self.sources[name]).difference(self._entrances)) for name in layers}
        users: dict[str, list[str]] = {name: [] for name in layers}
        for name in layers:
            for source in set(self.sources[name]).difference(self._entrances):
                users[source].append(name)
        names, order = list(layers), []
        ready: list[int] = [places[name] for name in layers if not lacking[name]]
        while ready:
            order.append(names[heapq.heappop(ready)])
            for user in users[order[-1]]:
                lacking[user] -= 1
                if not lacking[user]:
                    heapq.heappush(ready, places[user])
        if len(order) < len(names):
            done = {*self._entrances, *order}
            first = next(name for name in names if name not in done)
            message = f"Graph: expected no cycle, got {' -> '.join(_cycle(first, self.sources, done))}"
            raise ConfigError(message)
        return order


def _parsed(nodes: Any) -> tuple[dict[str, Layer], dict[str, tuple[str, ...]]]:
    """Layers and the names of their inputs, by the name of the node."""
    if not isinstance(nodes, Mapping) or not nodes:
        message = f'Graph: expected nodes as {{"name": (layer, "input", ...)}}, at least one, got {nodes!r}'
        raise ConfigError(message)
    layers, sources = {}, {}
    for name, node in nodes.items():
        layer, *names = node if isinstance(node, (tuple, list)) and node else (node,)
        if len(names) == 1 and isinstance(names[0], (tuple, list)):
            names = list(names[0])  # (Add(), ["a", "b"]), as others write it
        if not names or not all(isinstance(source, str) for source in names):
            message = f'Graph: expected node {name!r} as (layer, "input", ...), got {node!r}'
            raise ConfigError(message)
        layers[name], sources[name] = layer, tuple(names)
    return layers, sources


def _cycle(start: str, sources: Mapping[str, tuple[str, ...]], done: set[str]) -> list[str]:
    """The names along a cycle, in the direction of the data, found by going back from a node that waits."""
    path = [start]
    while True:
        before = next(source for source in sources[path[-1]] if source not in done)
        if before in path:
            return [before, *reversed(path[path.index(before) :])]
        path.append(before)
