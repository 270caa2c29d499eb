"""The table that a model prints of how it is computed, from shapes alone: nothing is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from xpcnn.backend import Array, cast, cpu, cuda, filled, kernel, library
from xpcnn.backend.cpu.caches import working_set
from xpcnn.errors import ConfigError
from xpcnn.layers import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Dropout2d,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    Layer,
    Linear,
    MaxPool2d,
)
from xpcnn.layers.pointwise import KeepsInput, KeepsOutput
from xpcnn.ops.geometry import pair
from xpcnn.settings import count, flag, readable

from .blocks import Residual
from .container import Container, Shape
from .fused import Folded, segments
from .model import Model
from .sequential import Sequential
from .single import SingleLayer
from .summary import asked_shape, table
from .tiled import Segment

__all__ = ["explain"]


# The kernel of a layer that is called by itself.
KERNELS: dict[type, str] = {
    BatchNorm2d: "batch_norm",
    Conv2d: "conv2d",
    Dropout: "dropout",
    Linear: "matmul",
    MaxPool2d: "max_pool2d",
    Residual: "add",
}

# More of them have one for CuPy's arrays.
CUPY_KERNELS: dict[type, str] = {
    **KERNELS,
    AdaptiveAvgPool2d: "adaptive_avg_pool2d",
    AdaptiveMaxPool2d: "adaptive_max_pool2d",
    AvgPool2d: "avg_pool2d",
    BatchNorm1d: "batch_norm",
    Dropout2d: "keep_mask",
    GlobalAvgPool2d: "global_avg_pool2d",
    GlobalMaxPool2d: "adaptive_max_pool2d",
}

# For what NumPy's leaves the work to the generic body, as the kernels say themselves; of a layer and a batch's shape.
LACKS: dict[type, Callable[[Any, Shape], str]] = {
    BatchNorm2d: lambda _, shape: cpu.ops.lacks("batch_norm", shape),
    Conv2d: lambda layer, _: cpu.Convolution.lacks(layer.groups),
    Dropout: lambda _, shape: cpu.ops.lacks("dropout", shape),
    MaxPool2d: lambda layer, _: cpu.MaxPool.lacks(pair("", "", layer.kernel_size), pair("", "", layer.dilation)),
}

# what the modules of kernels for CuPy's arrays call, where that is no file beside them
_LIBRARIES = {"conv": "cuDNN", "blas": "cuBLAS", "elementwise": "its formula"}


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
    shape = asked_shape(who, model, input_shape)
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
        mixed = model.dtype != model.params_dtype
        self.tiled = kernel("run", self.library) is not None and not mixed
        if self.tiled:
            threads = cpu.get_num_threads()
            sizes = f"level 2 cache of {readable(cpu.level2())}, tiles of about {readable(working_set())}"
            self.where = f"{threads} thread{'s' * (threads > 1)}, {sizes}"
        elif kernel("run", "numpy") is None:
            self.where = "all is generic: XPCNN_KERNELS=generic turns kernels off"
        elif mixed and self.library == "numpy":
            self.where = f"no tiles: each layer computes in float32, and is rounded to {model.dtype}"
        else:
            self.where = f"no tiles: arrays are {self.library}'s, and tiles are for NumPy's"

    def see(self, container: Container, shape: Shape, path: str) -> None:
        """All layers inside of a container, for one input of that shape."""
        shapes: dict[str, Shape] = {}

        def step(name: str, child: Layer, shape: Shape, where: object) -> tuple[Shape, object]:
            shapes[name] = shape
            return child.output_shape(shape), object()

        container.walk(shape, "input", step)
        kind, alone, found = type(container).__name__, "", [Segment((name,)) for name in shapes]
        if not isinstance(container, Sequential):
            alone = f"a {kind} computes layers one by one"
        else:
            found = container._segments(self._like(shape), self.train)
            if self.train and (least := container.min_batch(shape)) > self.batch:
                alone = f"it takes batches of at least {least}"
        place = _Place(container, path, alone)
        for segment, behind in zip_longest(found, found[1:]):
            if segment.run is not None:
                self._see_run(place, segment, behind)
                continue
            name = segment.names[0]
            child = container.children[name]
            if segment.fused is not None:
                self._see_fused(place, segment, shapes)
            elif isinstance(child, Container):
                self.see(child, shapes[name], place.named(name))
            else:
                why = f": {_why(place, child)}" if self.tiled else ""
                self._row(place.named(name), child, "", self._body(child, shapes[name], self.batch) + why)
        if isinstance(container, Residual):
            how = self._body(container, container.output_shape(shape), self.batch)
            with_relu = " with ReLU" if container.rectified and how.startswith("kernel") else ""
            if self._adding(container, shape):
                how = f"in the convolution before it where cuDNN has a plan, else {how}"
            self._row(path, container, "", f"the sum: {how}{with_relu}")

    def _adding(self, block: Residual, shape: Shape) -> Container | None:
        """What computes the body of a block with the sum; None where nothing does."""
        return None if self.train else block.adding(self._like(block.output_shape(shape)))

    def _see_fused(self, place: _Place, segment: Segment, shapes: dict[str, Shape]) -> None:
        """Layers that have one to stand in for them."""
        children, (name, *behind) = place.container.children, segment.names
        first, stand_in = children[name], segment.fused
        if isinstance(stand_in, Container):
            self.see(stand_in, shapes[name], place.named(name))
            together = True
        else:
            how = self._body(first, shapes[name], self.batch)
            together = how.startswith("kernel") and (type(first) is not Linear or first.bias)
            if isinstance(stand_in, Folded) and not (together and self._pays(first, shapes[name])):
                for part in segments({name: children[name] for name in segment.names}, train=True):
                    if part.fused is not None:
                        self._see_fused(place, part, shapes)
                    else:
                        self._row(place.named(name), first, "", how)
                return
            with_all = " and ".join(type(children[name]).__name__ for name in behind)
            self._row(place.named(name), first, "", f"{how}, with {with_all}" if together else how)
        for name in behind:
            own = "in the kernel before it" if together else self._body(children[name], shapes[name], self.batch)
            self._row(place.named(name), children[name], "", own)

    def _pays(self, conv: Any, shape: Shape) -> bool:
        weights, outputs = conv.params["weight"].size, self.batch * math.prod(conv.output_shape(shape))
        return cuda.cudnn.folding_pays(weights, outputs, self.model.dtype == self.model.params_dtype)

    def _see_run(self, place: _Place, segment: Segment, behind: Segment | None) -> None:
        children, number = place.container.children, str(len(self.runs) + 1)
        tiles = segment.run.tiles(self.batch)
        sizes = sorted({stop - start for start, stop in tiles})
        for i, (name, node) in enumerate(zip(segment.order, segment.run.nodes, strict=True)):
            how = node.describe(self.batch)
            if isinstance(node, SingleLayer):
                shape = node.shape[-1:] + node.shape[:-1]  # channels first
                how = f"{self._body(children[name], shape, sizes[-1])}, in the tile"
            # those that it stands behind in the network, and is computed before
            passed = [n for n in segment.order[i + 1 :] if segment.names.index(n) < segment.names.index(name)]
            if passed:
                late = " and ".join(type(children[n]).__name__ for n in passed)
                how += f"; {type(children[name]).__name__} before {late}"
            self._row(place.named(name), children[name], number, how)
            for _, norm, layer in (found for found in segment.norms if found[0] == i):
                self._row(place.named(norm), layer, number, "folded into the convolution before it")
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

    def _body(self, layer: Layer, shape: Shape, samples: int) -> str:
        """What computes a layer that is called by itself, for so many samples of that shape."""
        if isinstance(layer, (Dropout, Dropout2d)) and not (self.train and layer.p):
            return "nothing to drop"
        on_gpu = self.library == "cupy"
        if on_gpu and isinstance(layer, (KeepsInput, KeepsOutput)) and kernel("elementwise", "cupy"):
            return "one kernel each way, made from its formula"
        op = (CUPY_KERNELS if on_gpu else KERNELS).get(type(layer))
        known = None if op is None else kernel(op, self.library)
        if known is None:
            return "generic"
        if on_gpu:
            source = known.__module__.rpartition(".")[2]
            if known.__module__.endswith(".cudnn.conv"):
                if self.model.dtype == "float64":
                    return "generic, since cuDNN is not asked for float64"
                if not cuda.cudnn.versions():
                    return "generic for want of cuDNN"
            back = f" and {op}_backward" if self.train and kernel(f"{op}_backward", "cupy") else ""
            return f"kernel {op}{back} of {_LIBRARIES.get(source, f'backend/cuda/{source}.cu')}"
        lacks = LACKS.get(type(layer)) if self.library == "numpy" else None
        why = lacks(layer, (samples, *shape)) if lacks else ""
        return f"generic for {why}" if why else f"kernel {op}"

    def _row(self, path: str, layer: Layer, run: str, how: str) -> None:
        self.rows.append((path, type(layer).__name__, run, how))

    def _like(self, shape: Shape) -> Array:
        """A batch of samples of that shape, as the model takes them: one zero, seen often."""
        home = self.model.home
        with home.active():
            zero = home.asarray(filled((1,) * (len(shape) + 1), 0.0), self.model.params_dtype)
            zero = cast(zero, home.dtype(self.model.dtype))
            return home.xp.broadcast_to(zero, (self.batch, *shape))


def _why(place: _Place, layer: Layer) -> str:
    """Why a layer is in no run."""
    if place.alone:
        return place.alone
    kind = type(layer).__name__
    return f"{kind} with large weights takes the whole batch" if type(layer) is Linear else f"no tiles for {kind}"
