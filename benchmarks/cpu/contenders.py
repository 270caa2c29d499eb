"""
Who is measured: each function builds the network of a prepared folder and returns ``step(x, y)`` and what it is.

A step is one of training or inference. It returns the loss or the outputs, as anything that NumPy makes an array of.
With `same_sums` nothing random happens and no penalty is counted, so that all should return the same.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .works import LR, MOMENTUM

Step = Callable[[Any, Any], Any]


class Job(NamedTuple):
    """What a process is told; see `worker`."""

    contender: str
    folder: Path
    optimizer: str | None
    threads: int
    same_sums: bool = False

    def weights(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / "weights.npz") as arrays:
            return dict(arrays)


def xpcnn(job: Job, model: str) -> tuple[Step, str]:
    """This library."""
    import xpcnn

    net = getattr(xpcnn.models, model)()
    net.load_state_dict(job.weights())
    about = f"xpcnn {xpcnn.__version__}, NumPy {np.__version__}"
    if job.optimizer is None:
        return lambda x, y: net(x), about
    if job.same_sums:
        for _, layer in net.leaves():
            if isinstance(layer, xpcnn.Dropout):
                layer.p = 0.0
    optimizers = {
        "sgd": lambda lr: xpcnn.optimizers.SGD(lr),
        "momentum": lambda lr: xpcnn.optimizers.SGD(lr, momentum=MOMENTUM),
        "adam": lambda lr: xpcnn.optimizers.Adam(lr),
    }
    optimizer = optimizers[job.optimizer](LR[job.optimizer])
    return xpcnn.Trainer(net, "softmax_cross_entropy", optimizer).step, about


def torch(job: Job, model: str) -> tuple[Step, str]:
    """PyTorch, eager, in the default memory layout or, under the name torch-channels_last, in that one."""
    import torch

    from benchmarks import torch_net

    torch.set_num_threads(job.threads)
    net = torch_net.build(json.loads((job.folder / "net.json").read_text()))
    net.load_state_dict({name: torch.from_numpy(a) for name, a in job.weights().items()})
    if job.contender.endswith("channels_last"):
        net = net.to(memory_format=torch.channels_last)
    about = f"PyTorch {torch.__version__}"
    if job.optimizer is None:
        net.eval()

        def infer(x: Any, y: Any) -> Any:
            with torch.inference_mode():
                return net(x)

        return infer, about
    for module in net.modules():
        if job.same_sums and isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    optimizers = {
        "sgd": lambda params, lr: torch.optim.SGD(params, lr),
        "momentum": lambda params, lr: torch.optim.SGD(params, lr, momentum=MOMENTUM),
        "adam": lambda params, lr: torch.optim.Adam(params, lr),
    }
    optimizer = optimizers[job.optimizer](net.parameters(), LR[job.optimizer])
    return torch_net.training_step(net.train(), optimizer), about


def deepnet(job: Job, model: str) -> tuple[Step, str]:
    """The tutorial's program, which has the one network and float64."""
    from benchmarks import deepnet_net

    net = deepnet_net.build(job.weights())
    step = deepnet_net.training_step(net, LR["momentum"], MOMENTUM)

    def without_penalty(x: Any, y: Any) -> float:
        extra = deepnet_net.penalty(net)
        return step(x, y) - extra

    return without_penalty if job.same_sums else step, f"deepnet, NumPy {np.__version__}, float64"


def onnxruntime(job: Job, model: str) -> tuple[Step, str]:
    """onnxruntime on the graph that PyTorch exports."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    session = onnxruntime.InferenceSession(job.folder / "net.onnx", options, providers=["CPUExecutionProvider"])
    return lambda x, y: session.run(None, {"x": x})[0], f"onnxruntime {onnxruntime.__version__}"


def gemm(job: Job, model: str) -> tuple[Step, str]:
    """What the machine can do: a product of two matrices of 2048 x 2048 numbers, by NumPy."""
    a, b = np.random.default_rng(0).random((2, GEMM, GEMM), dtype=np.float32)
    out = np.empty_like(a)
    return lambda x, y: np.matmul(a, b, out=out), f"NumPy {np.__version__}"


GEMM = 2048

# for each, what it imports before its memory is first looked at
CONTENDERS: dict[str, tuple[str, Callable[[Job, str], tuple[Step, str]]]] = {
    "xpcnn": ("xpcnn", xpcnn),
    "torch": ("torch", torch),
    "torch-channels_last": ("torch", torch),
    "deepnet": ("numpy", deepnet),
    "onnxruntime": ("onnxruntime", onnxruntime),
    "gemm": ("numpy", gemm),
}


def batches(job: Job) -> list[tuple[Any, Any]]:
    """The prepared batches, as the contender wants them."""
    with np.load(job.folder / "batches.npz") as arrays:
        pairs = list(zip(arrays["x"], arrays["y"], strict=True))
    if job.contender == "deepnet":
        return [(x.astype("float64"), y) for x, y in pairs]
    if job.contender.startswith("torch"):
        import torch

        last = job.contender.endswith("channels_last")
        order = torch.channels_last if last else torch.contiguous_format
        return [(torch.from_numpy(x).contiguous(memory_format=order), torch.from_numpy(y)) for x, y in pairs]
    return pairs
