"""
The tutorial's own program on its network deepnotes, from a checkout of deepnet in $DEEPNET_DIR.

It computes in float64, and always adds an L2 penalty of 0.001 to the loss.
"""

import importlib
import os
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def absent() -> str | None:
    """Why deepnet cannot take part, or None."""
    if not os.environ.get("DEEPNET_DIR"):
        return "set DEEPNET_DIR to a checkout of https://github.com/parasdahal/deepnet"
    if not (Path(os.environ["DEEPNET_DIR"]) / "deepnet" / "layers.py").is_file():
        return "DEEPNET_DIR holds no deepnet/layers.py"
    return None


def build(weights: Mapping[str, np.ndarray] | None = None) -> Any:
    """Its network; with weights of xpcnn's deepnotes, or its own."""
    layers, nnet = _module("layers"), _module("nnet")
    conv1 = layers.Conv((1, 28, 28), 16, 5, 5, 1, 2)
    pool1 = layers.Maxpool(conv1.out_dim, 2, 2)
    conv2 = layers.Conv(pool1.out_dim, 32, 5, 5, 1, 2)
    pool2 = layers.Maxpool(conv2.out_dim, 2, 2)
    full = layers.FullyConnected(int(np.prod(pool2.out_dim)), 120)
    parts = [conv1, layers.ReLU(), pool1, conv2, layers.ReLU(), pool2, layers.Flatten(), full, layers.ReLU()]
    net = nnet.CNN([*parts, layers.FullyConnected(120, 10)])
    for i, params in enumerate(net.params):
        if weights is not None and len(params):  # the layers have the same numbers in both
            w, b = weights[f"{i}.weight"], weights[f"{i}.bias"]
            params[0][...] = w if w.ndim == 4 else w.T
            params[1][...] = b.reshape(params[1].shape)
    return net


def training_step(net: Any, lr: float, momentum: float) -> Callable[[Any, Any], float]:
    """``step(x, y)``: a whole step of SGD with momentum."""
    update = _module("solver").momentum_update
    velocity = [[np.zeros_like(p) for p in params] for params in net.params]

    def step(x: np.ndarray, y: np.ndarray) -> float:
        loss, grads = net.train_step(x, y)
        update(velocity, net.params, grads, lr, momentum)
        return loss

    return step


def penalty(net: Any) -> float:
    """What it adds to the loss."""
    return _module("loss").l2_regularization(net.layers)


def _module(name: str) -> Any:
    if os.environ["DEEPNET_DIR"] not in sys.path:
        sys.path.insert(0, os.environ["DEEPNET_DIR"])
    # its solver imports scikit-learn for one function, which a step does not call
    utils = types.ModuleType("sklearn.utils")
    utils.shuffle = None  # type: ignore[attr-defined]
    sys.modules.setdefault("sklearn", types.ModuleType("sklearn"))
    sys.modules.setdefault("sklearn.utils", utils)
    return importlib.import_module(f"deepnet.{name}")
