"""Five steps of training of a small network, by both."""

import numpy as np

from tests.oracle.cases.common import numbers
from xpcnn import layers as L
from xpcnn.backend import to_numpy
from xpcnn.models import Residual, Sequential
from xpcnn.optimizers import SGD

STEPS, RATE, MOMENTUM, DECAY = 5, 0.05, 0.9, 1e-3
X = numbers((STEPS, 6, 2, 6, 6), 3)
TARGET = np.arange(STEPS * 6).reshape(STEPS, 6) * 7 % 4


def network() -> Sequential:
    block = Sequential(L.Conv2d(4, 4, 3, padding=1, groups=2, bias=False), L.BatchNorm2d(4), L.Tanh())
    return Sequential(
        L.Conv2d(2, 4, 3, padding=(1, 0)),
        L.BatchNorm2d(4),
        L.LeakyReLU(0.1),
        L.MaxPool2d(2),
        Residual(block),
        L.AvgPool2d(2, padding=1, count_include_pad=False),
        L.Flatten(),
        L.Linear(16, 4),
        dtype="float64",
    )


def weights() -> dict[str, np.ndarray]:
    return {name: numbers(p.shape, 1 + i) / 4.0 for i, (name, p) in enumerate(network().params.items())}


def our_trajectory(space) -> dict[str, np.ndarray]:
    model = network().to(like=space.asarray(np.zeros(1)))
    model.load_state_dict(weights(), strict=False)
    loss, optimizer = L.SoftmaxCrossEntropy(label_smoothing=0.1), SGD(RATE, MOMENTUM, weight_decay=DECAY)
    values = []
    for x, target in zip(X, TARGET, strict=True):
        logits, cache = model.forward(space.asarray(x), train=True)
        value, dlogits = loss(logits, space.asarray(target))
        _, grads = model.backward(dlogits, cache)
        optimizer.update(model.params, grads)
        values.append(float(value))
    return {"loss": np.asarray(values)} | {name: to_numpy(a) for name, a in model.state_dict().items()}


def torch_trajectory() -> dict[str, np.ndarray]:
    import torch
    from torch import nn

    from tests.oracle.torch_model import Sum

    block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(4), nn.Tanh())
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=(1, 0)),
        nn.BatchNorm2d(4),
        nn.LeakyReLU(0.1),
        nn.MaxPool2d(2),
        Sum(block),
        nn.AvgPool2d(2, padding=1, count_include_pad=False),
        nn.Flatten(),
        nn.Linear(16, 4),
    ).double()
    model.load_state_dict({name: torch.from_numpy(a) for name, a in weights().items()}, strict=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    loss, values = nn.CrossEntropyLoss(label_smoothing=0.1), []
    for x, target in zip(X, TARGET, strict=True):
        optimizer.zero_grad()
        value = loss(model(torch.from_numpy(x)), torch.from_numpy(target))
        value.backward()
        optimizer.step()
        values.append(value.item())
    return {"loss": np.asarray(values)} | {name: t.numpy().copy() for name, t in model.state_dict().items()}
