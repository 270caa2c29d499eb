"""The table that a model prints of how it is computed, from shapes alone: nothing is computed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from xpcnn.backend import Array, cpu, filled, kernel, library
from xpcnn.errors import ConfigError
from xpcnn.layers import BatchNorm2d, Conv2d, Dropout, Layer, Linear, MaxPool2d
from xpcnn.settings import count, flag

from .blocks import Residual
from .container import Container, Shape
from .model import Model
from .sequential import Sequential
from .single import SingleLayer
from .summary import readable, table
from .tiled import Segment

__all__ = ["explain"]

# Options that kernels may lack, with the value that all of them have.
OPTIONS: dict[type, dict[str, Any]] = {
    Conv2d: {"groups": 1},
    MaxPool2d: {"padding": 0, "dilation": 1, "ceil_mode": False},
}
# The kernels of layers outside of runs, and the options that these lack.
KERNELS: dict[type, tuple[str, set[str]]] = {
    BatchNorm2d: ("batch_norm", set()),
    Conv2d: ("conv2d", {"groups"}),
    Dropout: ("dropout", set()),
    Linear: ("matmul", set()),
    MaxPool2d: ("max_pool2d", {"dilation", "ceil_mode"}),
    Residual: ("add", set()),
}


class _Run(NamedTuple):
    """A line of the second table."""

    layers: str
    samples: str
    nbytes: str
    tiles: str
    ends: str


class _Place(NamedTuple):
    """Where in the model a layer stands: in which container, whose path is that; and why that has no runs, if so."""

    container: Container
    path: str
    alone: str

    def named(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def explain(model: Model, input_shape: Sequence[int] | None, batch: int, train: bool) -> str:
    """Table of how a model is computed; see `Model.explain`."""
    who = f"{type(model).__name__}.explain"
    batch, train = count(who, "batch", batch), flag(who, "train", train)
    shape = model.input_shape if input_shape is None else model._shape_in(input_shape)
    if shape is None:
        message = f"{who}: expected input_shape, got None: give explain((C, H, W)), or make the model with input_shape="
        raise ConfigError(message)
    model.output_shape(shape)  # raises for a shape that does not fit
    found = _Execution(model, batch, train)
    found.see(model, shape, "")
    what = "training" if train else "inference"
    lines = [f"{what} on {model.device} in {model.dtype}, batch of {batch}; {found.where}", ""]
    lines += table([("name", "layer", "run", "how it is computed"), *found.rows], right=(2,))
    if found.runs:
        title = ("run", "layers", "samples a tile", "bytes of a tile", "tiles", "ends, because")
        runs = [(str(i), *run) for i, run in enumerate(found.runs, start=1)]
        lines += ["", *table([title, *runs], right=(0, 2, 3, 4))]
    return "\n".join(lines)


class _Execution:
    """What is found of a model's layers, in the order in which they are computed."""

    def __init__(self, model: Model, batch: int, train: bool) -> None:
        self.model, self.batch, self.train = model, batch, train
        self.rows: list[tuple[str, ...]] = []
        self.runs: list[_Run] = []
        self.library = library(self._like((1,)))
        self.tiled = kernel("run", self.library) is not None
        if self.tiled:
            threads = cpu.get_num_threads()
            self.where = f"{threads} thread{'s' * (threads > 1)}, level 2 cache of {readable(cpu.level2())}"
        elif kernel("run", "numpy") is None:
            self.where = "all is generic: XPCNN_KERNELS=generic turns kernels off"
        else:
            self.where = f"all is generic: arrays are {self.library}'s, and tiles are for NumPy's"

    def see(self, container: Container, shape: Shape, path: str) -> None:
        """All layers inside of a container, for one input of that shape."""
        shapes: dict[str, Shape] = {}

        def step(name: str, child: Layer, shape: Shape, where: object) -> tuple[Shape, object]:
            shapes[name] = shape
            return child.output_shape(shape), object()

        container.walk(shape, "input", step)
        kind, alone, segments = type(container).__name__, "", [Segment((name,)) for name in shapes]
        if not isinstance(container, Sequential):
            alone = f"a {kind} computes layers one by one"
        else:
            segments = container._segments(self._like(shape), self.train)
            if (least := container.min_batch(shape)) > self.batch:
                alone = f"it takes batches of at least {least}"
        place = _Place(container, path, alone)
        for segment, behind in zip_longest(segments, segments[1:]):
            if segment.run is not None:
                self._see_run(place, segment, behind)
                continue
            name = segment.names[0]
            child = container.children[name]
            if isinstance(child, Container):
                self.see(child, shapes[name], place.named(name))
            else:
                why = f": {_why(place, child)}" if self.tiled else ""
                self._row(place.named(name), child, "", self._alone(child) + why)
        if isinstance(container, Residual):
            self._row(path, container, "", f"the sum {self._alone(container)}")

    def _see_run(self, place: _Place, segment: Segment, behind: Segment | None) -> None:
        children, number = place.container.children, str(len(self.runs) + 1)
        for i, (name, node) in enumerate(zip(segment.order, segment.run.nodes, strict=True)):
            how = node.describe(self.batch)
            if isinstance(node, SingleLayer) and _odd(children[name]):
                how += f": no kernel with {_said(_odd(children[name]))}"
            # those that it stands behind in the network, and is computed before
            passed = [n for n in segment.order[i + 1 :] if segment.names.index(n) < segment.names.index(name)]
            if passed:
                late = " and ".join(type(children[n]).__name__ for n in passed)
                how += f"; {type(children[name]).__name__} before {late}"
            self._row(place.named(name), children[name], number, how)
        tiles = segment.run.tiles(self.batch)
        sizes = sorted({stop - start for start, stop in tiles})
        ends = dict.fromkeys(place.named(name) for name in (segment.names[0], segment.names[-1]))
        self.runs.append(
            _Run(
                " to ".join(ends),
                " or ".join(map(str, sizes)),
                readable(segment.run.bytes * sizes[-1]),
                str(len(tiles)),
                self._end(place, behind),
            )
        )

    def _end(self, place: _Place, behind: Segment | None) -> str:
        """Why a run goes no further."""
        if behind is None:
            return f"{place.path or 'the network'} is over"
        child = place.container.children[behind.names[0]]
        if behind.run is not None:
            return f"{type(child).__name__} needs the whole batch first"
        return f"{type(child).__name__} has layers inside" if isinstance(child, Container) else _why(place, child)

    def _alone(self, layer: Layer) -> str:
        """How a layer outside of all runs is computed."""
        op, lacks = KERNELS.get(type(layer), ("", set()))
        if op and not lacks & _odd(layer).keys() and kernel(op, self.library) is not None:
            return f"by itself, kernel {op}"
        return "generic"

    def _row(self, path: str, layer: Layer, run: str, how: str) -> None:
        self.rows.append((path, type(layer).__name__, run, how))

    def _like(self, shape: Shape) -> Array:
        """A batch of samples of that shape, as the model takes them: one zero, seen often."""
        home = self.model.home
        with home.active():
            zero = home.asarray(filled((1,) * (len(shape) + 1), 0.0), self.model.dtype)
            return home.xp.broadcast_to(zero, (self.batch, *shape))


def _why(place: _Place, layer: Layer) -> str:
    """Why a layer is in no run."""
    if place.alone:
        return place.alone
    kind = type(layer).__name__
    return f"{kind} with large weights takes the whole batch" if type(layer) is Linear else f"no tiles for {kind}"


def _odd(layer: Layer) -> dict[str, Any]:
    """Options with values that kernels may lack."""
    known = OPTIONS.get(type(layer), {})
    config = layer.config() if known else {}
    return {name: config[name] for name, usual in known.items() if config[name] not in (usual, (usual,) * 2)}


def _said(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())
