"""Layers made of layers."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from xpcnn import layers as L
from xpcnn import models as M

from .case import Case, few, images, seeds


@st.composite
def smooth(draw, shape, keeps_shape=False):
    """A small layer without kinks that takes images of this shape, for inside of containers."""
    c, seed = shape[1], draw(seeds)
    kinds = ["conv", "tanh", "norm", "sigmoid", "dropout"] + ([] if keeps_shape else ["wider", "pool"])
    kind = draw(st.sampled_from(kinds))
    if kind == "conv" or kind == "wider":
        out = c if kind == "conv" else draw(few)
        args = {"in_channels": c, "out_channels": out, "kernel_size": draw(st.sampled_from([1, 3])), "padding": "same"}
        return Case(L.Conv2d, args, shape, seed), (shape[0], out, *shape[2:])
    if kind == "norm":
        return Case(L.BatchNorm2d, {"num_features": c}, shape, seed), shape
    if kind == "pool":
        return Case(L.AvgPool2d, {"kernel_size": 1}, shape, seed), shape
    if kind == "dropout":
        return Case(L.Dropout, {"p": 0.5}, shape, seed), shape
    return Case(L.Tanh if kind == "tanh" else L.Sigmoid, {}, shape, seed), shape


def batches():
    return images(n=st.integers(2, 3), c=st.integers(1, 2)).filter(lambda s: np.prod(s) // s[1] > 2)


@st.composite
def sequential(draw, shape=None, keeps_shape=False, depth=0):
    start = shape = shape or draw(batches())
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        if depth == 0 and draw(st.integers(0, 3)) == 0:
            part = draw(sequential(shape, keeps_shape=True, depth=1))
        else:
            part, shape = draw(smooth(shape, keeps_shape))
        parts.append(part)
        if part.shape == shape and draw(st.integers(0, 3)) == 0:
            parts.append(part)  # the same layer twice
    if depth == 0 and not keeps_shape and draw(st.booleans()):
        matrix = {"in_features": int(np.prod(shape[1:])), "out_features": 2}
        parts += [Case(L.Flatten, {}, shape), Case(L.Linear, matrix, shape)]
    return Case(M.Sequential, {}, start, draw(seeds), tuple(parts))


@st.composite
def residual(draw):
    shape = draw(batches())
    kind = draw(st.sampled_from(["identity", "sequential", "project"]))
    if kind == "identity":
        return Case(M.Residual, {"body": draw(smooth(shape, True))[0]}, shape, draw(seeds))
    if kind == "sequential":
        args = {"body": draw(sequential(shape, True)), "shortcut": draw(smooth(shape, True))[0]}
        return Case(M.Residual, args, shape, draw(seeds))
    out = draw(few)
    conv = {"in_channels": shape[1], "out_channels": out, "kernel_size": 3, "padding": 1}
    narrow = conv | {"kernel_size": 1, "padding": 0}
    args = {"body": Case(L.Conv2d, conv, shape), "shortcut": Case(L.Conv2d, narrow, shape)}
    return Case(M.Residual, args, shape, draw(seeds))


@st.composite
def concat(draw):
    shape = draw(batches())
    parts = [draw(st.one_of(smooth(shape).map(lambda p: p[0]), sequential(shape, True))) for _ in range(draw(few))]
    if draw(st.booleans()):
        parts.append(parts[0])  # a shared branch
    return Case(M.Concat, {}, shape, draw(seeds), tuple(parts))


@dataclass(frozen=True, eq=False)
class GraphCase(Case):
    """A graph: `parts` are the layers, and ``args["nodes"]`` says the inputs of each by name, in the same order."""

    def layer(self, built=None):
        built = {} if built is None else built
        if id(self) not in built:
            layers = [part.layer(built) for part in self.parts]
            named = zip(layers, self.args["nodes"].items(), strict=True)
            nodes = {name: (layer, *sources) for layer, (name, sources) in named}
            built[id(self)] = M.Graph(nodes, **{k: v for k, v in self.args.items() if k != "nodes"})
        return built[id(self)]


def graph_case(shape, nodes, seed=0, **args):
    """A case from ``{"name": (case, "input", ...)}``."""
    wiring = {name: tuple(sources) for name, (_, *sources) in nodes.items()}
    return GraphCase(M.Graph, {"nodes": wiring, **args}, shape, seed, tuple(part for part, *_ in nodes.values()))


@st.composite
def graph(draw):
    """Any wiring of layers, gates, sums, products and concatenations that leads all of them to one output."""
    shape, entrance = draw(batches()), draw(st.sampled_from(["input", "x"]))
    n, _, *size = shape
    shapes, nodes, used, products = {entrance: shape}, {}, set(), 0

    def node(part, out, *sources):
        name = f"n{len(nodes)}"
        nodes[name], shapes[name] = (part, *sources), out
        used.update(sources)
        return name

    def pick(**only):
        fitting = [name for name, s in shapes.items() if all(s[1] == c for c in only.values())]
        return draw(st.sampled_from(fitting))

    for _ in range(draw(st.integers(1, 5))):
        source = pick()
        c = shapes[source][1]
        kind = draw(st.sampled_from(["layer", "layer", "block", "shared", "add", "multiply", "gate", "concatenate"]))
        if kind in ("multiply", "gate") and products:
            kind = "add"  # products of products grow too fast for differences
        if kind == "layer":
            part, out = draw(smooth(shapes[source]))
            node(part, out, source)
        elif kind == "block":
            node(draw(sequential(shapes[source], True, depth=1)), shapes[source], source)
        elif kind == "shared":
            again = [part for part, *_ in nodes.values() if part.cls is L.Conv2d and part.shape == shapes[source]]
            part = draw(st.sampled_from(again)) if again else Case(L.Tanh, {}, shapes[source])
            node(part, (n, part.args.get("out_channels", c), *size), source)
        elif kind == "gate":
            pooled = node(Case(L.AvgPool2d, {"kernel_size": tuple(size)}, shapes[source]), (n, -1, 1, 1), source)
            node(Case(L.Multiply, {}, ()), shapes[source], source, pooled)
            del shapes[pooled]  # of another size than all others
            products += 1
        elif kind == "concatenate":
            other = pick()
            node(Case(L.Concatenate, {}, ()), (n, c + shapes[other][1], *size), source, other)
        else:
            others = [pick(channels=c) for _ in range(draw(few))]
            products += kind == "multiply"
            node(Case(L.Add if kind == "add" else L.Multiply, {}, ()), shapes[source], source, *others)
    loose = [name for name in shapes if name not in used]
    if len(loose) > 1:
        node(Case(L.Concatenate, {}, ()), (), *loose)
    last, args = next(reversed(nodes)), {}
    if draw(st.booleans()):
        nodes = dict(draw(st.permutations(list(nodes.items()))))
        args["output"] = last
    if entrance != "input":
        args["inputs"] = entrance
    return graph_case(shape, nodes, draw(seeds), **args)


@st.composite
def squeeze_excite(draw):
    shape = draw(images())
    args = {"in_channels": shape[1], "squeeze_channels": draw(st.one_of(st.none(), few))}
    for name in ("activation", "scale_activation"):
        cls = draw(st.sampled_from([None, L.Tanh, L.Sigmoid]))
        if cls is not None:
            args[name] = Case(cls, {}, ())
    return Case(M.SqueezeExcite, args, shape, draw(seeds))


LAYERS = {
    M.Sequential: sequential(),
    M.Residual: residual(),
    M.Concat: concat(),
    M.Graph: graph(),
    M.SqueezeExcite: squeeze_excite(),
}

ON_A_GPU = ("allow_tf32", "deterministic")  # tests/backend/cuda/test_options.py

# options that no strategy varies, and where they are tried instead
EXEMPT = {
    M.Sequential: {"device", "dtype", "seed", "input_shape", *ON_A_GPU},  # tests/models/test_sequential.py
    M.Graph: {"device", "dtype", "seed", "input_shape", *ON_A_GPU},  # tests/models/test_graph.py
}
