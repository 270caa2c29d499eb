"""
One hypothesis strategy for each layer and loss, which varies every option of its constructor.

Inputs are distinct numbers, spread evenly around zero without it: no two are closer than `Case.gap` and none is closer
to zero than half of that, so that no difference quotient steps over a tie or a kink.
"""

import inspect
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from xpcnn import layers as L
from xpcnn import models as M
from xpcnn.backend import Key, normal, permutation, uniform


@dataclass(frozen=True, eq=False)
class Case:
    """A layer to build and the shape of its input, batch included."""

    cls: type
    args: dict[str, Any]
    shape: tuple[int, ...]
    seed: int = 0
    parts: tuple["Case", ...] = field(default=())

    def layer(self, built: dict[int, Any] | None = None):
        """A fresh layer; a case that stands twice in a container becomes one layer at two places."""
        built = {} if built is None else built
        if id(self) not in built:
            parts = [part.layer(built) for part in self.parts]
            args = {k: v.layer(built) if isinstance(v, Case) else v for k, v in self.args.items()}
            built[id(self)] = self.cls(*parts, **args)
        return built[id(self)]

    @property
    def gap(self) -> float:
        return 6.0 / (np.prod(self.shape) + 1)

    def x(self) -> np.ndarray:
        n = int(np.prod(self.shape))
        places = permutation(n, Key(self.seed, "x")) - n // 2
        return ((places + 0.5) * self.gap).reshape(self.shape)

    def __repr__(self) -> str:
        inner = [*map(repr, self.parts), *(f"{k}={v!r}" for k, v in self.args.items())]
        return f"{self.cls.__name__}({', '.join(inner)}) of {self.shape}, seed {self.seed}"


seeds = st.integers(0, 2**20)
few = st.integers(1, 3)


def either(element):
    """A number, or a pair (height, width)."""
    return st.one_of(element, st.tuples(element, element))


