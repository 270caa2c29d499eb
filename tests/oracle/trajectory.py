"""
Five steps of training of whole networks, by both: every parameter and every buffer afterwards.

Small arrays are recorded whole, large ones by a few entries and by sums with fixed random factors, in which every entry
has its part.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tests.oracle.cases.common import numbers
from tests.strategies import Case
from tests.strategies.containers import graph_case
from xpcnn import layers as L
from xpcnn import models as M
from xpcnn.backend import Key, permutation, to_numpy, uniform
from xpcnn.optimizers import SGD, Adam

STEPS, BATCH = 5, 6


class Trajectory(NamedTuple):
    """A network of ours, how PyTorch makes it, one optimizer each, and what it is trained on."""

    ours: Callable[[], M.Model]
    torchs: Callable[[], Any]
    shape: tuple[int, ...]
    classes: int
    optimizer: Callable[[], Any]
    torch_optimizer: tuple[str, dict[str, Any]]
    smoothing: float = 0.0
    exact: bool = False  # inputs and weights that float64 adds up without rounding, ties included

    def inputs(self) -> np.ndarray:
        shape = (STEPS, BATCH, *self.shape)
        return numbers(shape, 3) if self.exact else 2.0 * uniform(shape, Key(0, "x")) - 1.0

    def targets(self) -> np.ndarray:
        return np.arange(STEPS * BATCH).reshape(STEPS, BATCH) * 7 % self.classes

    def weights(self) -> dict[str, np.ndarray]:
        params = self.ours().params
        if self.exact:
            return {name: numbers(p.shape, 1 + i) / 4.0 for i, (name, p) in enumerate(params.items())}
        return {name: _spread(name, tuple(p.shape)) for name, p in params.items()}


def _spread(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Weights that keep the scale, scales around 1, small biases; no zeros and ones, which hide errors."""
    between = 2.0 * uniform(shape, Key(0, name)) - 1.0
    if len(shape) > 1:
        return between * math.sqrt(4.0 / math.prod(shape[1:]))
    return 1.0 + 0.3 * between if name.endswith("weight") else 0.1 * between


def small() -> M.Sequential:
    block = M.Sequential(L.Conv2d(4, 4, 3, padding=1, groups=2, bias=False), L.BatchNorm2d(4), L.Tanh())
    return M.Sequential(
        L.Conv2d(2, 4, 3, padding=(1, 0)),
        L.BatchNorm2d(4),
        L.LeakyReLU(0.1),
        L.MaxPool2d(2),
        M.Residual(block),
        L.AvgPool2d(2, padding=1, count_include_pad=False),
        L.Flatten(),
        L.Linear(16, 4),
        dtype="float64",
    )


def torch_small():
    from torch import nn

    from tests.oracle.torch_model import Sum

    block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(4), nn.Tanh())
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=(1, 0)),
        nn.BatchNorm2d(4),
        nn.LeakyReLU(0.1),
        nn.MaxPool2d(2),
        Sum(block),
        nn.AvgPool2d(2, padding=1, count_include_pad=False),
        nn.Flatten(),
        nn.Linear(16, 4),
    )


def torch_deepnotes():
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1568, 120),
        nn.ReLU(),
        nn.Linear(120, 10),
    )


def torch_resnet9(width: int):
    from torch import nn

    from tests.oracle.torch_model import Sum

    def conv(c_in, c_out):
        return nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()

    def block(c):
        return Sum(nn.Sequential(*conv(c, c), *conv(c, c)))

    a, b, c, d = width, 2 * width, 4 * width, 8 * width
    return nn.Sequential(
        *conv(3, a),
        *conv(a, b),
        nn.MaxPool2d(2),
        block(b),
        *conv(b, c),
        nn.MaxPool2d(2),
        *conv(c, d),
        nn.MaxPool2d(2),
        block(d),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(d, 10, bias=False),
    )


def random_graph(seed: int, nodes: int = 12) -> Case:
    """
    A wiring drawn from a seed: layers, blocks, a shared convolution, sums, gates and concatenations.

    No batch norm is shared: its running averages depend on which of its nodes comes first, and that the wiring leaves
    open.
    """
    c, shape = 3, (BATCH, 3, 8, 8)
    shared = Case(L.Conv2d, {"in_channels": c, "out_channels": c, "kernel_size": 3, "padding": 1}, shape)
    kinds = {
        "conv": lambda: Case(L.Conv2d, dict(shared.args), shape),
        "norm": lambda: Case(L.BatchNorm2d, {"num_features": c}, shape),
        "shared": lambda: shared,
        "tanh": lambda: Case(L.Tanh, {}, shape),
        "leaky": lambda: Case(L.LeakyReLU, {"negative_slope": 0.2}, shape),
        "squeeze": lambda: Case(M.SqueezeExcite, {"in_channels": c, "squeeze_channels": 2}, shape),
        "add": lambda: Case(L.Add, {}, shape),
        "gate": lambda: Case(L.Sigmoid, {}, shape),
        "concatenate": lambda: Case(L.Concatenate, {}, shape),
    }
    draws = iter(uniform((10 * nodes,), Key(seed, "random graph")).tolist())
    values, wired = ["input"], {}

    def one(of):
        return of[int(next(draws) * len(of))]

    for i in range(nodes):
        name, source, kind = f"n{i}", one(values), one([*kinds])
        if kind == "add":
            wired[name] = (kinds[kind](), source, *(one(values) for _ in range(one([1, 2]))))
        elif kind == "gate":
            wired[f"{name}_gate"] = (kinds[kind](), source)
            wired[name] = (Case(L.Multiply, {}, shape), f"{name}_gate", one(values))
        elif kind == "concatenate":
            wired[f"{name}_wide"] = (kinds[kind](), source, one(values))
            narrow = {"in_channels": 2 * c, "out_channels": c, "kernel_size": 1}
            wired[name] = (Case(L.Conv2d, narrow, shape), f"{name}_wide")
        else:
            wired[name] = (kinds[kind](), source)
        values.append(name)
    used = {source for _, *sources in wired.values() for source in sources}
    loose = [name for name in values if name not in used]
    wired["all"] = (kinds["concatenate"](), *loose)
    wired["mean"] = (Case(L.GlobalAvgPool2d, {}, shape), "all")
    wired["head"] = (Case(L.Linear, {"in_features": c * len(loose), "out_features": 4}, shape), "mean")
    items = list(wired.items())
    order = permutation(len(items), Key(seed, "order of the nodes"))
    return graph_case(shape, {items[i][0]: items[i][1] for i in order}, output="head")


