"""
Layers made of layers.

A container is a layer too: its parameters are its children's under ``"child.name"``, its cache holds their caches.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from xpcnn.backend import Array, Device, Key, cast, is_array, kernel, library
from xpcnn.errors import (
    ConfigError,
    DeviceMismatchError,
    DtypeError,
    NamespaceError,
    ShapeError,
    StateDictError,
)
from xpcnn.layers import Cache, Cost, Layer
from xpcnn.layers.base import pair_of
from xpcnn.ops import add_relu
from xpcnn.ops.checks import common_place
from xpcnn.settings import shape

from .mixed import Kept, computing

__all__ = ["Container", "Visit", "learns", "plus", "samples_of", "traverse"]


Shape: TypeAlias = tuple[int, ...]  # of one input; a layer that merges several has a tuple of shapes instead
Step: TypeAlias = Callable[[str, Layer, Shape, object], tuple[Shape, object]]


class Visit(NamedTuple):
    """What :func:`traverse` shows of one layer; equal places are one array."""

    path: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    input_place: object
    output_place: object

    def inputs(self) -> list[tuple[Shape, object]]:
        """Shape and place of each input: more than one where the layer merges several."""
        if self.layer.merges:
            return list(zip(self.input_shape, self.input_place, strict=True))  # type: ignore[call-overload]
        return [(self.input_shape, self.input_place)]


def traverse(
    layer: Layer, shape: Shape, see: Callable[[Visit], Any], path: str = "", place: object = "input"
) -> tuple[Shape, object]:
    """Send the shape of one sample through a layer, showing each layer that holds no others; the shape behind it."""
    if isinstance(layer, Container):

        def step(name: str, child: Layer, shape: Shape, place: object) -> tuple[Shape, object]:
            with layer._inside(name):
                return traverse(child, shape, see, f"{path}.{name}" if path else name, place)

        return layer.walk(shape, place, step)
    out, out_place = layer.output_shape(shape), object()
    see(Visit(path, layer, shape, out, place, out_place))
    return out, out_place


def learns(layer: Layer) -> bool:
    """Whether a layer, or one inside it, has a parameter that is not frozen."""
    leaves = [leaf for _, leaf in layer.leaves()] if isinstance(layer, Container) else [layer]
    return any(name not in leaf.frozen for leaf in leaves for name in leaf.params)


def plus(a: Array, b: Array, rectified: bool = False) -> Array:
    """The sum of two arrays that meet, rectified where asked for; on a GPU in the memory order of the first."""
    if rectified:
        return add_relu(a, b)
    add = kernel("add", library(a))
    return a + b if add is None else add(a, b)


def samples_of(x: Any) -> int | None:
    """How many a batch has; None where it is none."""
    shape = getattr(x[0] if isinstance(x, tuple) and x else x, "shape", None)
    return shape[0] if shape else None


class FlatDict(dict[str, Array]):
    """Flat view of the arrays of many layers; an assignment reaches the layer that owns the name."""

    def __init__(self, owners: dict[str, tuple[dict[str, Array], str]]) -> None:
        super().__init__({name: arrays[own] for name, (arrays, own) in owners.items()})
        self._owners = owners

    def __setitem__(self, name: str, value: Array) -> None:
        if name not in self._owners:
            message = f"expected one of {', '.join(self._owners)}, got {name!r}: a model's parameters are its layers'"
            raise StateDictError(message)
        arrays, own = self._owners[name]
        if not is_array(value):
            message = f"{name}: expected an array, got {type(value).__qualname__}"
            raise NamespaceError(message)
        if tuple(value.shape) != tuple(arrays[own].shape):
            message = f"{name}: expected shape {tuple(arrays[own].shape)}, got {tuple(value.shape)}"
            raise ShapeError(message)
        common_place(name, value=value, model=arrays[own])
        if value.dtype != arrays[own].dtype:
            message = f"{name}: expected dtype {arrays[own].dtype}, got {value.dtype}: convert it"
            raise DtypeError(message)
        arrays[own] = value
        super().__setitem__(name, value)

    def update(self, *others: Any, **named: Array) -> None:
        """Assign many; dict's own would not reach the layers."""
        for name, value in dict(*others, **named).items():
            self[name] = value

    def __reduce__(self) -> tuple[type, tuple[dict[str, Array]]]:
        return dict, (dict(self),)  # a copy belongs to nobody

    def __ior__(self, other: Any) -> "FlatDict":  # type: ignore[override,misc]
        self.update(other)
        return self


