"""PyTorch's counterpart of a network, built from the description that xpcnn keeps in model files."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Residual(nn.Module):
    """As `xpcnn.Residual`, its parameters under the same names."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + (x if self.shortcut is None else self.shortcut(x))


def build(description: dict[str, Any]) -> nn.Module:
    """The module that `xpcnn.models.registry.describe` describes."""
    args = {key: value for key, value in description.items() if key not in ("class", "init")}
    kind = description["class"]
    if kind == "Sequential":
        return nn.Sequential(OrderedDict((name, build(layer)) for name, layer in args["layers"]))
    if kind == "Residual":
        return Residual(build(args["body"]), args["shortcut"] and build(args["shortcut"]))
    if kind == "GlobalAvgPool2d":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if kind == "ReLU":
        return nn.ReLU(inplace=True)  # as torchvision has it: less memory, less time
    return getattr(nn, kind)(**{key: tuple(v) if isinstance(v, list) else v for key, v in args.items()})


def training_step(net: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[Any, Any], torch.Tensor]:
    """``step(x, y)``: a whole step with cross-entropy, whose loss nobody waits for."""

    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