def _random_graph(seed: int) -> Trajectory:
    def ours():
        model = random_graph(seed).layer()
        model.place(model.home, "float64", Key(0))
        return model

    def torchs():
        from tests.oracle.torch_model import build

        return build(random_graph(seed))

    adam = ("Adam", {"lr": 2e-3, "weight_decay": 1e-3})
    return Trajectory(ours, torchs, (3, 8, 8), 4, lambda: Adam(2e-3, weight_decay=1e-3), adam, smoothing=0.1)


def _resnet9(width: int) -> Trajectory:
    options = {"lr": 0.02, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}
    return Trajectory(
        lambda: M.resnet9(width=width, dtype="float64"),
        lambda: torch_resnet9(width),
        (3, 32, 32),
        10,
        lambda: SGD(**options),
        ("SGD", options),
    )


_MOMENTUM = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}

TRAJECTORIES = {
    "trajectory of a small network": Trajectory(
        small, torch_small, (2, 6, 6), 4, lambda: SGD(**_MOMENTUM), ("SGD", _MOMENTUM), smoothing=0.1, exact=True
    ),
    "trajectory of deepnotes": Trajectory(
        lambda: M.deepnotes(dtype="float64"),
        torch_deepnotes,
        (1, 28, 28),
        10,
        lambda: SGD(**_MOMENTUM),
        ("SGD", _MOMENTUM),
    ),
    "trajectory of resnet9": _resnet9(width=2),
    "trajectory of a random graph": _random_graph(0),
}

# these are run with PyTorch only, and compared whole
MORE = {
    "resnet9 of width 8": _resnet9(width=8),
    **{f"random graph {seed}": _random_graph(seed) for seed in range(1, 6)},
}


def our_trajectory(trajectory: Trajectory, space) -> dict[str, np.ndarray]:
    model = trajectory.ours().to(like=space.asarray(np.zeros(1)))
    model.load_state_dict(trajectory.weights(), strict=False)
    loss, optimizer = L.SoftmaxCrossEntropy(label_smoothing=trajectory.smoothing), trajectory.optimizer()
    values = []
    for x, target in zip(trajectory.inputs(), trajectory.targets(), strict=True):
        logits, cache = model.forward(space.asarray(x), train=True)
        value, dlogits = loss(logits, space.asarray(target))
        _, grads = model.backward(dlogits, cache, input_grad=False)
        optimizer.update(model.trainable, grads)
        values.append(float(value))
    return {"loss": np.asarray(values)} | {name: to_numpy(a) for name, a in model.state_dict().items()}


def torch_trajectory(trajectory: Trajectory) -> dict[str, np.ndarray]:
    import torch
    from torch import nn

    model = trajectory.torchs().double()
    model.load_state_dict({name: torch.from_numpy(a) for name, a in trajectory.weights().items()}, strict=False)
    name, options = trajectory.torch_optimizer
    optimizer = getattr(torch.optim, name)(model.parameters(), **options)
    loss, values = nn.CrossEntropyLoss(label_smoothing=trajectory.smoothing), []
    for x, target in zip(trajectory.inputs(), trajectory.targets(), strict=True):
        optimizer.zero_grad()
        value = loss(model(torch.from_numpy(x)), torch.from_numpy(target))
        value.backward()
        optimizer.step()
        values.append(value.item())
    # a layer at two places has two names there, and one here
    names = [name for name, _ in [*model.named_parameters(), *model.named_buffers()]]
    state = model.state_dict()
    return {"loss": np.asarray(values)} | {name: state[name].numpy().copy() for name in names}


def condensed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Small arrays whole; of large ones the first entries, and sums with random factors for all."""
    out = {}
    for name, a in arrays.items():
        if a.size <= 64:
            out[name] = a
        else:
            factors = 2.0 * uniform((4, a.size), Key(0, name)) - 1.0
            out[name] = np.concatenate([a.reshape(-1)[:12], factors @ a.reshape(-1)])
    return out
