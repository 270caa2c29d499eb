"""
The recorded cases: layers with options and shapes, and inputs that need no generator of random numbers.

Inputs are small multiples of 1/8, so that sums and products of them are exact in float64 in any order.
"""

import numpy as np

from tests.strategies import Case, LossCase
from xpcnn import layers as L
from xpcnn import models as M
from xpcnn.backend import to_numpy


def numbers(shape, seed: int, span: int = 31) -> np.ndarray:
    """Multiples of 1/8 from about -2 to 2, with repetitions: a fixed scramble of 0, 1, 2, ..."""
    i = np.arange(int(np.prod(shape)), dtype=np.int64) + 97 * seed
    scrambled = (i * i * 7 + i * 11 + 3 * seed) % 1009 % span
    return ((scrambled - span // 2) / 8.0).reshape(shape)


def state(case: Case) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Parameters and buffers that a case starts from."""
    layer = case.layer()
    params = {name: numbers(p.shape, 3 + i, 15) for i, (name, p) in enumerate(layer.params.items())}
    buffers = {}
    for i, (name, b) in enumerate(layer.buffers.items()):
        values = numbers(b.shape, 13 + i, 15)
        buffers[name] = np.asarray(2) if name.endswith("tracked") else np.abs(values) + 0.5 if "var" in name else values
    return params, buffers


def output_gradient(case: Case) -> np.ndarray:
    shape = (case.shape[0], *case.layer().output_shape(case.shape[1:]))
    return numbers(shape, 5, 17)


def ours(case: Case, space, train: bool = True) -> dict[str, np.ndarray]:
    """xpcnn's answer on an array library, by the names that the recording has."""
    layer = space.settle(case.layer())
    params, buffers = state(case)
    for own, values in ((layer.params, params), (layer.buffers, buffers)):
        for name, value in values.items():
            own[name] = space.asarray(value)
    y, cache = layer.forward(space.asarray(numbers(case.shape, 1)), train=train)
    if not train:
        return {"y": to_numpy(y)}
    dx, grads = layer.backward(space.asarray(output_gradient(case)), cache)
    out = {"y": y, "dx": dx, **{f"d {n}": g for n, g in grads.items()}, **layer.buffers}
    return {name: to_numpy(a) for name, a in out.items()}


def ours_of_loss(case: LossCase, space) -> dict[str, np.ndarray]:
    value, gradient = case.loss()(space.asarray(case.prediction), space.asarray(case.target))
    return {"value": to_numpy(value), "gradient": to_numpy(gradient)}


def _conv(shape, out=2, kernel=3, **args):
    groups = args.get("groups", 1)
    return Case(L.Conv2d, {"in_channels": shape[1], "out_channels": out * groups, "kernel_size": kernel, **args}, shape)


IMAGE = (2, 2, 6, 5)
THREE = (1, 2, 7, 8)

LAYERS: dict[str, Case] = {
    "conv": _conv(IMAGE),
    "conv one of everything": _conv((1, 1, 1, 1), 1, 1),
    "conv no bias": _conv(IMAGE, bias=False),
    "conv 1x1": _conv(IMAGE, 3, 1),
    "conv kernel fills the image": _conv(IMAGE, 2, (6, 5)),
    "conv kernel (1, 3)": _conv(IMAGE, kernel=(1, 3)),
    "conv kernel (3, 2)": _conv(IMAGE, kernel=(3, 2)),
    "conv stride 2, unused border": _conv(IMAGE, stride=2),
    "conv stride (1, 3)": _conv(IMAGE, stride=(1, 3)),
    "conv stride beyond the kernel": _conv(THREE, kernel=2, stride=3),
    "conv padding 1": _conv(IMAGE, padding=1),
    "conv padding (0, 2)": _conv(IMAGE, padding=(0, 2)),
    "conv padding (1, 0), stride (2, 1)": _conv(IMAGE, padding=(1, 0), stride=(2, 1)),
    "conv four paddings": _conv(IMAGE, padding=(0, 1, 2, 3)),
    "conv four paddings, stride 2": _conv(IMAGE, padding=(3, 0, 0, 1), stride=2),
    "conv same": _conv(IMAGE, padding="same"),
    "conv same, even kernel": _conv(IMAGE, kernel=(2, 4), padding="same"),
    "conv same, dilation": _conv(IMAGE, kernel=2, padding="same", dilation=(3, 2)),
    "conv valid": _conv(IMAGE, padding="valid", stride=2),
    "conv dilation 2": _conv(THREE, dilation=2),
    "conv dilation (1, 3)": _conv(THREE, kernel=(3, 2), dilation=(1, 3)),
    "conv dilation, stride, padding": _conv(THREE, dilation=(2, 3), stride=(2, 1), padding=(1, 2)),
    "conv two groups": _conv((2, 4, 4, 5), 1, groups=2),
    "conv three groups of two": _conv((1, 6, 4, 4), 2, 2, groups=3),
    "conv depthwise": _conv((2, 3, 5, 4), 1, groups=3, padding=1),
    "conv depthwise, two each, stride": _conv((2, 3, 5, 4), 2, 2, groups=3, stride=2, bias=False),
    "linear": Case(L.Linear, {"in_features": 5, "out_features": 3}, (4, 5)),
    "linear no bias": Case(L.Linear, {"in_features": 5, "out_features": 3, "bias": False}, (4, 5)),
    "linear one by one": Case(L.Linear, {"in_features": 1, "out_features": 1}, (1, 1)),
}


def _pools():
    both = {
        "2": {"kernel_size": 2},
        "1": {"kernel_size": 1},
        "3 stride 2": {"kernel_size": 3, "stride": 2},
        "3 stride 1": {"kernel_size": 3, "stride": 1},
        "(2, 3)": {"kernel_size": (2, 3)},
        "(3, 1) stride (1, 2)": {"kernel_size": (3, 1), "stride": (1, 2)},
        "2 stride 3": {"kernel_size": 2, "stride": 3},
        "3 padding 1": {"kernel_size": 3, "padding": 1},
        "(2, 3) padding (1, 0) stride 2": {"kernel_size": (2, 3), "padding": (1, 0), "stride": 2},
        "4 padding four": {"kernel_size": 4, "stride": 2, "padding": (0, 2, 1, 0)},
        "2 ceil": {"kernel_size": 2, "ceil_mode": True},
        "3 stride 2 padding 1 ceil": {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        "2 stride (3, 2) ceil": {"kernel_size": 2, "stride": (3, 2), "ceil_mode": True},
        "(3, 2) stride 3 padding 1 ceil": {"kernel_size": (3, 2), "stride": 3, "padding": 1, "ceil_mode": True},
        "2 stride 4 padding 1 ceil": {"kernel_size": 2, "stride": 4, "padding": 1, "ceil_mode": True},
    }
    for name, args in both.items():
        for shape in (IMAGE, (1, 1, 7, 7)):
            yield f"max pool {name} of {shape[2:]}", Case(L.MaxPool2d, args, shape)
            yield f"avg pool {name} of {shape[2:]}", Case(L.AvgPool2d, args, shape)
            if "padding" in args and len(str(args["padding"])) < 9:
                without = args | {"count_include_pad": False}
                yield f"avg pool {name} of {shape[2:]}, border not counted", Case(L.AvgPool2d, without, shape)
    yield "max pool dilation 2", Case(L.MaxPool2d, {"kernel_size": 2, "dilation": 2, "stride": 1}, THREE)
    yield "max pool dilation (1, 3)", Case(L.MaxPool2d, {"kernel_size": (3, 2), "dilation": (1, 3), "stride": 2}, THREE)
    yield "max pool dilation 2 ceil", Case(L.MaxPool2d, {"kernel_size": 2, "dilation": 2, "ceil_mode": True}, THREE)
    for k, p, d in ((2, 1, 2), (3, 1, 2), ((3, 2), (1, 1), (2, 1)), (4, 2, 2)):
        args = {"kernel_size": k, "padding": p, "dilation": d, "stride": 1}
        yield f"max pool {k} dilation {d} padding {p}", Case(L.MaxPool2d, args, THREE)
        args = args | {"ceil_mode": True, "stride": 2}
        yield f"max pool {k} dilation {d} padding {p} ceil", Case(L.MaxPool2d, args, THREE)
    yield "max pool of more than 256", Case(L.MaxPool2d, {"kernel_size": 17}, (1, 1, 18, 17))
    yield "global avg pool", Case(L.GlobalAvgPool2d, {}, (2, 3, 4, 5))
    yield "global avg pool of one", Case(L.GlobalAvgPool2d, {}, (1, 1, 1, 1))


LAYERS |= dict(_pools())


def _norms():
    options = {
        "": {},
        " eps": {"eps": 0.25},
        " momentum 0": {"momentum": 0.0},
        " momentum 1": {"momentum": 1.0},
        " momentum None": {"momentum": None},
        " not affine": {"affine": False},
        " not tracking": {"track_running_stats": False},
        " neither": {"affine": False, "track_running_stats": False},
    }
    for name, args in options.items():
        yield f"batch norm 2d{name}", Case(L.BatchNorm2d, {"num_features": 2, **args}, (3, 2, 2, 3))
        yield f"batch norm 1d{name}", Case(L.BatchNorm1d, {"num_features": 3, **args}, (5, 3))
    yield "batch norm 1d of sequences", Case(L.BatchNorm1d, {"num_features": 2}, (2, 2, 4))
    yield "batch norm 2d of one image", Case(L.BatchNorm2d, {"num_features": 2}, (1, 2, 2, 2))
    yield "batch norm 2d of single pixels", Case(L.BatchNorm2d, {"num_features": 2}, (4, 2, 1, 1))


LAYERS |= dict(_norms())
LAYERS |= {
    "flatten": Case(L.Flatten, {}, (2, 3, 2, 2)),
    "relu": Case(L.ReLU, {}, (4, 9)),
    "leaky relu": Case(L.LeakyReLU, {}, (4, 9)),
    "leaky relu 0.5": Case(L.LeakyReLU, {"negative_slope": 0.5}, (2, 2, 3, 3)),
    "leaky relu -1": Case(L.LeakyReLU, {"negative_slope": -1.0}, (4, 9)),
    "sigmoid": Case(L.Sigmoid, {}, (4, 9)),
    "tanh": Case(L.Tanh, {}, (4, 9)),
    "dropout none": Case(L.Dropout, {"p": 0.0}, (4, 9)),
    "dropout all": Case(L.Dropout, {"p": 1.0}, (4, 9)),
    **{
        f"{cls.__name__} dim {dim} of {shape}": Case(cls, {"dim": dim}, shape)
        for cls in (L.Softmax, L.LogSoftmax)
        for dim, shape in ((1, (4, 5)), (-1, (4, 5)), (1, (2, 3, 2, 2)), (2, (2, 3, 4)), (-2, (2, 3, 4)), (1, (2, 1)))
    },
}


def _containers():
    c3 = _conv(IMAGE, padding=1)
    norm = Case(L.BatchNorm2d, {"num_features": 2}, IMAGE)
    relu = Case(L.LeakyReLU, {}, IMAGE)
    body = Case(M.Sequential, {}, IMAGE, parts=(c3, norm, relu))
    yield "residual", Case(M.Residual, {"body": body}, IMAGE)
    yield "residual with shortcut", Case(
        M.Residual, {"body": _conv(IMAGE, 3, stride=2, padding=1), "shortcut": _conv(IMAGE, 3, 1, stride=2)}, IMAGE
    )
    yield "concat", Case(M.Concat, {}, IMAGE, parts=(_conv(IMAGE, 1, 1), body, _conv(IMAGE, 3, padding="same")))
    tail = (Case(L.Flatten, {}, IMAGE), Case(L.Linear, {"in_features": 60, "out_features": 3}, (2, 60)))
    yield "nested, one layer twice", Case(M.Sequential, {}, IMAGE, parts=(c3, relu, c3, body, *tail))


LAYERS |= dict(_containers())


def _losses():
    z = numbers((4, 3), 2)
    labels, some = np.asarray([0, 2, 1, 2]), np.asarray([0, -100, 1, 2])
    q = np.abs(numbers((4, 3), 7)) + 0.125
    q = q / q.sum(axis=1, keepdims=True)
    weight = [0.5, 2.0, 1.25]
    options = {
        "": {},
        " weight": {"weight": weight},
        " smoothing": {"label_smoothing": 0.25},
        " full smoothing": {"label_smoothing": 1.0},
        " weight smoothing": {"weight": weight, "label_smoothing": 0.1},
    }
    for name, args in options.items():
        yield f"cross entropy{name}", LossCase(L.SoftmaxCrossEntropy, args, z, labels)
        yield f"cross entropy{name}, some ignored", LossCase(L.SoftmaxCrossEntropy, args, z, some)
        yield f"cross entropy{name}, ignore 2", LossCase(L.SoftmaxCrossEntropy, args | {"ignore_index": 2}, z, labels)
        yield f"cross entropy{name}, probabilities", LossCase(L.SoftmaxCrossEntropy, args, z, q)
    yield "cross entropy of scores of 1e4", LossCase(L.SoftmaxCrossEntropy, {}, z * 1e4, labels)
    masked = z.copy()
    masked[0, 1] = masked[2, 0] = -np.inf
    yield "cross entropy of masked scores", LossCase(L.SoftmaxCrossEntropy, {}, masked, labels)
    weight = {"weight": [1.0, 0.5, 2.0]}
    yield "cross entropy of masked scores, weighted", LossCase(L.SoftmaxCrossEntropy, weight, masked, labels)
    yield "cross entropy of nothing", LossCase(L.SoftmaxCrossEntropy, {}, z, np.full_like(labels, -100))
    yield "cross entropy of one class", LossCase(L.SoftmaxCrossEntropy, {}, z[:, :1].copy(), np.zeros(4, dtype="int64"))
    yield "cross entropy of one sample", LossCase(L.SoftmaxCrossEntropy, {}, z[:1].copy(), np.asarray([2]))
    yield "mse", LossCase(L.MSE, {}, z, numbers((4, 3), 4))
    yield "mse of images", LossCase(L.MSE, {}, numbers(IMAGE, 2), numbers(IMAGE, 4))


LOSSES: dict[str, LossCase] = dict(_losses())
