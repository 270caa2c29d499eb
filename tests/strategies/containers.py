"""Layers made of layers."""

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


LAYERS = {M.Sequential: sequential(), M.Residual: residual(), M.Concat: concat()}

# options that no strategy varies, and where they are tried instead
EXEMPT = {
    M.Sequential: {"device", "dtype", "seed", "input_shape"},  # tests/models/test_sequential.py
}
