"""Layers made of layers."""

from tests.strategies import Case
from tests.strategies.containers import graph_case
from xpcnn import layers as L
from xpcnn import models as M

from .common import IMAGE
from .conv import conv


def _containers():
    c3 = conv(IMAGE, padding=1)
    norm = Case(L.BatchNorm2d, {"num_features": 2}, IMAGE)
    relu = Case(L.LeakyReLU, {}, IMAGE)
    body = Case(M.Sequential, {}, IMAGE, parts=(c3, norm, relu))
    yield "residual", Case(M.Residual, {"body": body}, IMAGE)
    yield "residual with shortcut", Case(
        M.Residual, {"body": conv(IMAGE, 3, stride=2, padding=1), "shortcut": conv(IMAGE, 3, 1, stride=2)}, IMAGE
    )
    yield "concat", Case(M.Concat, {}, IMAGE, parts=(conv(IMAGE, 1, 1), body, conv(IMAGE, 3, padding="same")))
    tail = (Case(L.Flatten, {}, IMAGE), Case(L.Linear, {"in_features": 60, "out_features": 3}, (2, 60)))
    yield "nested, one layer twice", Case(M.Sequential, {}, IMAGE, parts=(c3, relu, c3, body, *tail))
    gate = (Case(L.AvgPool2d, {"kernel_size": (6, 5)}, IMAGE), "norm")
    nodes = {
        "head": (Case(L.Linear, {"in_features": 5, "out_features": 3}, (2, 5)), "flat"),  # not in order
        "stem": (c3, "input"),
        "again": (c3, "norm"),
        "norm": (norm, "stem"),
        "gate": gate,
        "gated": (Case(L.Multiply, {}, ()), "gate", "again"),
        "sum": (Case(L.Add, {}, ()), "gated", "stem", "input"),
        "square": (Case(L.Multiply, {}, ()), "sum", "sum"),
        "wide": (Case(L.Concatenate, {}, ()), "square", "stem", "norm"),
        "narrow": (conv((2, 6, 6, 5), 5, 1), "wide"),
        "flat": (Case(L.GlobalAvgPool2d, {}, (2, 5, 6, 5)), "narrow"),
    }
    yield "graph", graph_case(IMAGE, nodes, output="head")
    yield "graph of one node", graph_case(IMAGE, {"only": (norm, "x")}, inputs="x")
    block = {"a": (body, "input"), "sum": (Case(L.Add, {}, ()), "input", "a", "a")}
    inner = graph_case(IMAGE, block)
    yield "graphs inside", Case(M.Sequential, {}, IMAGE, parts=(c3, inner, graph_case(IMAGE, block)))
    yield "squeeze and excite", Case(M.SqueezeExcite, {"in_channels": 2}, IMAGE)
    tanh, sigmoid = Case(L.Tanh, {}, ()), Case(L.Sigmoid, {}, ())
    args = {"in_channels": 2, "squeeze_channels": 3, "activation": tanh, "scale_activation": tanh}
    yield "squeeze and excite, other functions", Case(M.SqueezeExcite, args, IMAGE)
    twice = {"in_channels": 2, "squeeze_channels": 1, "activation": sigmoid}
    yield "squeeze and excite twice", Case(M.Sequential, {}, IMAGE, parts=(Case(M.SqueezeExcite, twice, IMAGE),) * 2)


LAYERS: dict[str, Case] = dict(_containers())
