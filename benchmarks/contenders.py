"""
Who is timed: each function builds a network and returns ``step()``, a whole training step on one fixed batch.

All get the same shapes and take SGD with a momentum of 0.9.
"""

import os
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

    import xpcnn
    from xpcnn.models.registry import describe

    from . import torch_net

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    net = torch_net.build(describe(getattr(xpcnn.models, model)())).to(getattr(torch, dtype)).train()
    step = torch_net.training_step(net, torch.optim.SGD(net.parameters(), LR, momentum=MOMENTUM))
    x, y = (torch.from_numpy(a) for a in images(batch))
    x = x.to(getattr(torch, dtype))
    return lambda: step(x, y), f"PyTorch {torch.__version__}, {dtype}"


def deepnet(model: str, batch: int, dtype: str) -> tuple[Step, str]:
    """The tutorial's own program."""
    from . import deepnet_net

    step = deepnet_net.training_step(deepnet_net.build(), LR, MOMENTUM)
    x, y = images(batch)
    x = x.astype("float64")
    return lambda: step(x, y), f"deepnet, NumPy {np.__version__}, float64"


CONTENDERS: dict[str, Callable[[str, int, str], tuple[Step, str]]] = {
    "xpcnn": xpcnn,
    "deepnet": deepnet,
    "torch": torch,
}