class Container(Layer):
    """
    Base of the layers that are made of layers.

    Parameters
    ----------
    children : dict of str to Layer
        Names are letters, digits, ``_`` and ``-``; they become the parameters' prefixes.

    Raises
    ------
    ConfigError
        If something is no layer, or a name does not fit.
    """

    random = True  # a child may draw, so the key must reach it
    narrow = ("x",)
    _rounds = True  # whether 16 bits come out of every child, of softmax too

    def __init__(self, children: dict[str, Layer]) -> None:
        who = type(self).__name__
        for name, child in children.items():
            if not isinstance(child, Layer):
                hint = ""
                if isinstance(child, type):
                    hint = f"; did you mean {child.__name__}(...)?"
                elif isinstance(child, (list, tuple)):
                    hint = f": unpack it, {who}(*layers)"
                elif isinstance(child, dict):
                    hint = ": name layers by tuples (name, layer), Sequential(*layers.items())"
                message = f"{who}: expected layers, got {child!r} as {name!r}{hint}"
                raise ConfigError(message)
            if not name.replace("_", "").replace("-", "").isalnum() or not name.isascii() or len(name) > 60:
                message = f"{who}: expected a name of at most 60 letters, digits, '_' or '-', got {name!r}"
                raise ConfigError(message)
            child.rekey(self._key.child(name))  # equal layers side by side must not start equal
        self.children = children
        self.aliases = self._find_aliases()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Container":
        """Made anew from what :meth:`config` gave, as a model file holds it."""
        return cls(**config)

    @abstractmethod
    def forward(self, x: Array, *, train: bool = False, key: Key | None = None) -> tuple[Array, Cache | None]:
        """As `Layer.forward`; `key` is where the children's draws start from."""

    @property
    def params(self) -> dict[str, Array]:
        return FlatDict({name: (layer.params, own) for name, layer, own in self._names("params")})

    @property
    def trainable(self) -> dict[str, Array]:
        """Those of :attr:`params` that are not frozen: `backward` gives a gradient for each of them."""
        names = self._names("params")
        return FlatDict({name: (layer.params, own) for name, layer, own in names if own not in layer.frozen})

    @property
    def buffers(self) -> dict[str, Array]:
        return FlatDict({name: (layer.buffers, own) for name, layer, own in self._names("buffers")})

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """All layers inside that hold no layers themselves, with their dotted names; a shared one comes repeatedly."""
        for name, child in self.children.items():
            if isinstance(child, Container):
                yield from child.leaves(f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", child

    def rekey(self, key: Key) -> None:
        super().rekey(key)
        for name, child in self.children.items():
            child.rekey(key.child(name))

    def place(self, device: Device, dtype: str, key: Key) -> None:
        super().place(device, dtype, key)
        for name, child in self.children.items():
            child.place(device, dtype, key.child(name))

    # Shapes, without computing.

    @abstractmethod
    def walk(self, shape: Shape, place: object, step: Step) -> tuple[Shape, object]:
        """
        Send the shape of one sample through the children.

        Parameters
        ----------
        shape : tuple of int
            Without the batch axis.
        place : object
            Stands for the array that comes in: equal places are one array.
        step : callable
            ``step(name, child, shape, place)`` gives the shape and the place behind that child.

        Returns
        -------
        shape, place
            Of what goes out.
        """

    def output_shape(self, input_shape: Shape) -> Shape:
        return traverse(self, self._shape_in(input_shape), lambda *seen: None)[0]

    def _shape_in(self, input_shape: Any) -> Any:
        """The shape of one input, checked and plain."""
        return shape(type(self).__name__, "input_shape", input_shape)

    def min_batch(self, input_shape: Shape) -> int:
        smallest = [1]
        traverse(self, tuple(input_shape), lambda visit: smallest.append(visit.layer.min_batch(visit.input_shape)))
        return max(smallest)

    def cost(self, input_shape: Shape, itemsize: int) -> Cost:
        costs: list[Cost] = []
        kept: dict[object, int] = {}

        def see(visit: Visit) -> None:
            size = itemsize if "x" in visit.layer.narrow else max(itemsize, 4)  # bytes of the numbers it computes with
            cost = visit.layer.cost(visit.input_shape, size)
            costs.append(cost)
            if cost.keeps_input:
                kept.update({(place, size): math.prod(shape) * size for shape, place in visit.inputs()})
            if cost.keeps_output:
                kept[visit.output_place, size] = math.prod(visit.output_shape) * size

        traverse(self, tuple(input_shape), see)
        return Cost(
            sum(cost.macs for cost in costs),
            extra=sum(kept.values()) + sum(cost.extra for cost in costs),
            workspace=max((cost.workspace for cost in costs), default=0),
        )

    # Children, called.

    def _forward_child(
        self, name: str, x: Array, train: bool, key: Key | None, stand_in: Layer | None = None
    ) -> tuple[Array, Any]:
        """Output and cache of a child, or of what computes in its place and may do more."""
        child = self.children[name] if stand_in is None else stand_in
        with self._inside(name):
            own = {"key": None if key is None else key.child(name)} if child.random else {}
            if self._narrow is not None:
                return self._forward_mixed(child, x, train, own)
            return pair_of(child, "forward", child.forward(x, train=train, **own))

    def _backward_child(
        self,
        name: str,
        dy: Array,
        cache: Any,
        grads: dict[str, Array],
        input_grad: bool = True,
        stand_in: Layer | None = None,
    ) -> Array:
        """
        Gradient at the child's input; those of its parameters that are not frozen are added to `grads`.

        Nothing is computed, and None returned, where nobody needs either.
        """
        if not input_grad and not learns(self.children[name]):
            return None
        child = self.children[name] if stand_in is None else stand_in
        spare = {} if input_grad or not child.spares_input_grad else {"input_grad": False}
        with self._inside(name):
            if self._narrow is not None and isinstance(cache, Kept):
                dx, own = self._backward_mixed(dy, cache, spare)
            else:
                dx, own = pair_of(child, "backward", child.backward(dy, cache, **spare))
        self._collect(name, own, grads)
        return dx

    def _forward_mixed(self, child: Layer, x: Any, train: bool, own: dict[str, Any]) -> tuple[Array, Kept | None]:
        """A child's output in a model that computes in 16 bits, everything cast to what the child takes."""
        narrow, wide = self._home.dtype(str(self._narrow)), self._home.dtype("float32")
        x = cast(x, narrow if "x" in child.narrow else wide)
        if isinstance(child, Container):
            y, cache = child._forward_inside(x, train, own["key"])
        else:
            child = computing(child, narrow)
            y, cache = pair_of(child, "forward", child.forward(x, train=train, **own))
        kept = Kept(child, cache, y.dtype) if train else None
        return cast(y, narrow) if self._rounds or "y" in child.narrow else y, kept

    def _backward_mixed(self, dy: Array, kept: Kept, spare: dict[str, bool]) -> tuple[Any, dict[str, Array]]:
        """As :meth:`_forward_mixed`; gradients of parameters are float32."""
        layer: Layer = kept.layer
        cache, dy = kept.cache, cast(dy, kept.dtype)
        if isinstance(layer, Container):
            dx, own = layer._backward_inside(dy, cache, spare)
        else:
            dx, own = pair_of(layer, "backward", layer.backward(dy, cache, **spare))
        wide = self._home.dtype("float32")
        return cast(dx, self._home.dtype(str(self._narrow))), {name: cast(g, wide) for name, g in own.items()}

    def _forward_inside(self, x: Array, train: bool, key: Key | None) -> tuple[Array, Any]:
        """`forward` as a part of another container, in 16 bits."""
        return pair_of(self, "forward", self.forward(x, train=train, key=key))

    def _backward_inside(self, dy: Array, cache: Any, spare: dict[str, bool]) -> tuple[Any, dict[str, Array]]:
        """As :meth:`_forward_inside`."""
        return pair_of(self, "backward", self.backward(dy, cache, **spare))

    def _collect(self, name: str, own: dict[str, Array], grads: dict[str, Array]) -> None:
        """Add a child's gradients to those of all, but for frozen parameters."""
        for own_name, grad in own.items():
            if own_name in self.children[name].frozen:
                continue
            full = f"{name}.{own_name}"
            path, _, last = full.rpartition(".")
            full = f"{self.aliases.get(path, path)}.{last}"
            grads[full] = grads[full] + grad if full in grads else grad

    @contextmanager
    def _inside(self, name: str) -> Iterator[None]:
        """Say in an error which of many layers it was."""
        try:
            yield
        except (ShapeError, DtypeError, NamespaceError, DeviceMismatchError) as error:
            error.args = (f"{error.args[0]} (layer {name!r} of {type(self).__name__})", *error.args[1:])
            raise

    def _names(self, kind: str) -> Iterator[tuple[str, Layer, str]]:
        for path, leaf in self.leaves():
            if path not in self.aliases:
                for own in getattr(leaf, kind):
                    yield f"{path}.{own}", leaf, own

    def _find_aliases(self) -> dict[str, str]:
        """Names of layers met before under another name: one layer, one set of parameters."""
        first: dict[int, str] = {}
        return {path: first[id(leaf)] for path, leaf in self.leaves() if first.setdefault(id(leaf), path) != path}
