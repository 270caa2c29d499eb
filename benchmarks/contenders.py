"""
Who is timed: each function builds a network and returns ``step()``, a whole training step on one fixed batch.

All get the same shapes and take SGD with a momentum of 0.9.
"""

import importlib
import os
import sys
import types
from collections.abc import Callable

import numpy as np

Step = Callable[[], object]

LR, MOMENTUM = 0.01, 0.9


def images(batch: int) -> tuple[np.ndarray, np.ndarray]:
    """A batch of noise in the shape of MNIST, float32, and labels."""
    rng = np.random.default_rng(0)
    return rng.random((batch, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, batch)


def xpcnn(model: str, batch: int, dtype: str) -> tuple[Step, str]:
    """This library on NumPy, and what it is."""
    import xpcnn

    net = getattr(xpcnn.models, model)(dtype=dtype)
    trainer = xpcnn.Trainer(net, "softmax_cross_entropy", xpcnn.optimizers.SGD(LR, momentum=MOMENTUM))
    x, y = images(batch)
    x = x.astype(dtype)
    return lambda: trainer.step(x, y), f"xpcnn {xpcnn.__version__}, NumPy {np.__version__}, {dtype}"


def torch(model: str, batch: int, dtype: str) -> tuple[Step, str]:
    """PyTorch on the CPU, eager, with as many threads as the others."""
    import torch
    from torch import nn

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    heads = {
        "deepnotes": lambda: [
            *(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, 120), nn.ReLU(), nn.Linear(120, 10)),
        ],
        "keras_mnist": lambda: [
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64 * 5 * 5, 10)),
        ],
        "torch_mnist": lambda: [
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)),
            *(nn.Flatten(), nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)),
        ],
    }
    net = nn.Sequential(*heads[model]()).to(getattr(torch, dtype)).train()
    optimizer = torch.optim.SGD(net.parameters(), LR, momentum=MOMENTUM)
    x, y = (torch.from_numpy(a) for a in images(batch))
    x = x.to(getattr(torch, dtype))

    def step() -> object:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, f"PyTorch {torch.__version__}, {dtype}"


def deepnet(model: str, batch: int, dtype: str) -> tuple[Step, str]:
    """The tutorial's own program, from a checkout in $DEEPNET_DIR. It computes in float64 and always adds L2."""
    sys.path.insert(0, os.environ["DEEPNET_DIR"])
    # its solver imports scikit-learn for one function, which a step does not call
    utils = types.ModuleType("sklearn.utils")
    utils.shuffle = None  # type: ignore[attr-defined]
    sys.modules.setdefault("sklearn", types.ModuleType("sklearn"))
    sys.modules.setdefault("sklearn.utils", utils)
    layers, nnet, solver = (importlib.import_module(f"deepnet.{name}") for name in ("layers", "nnet", "solver"))

    conv1 = layers.Conv((1, 28, 28), 16, 5, 5, 1, 2)
    pool1 = layers.Maxpool(conv1.out_dim, 2, 2)
    conv2 = layers.Conv(pool1.out_dim, 32, 5, 5, 1, 2)
    pool2 = layers.Maxpool(conv2.out_dim, 2, 2)
    full = layers.FullyConnected(int(np.prod(pool2.out_dim)), 120)
    parts = [conv1, layers.ReLU(), pool1, conv2, layers.ReLU(), pool2, layers.Flatten(), full, layers.ReLU()]
    net = nnet.CNN([*parts, layers.FullyConnected(120, 10)])
    x, y = images(batch)
    x = x.astype("float64")
    velocity = [[np.zeros_like(p) for p in params] for params in net.params]

    def step() -> object:
        loss, grads = net.train_step(x, y)
        solver.momentum_update(velocity, net.params, grads, LR, MOMENTUM)
        return loss

    return step, f"deepnet, NumPy {np.__version__}, float64"


CONTENDERS: dict[str, Callable[[str, int, str], tuple[Step, str]]] = {
    "xpcnn": xpcnn,
    "deepnet": deepnet,
    "torch": torch,
}