def both(value) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def borders(padding, reach) -> tuple[int, int]:
    """Rows and columns that a padding adds, for the strategies' own arithmetic."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        return reach[0] - 1, reach[1] - 1
    if isinstance(padding, tuple) and len(padding) == 4:
        return padding[2] + padding[3], padding[0] + padding[1]
    return 2 * both(padding)[0], 2 * both(padding)[1]


@st.composite
def image_sizes(draw, kernel, dilation, padding):
    """Heights and widths from the smallest that fits the kernel, with rows and columns that no window reaches."""
    reach = [d * (k - 1) + 1 for k, d in zip(both(kernel), both(dilation), strict=True)]
    added = borders(padding, reach)
    return tuple(max(1, r - a) + draw(st.integers(0, 3)) for r, a in zip(reach, added, strict=True))


@st.composite
def conv2d(draw):
    groups = draw(few)
    args = {
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 2)),
        "kernel_size": draw(either(few)),
        "dilation": draw(either(few)),
        "groups": groups,
        "bias": draw(st.booleans()),
        "init": draw(st.sampled_from(["he_normal", "xavier_uniform"])),
    }
    small = st.integers(0, 2)
    words = st.sampled_from(["same", "valid"])
    args["padding"] = draw(st.one_of(either(small), st.tuples(small, small, small, small), words))
    args["stride"] = 1 if args["padding"] == "same" else draw(either(st.integers(1, 4)))
    size = draw(image_sizes(args["kernel_size"], args["dilation"], args["padding"]))
    return Case(L.Conv2d, args, (draw(few), args["in_channels"], *size), draw(seeds))


@st.composite
def linear(draw):
    args = {
        "in_features": draw(st.integers(1, 5)),
        "out_features": draw(st.integers(1, 5)),
        "bias": draw(st.booleans()),
        "init": draw(st.sampled_from(["he_normal", "xavier_uniform"])),
    }
    return Case(L.Linear, args, (draw(few), args["in_features"]), draw(seeds))


@st.composite
def pool_args(draw):
    kernel = draw(either(few))
    most = [k // 2 for k in both(kernel)]
    high, wide = st.integers(0, most[0]), st.integers(0, most[1])
    padding = draw(st.one_of(st.integers(0, min(most)), st.tuples(high, wide), st.tuples(wide, wide, high, high)))
    return {
        "kernel_size": kernel,
        "stride": draw(st.one_of(st.none(), either(st.integers(1, 4)))),
        "padding": padding,
        "ceil_mode": draw(st.booleans()),
    }


@st.composite
def max_pool2d(draw):
    args = draw(pool_args())
    # with dilation a window may hold nothing but padding; then there is no maximum to speak of
    args["dilation"] = 1 if any(borders(args["padding"], (1, 1))) else draw(either(few))
    size = draw(image_sizes(args["kernel_size"], args["dilation"], args["padding"]))
    return Case(L.MaxPool2d, args, (draw(few), draw(few), *size), draw(seeds))


@st.composite
def avg_pool2d(draw):
    args = draw(pool_args()) | {"count_include_pad": draw(st.booleans())}
    size = draw(image_sizes(args["kernel_size"], 1, args["padding"]))
    return Case(L.AvgPool2d, args, (draw(few), draw(few), *size), draw(seeds))


@st.composite
def images(draw, n=few, c=few):
    return draw(n), draw(c), draw(st.integers(1, 4)), draw(st.integers(1, 4))


@st.composite
def any_rank(draw):
    """Features, sequences or images."""
    return tuple(draw(st.lists(few, min_size=2, max_size=4)))


def batch_norm(cls, shapes):
    @st.composite
    def strategy(draw):
        shape = draw(shapes)
        if np.prod(shape) // shape[1] < 3:  # with two values the output is +-1, whatever they are
            shape = (3, *shape[1:])
        args = {
            "num_features": shape[1],
            "eps": draw(st.sampled_from([1e-5, 1e-3, 0.5])),
            "momentum": draw(st.sampled_from([0.1, 0.0, 1.0, 0.7, None])),
            "affine": draw(st.booleans()),
            "track_running_stats": draw(st.booleans()),
        }
        return Case(cls, args, shape, draw(seeds))

    return strategy()


@st.composite
def dropout(draw):
    return Case(L.Dropout, {"p": draw(st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]))}, draw(any_rank()), draw(seeds))


def plain(cls, shapes):
    return st.builds(lambda shape, seed: Case(cls, {}, shape, seed), shapes, seeds)


@st.composite
def leaky_relu(draw):
    slope = draw(st.sampled_from([0.01, 0.0, 0.5, 1.0, 2.0, -0.3]))
    return Case(L.LeakyReLU, {"negative_slope": slope}, draw(any_rank()), draw(seeds))


def softmaxes(cls):
    @st.composite
    def strategy(draw):
        shape = draw(any_rank())
        rank = len(shape)
        dim = draw(st.sampled_from([d for d in range(-rank + 1, rank) if d]))
        return Case(cls, {"dim": dim}, shape, draw(seeds))

    return strategy()


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


LAYERS = {
    L.Conv2d: conv2d(),
    L.Linear: linear(),
    L.MaxPool2d: max_pool2d(),
    L.AvgPool2d: avg_pool2d(),
    L.GlobalAvgPool2d: plain(L.GlobalAvgPool2d, images()),
    L.BatchNorm1d: batch_norm(L.BatchNorm1d, st.one_of(st.tuples(few, few), st.tuples(few, few, few))),
    L.BatchNorm2d: batch_norm(L.BatchNorm2d, images()),
    L.Dropout: dropout(),
    L.Flatten: plain(L.Flatten, any_rank()),
    L.ReLU: plain(L.ReLU, any_rank()),
    L.LeakyReLU: leaky_relu(),
    L.Sigmoid: plain(L.Sigmoid, any_rank()),
    L.Tanh: plain(L.Tanh, any_rank()),
    L.Softmax: softmaxes(L.Softmax),
    L.LogSoftmax: softmaxes(L.LogSoftmax),
    M.Sequential: sequential(),
    M.Residual: residual(),
    M.Concat: concat(),
}


@dataclass(frozen=True, eq=False)
class LossCase:
    """A loss to build, a prediction and a target."""

    cls: type
    args: dict[str, Any]
    prediction: np.ndarray
    target: np.ndarray

    def loss(self):
        return self.cls(**self.args)

    def __repr__(self) -> str:
        return f"{self.cls.__name__}({self.args}) of {self.prediction.tolist()} at {self.target.tolist()}"


@st.composite
def softmax_cross_entropy(draw):
    n, k, seed = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(seeds)
    ignore = draw(st.sampled_from([-100, 0, 2]))
    args = {
        "weight": draw(st.one_of(st.none(), st.lists(st.sampled_from([0.25, 1.0, 3.0]), min_size=k, max_size=k))),
        "ignore_index": ignore,
        "label_smoothing": draw(st.sampled_from([0.0, 0.1, 0.75, 1.0])),
    }
    if draw(st.booleans()):
        q = uniform((n, k), Key(seed, "q")) + 0.01
        target = q / q.sum(axis=1, keepdims=True)
    else:
        labels = [i for i in range(k) if i != ignore] or [ignore]
        target = np.asarray([draw(st.sampled_from([*labels, ignore])) for _ in range(n)], dtype=np.int64)
        if labels != [ignore]:
            target[0] = labels[0]  # with every sample ignored there is nothing to average
        elif k == 1:
            args["ignore_index"] = -100
    if target.dtype == np.int64 and args["ignore_index"] == -100:
        target = target.astype(draw(st.sampled_from(["int64", "int32", "uint8"]))) if target.min() >= 0 else target
    return LossCase(L.SoftmaxCrossEntropy, args, normal((n, k), Key(seed, "z")), target)


@st.composite
def mse(draw):
    shape, seed = draw(any_rank()), draw(seeds)
    return LossCase(L.MSE, {}, normal(shape, Key(seed, "x")), normal(shape, Key(seed, "t")))


LOSSES = {L.SoftmaxCrossEntropy: softmax_cross_entropy(), L.MSE: mse()}

# Options of the constructors that no strategy varies, and where they are tried instead.
EXEMPT = {
    M.Sequential: {"device", "dtype", "seed", "input_shape"},  # tests/models/test_sequential.py
}


def options(cls: type) -> set[str]:
    """Names of a constructor's arguments; ``*layers`` counts as one."""
    return set(inspect.signature(cls).parameters) - EXEMPT.get(cls, set())
