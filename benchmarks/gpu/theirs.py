"""PyTorch in each of its modes, images channels-last, weights in float32, the optimizer as one kernel where it can."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .clocks import Clock, torch_clock
from .job import Job, Ready, Refused
from .prepare import batch
from .works import LR, MOMENTUM

WARM_UP = 3  # steps before a capture
COMPILE = {"compile": "default", "reduce-overhead": "reduce-overhead", "max-autotune": "max-autotune"}


def ready(job: Job) -> Ready:
    """Network, data and step on the device, in the mode that the contender's name ends with."""
    import torch

    mode = job.contender.partition("-")[2]
    on_gpu = job.device != "cpu"
    settle(torch, mode, job.device, job.tf32)
    net = network(torch, job.folder, job.device)
    for module in net.modules():
        if job.same_sums and isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    images, labels = batch(job.shape, job.batch, job.classes)
    x = torch.from_numpy(images).to(job.device).contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(labels).to(job.device)
    make = _training if job.optimizer else _inference
    step = make(torch, job, net, x, y, mode)
    clock = torch_clock(torch) if on_gpu else Clock()
    about = f"PyTorch {torch.__version__}" + (f", cuDNN {torch.backends.cudnn.version()}" if on_gpu else "")
    return Ready(step, lambda value: value.detach().float().cpu().numpy(), clock, about)


def settle(torch: Any, mode: str, device: str, tf32: bool) -> None:
    """
    The settings of the whole process.

    Raises
    ------
    Refused
        If the mode cannot be had on the device.
    """
    if device != "cpu" and not torch.cuda.is_available():
        message = f"PyTorch {torch.__version__} finds no GPU that it can use"
        raise Refused(message)
    if device == "cpu" and mode not in ("eager", "compile"):
        message = f"{mode} needs a GPU"
        raise Refused(message)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32


def network(torch: Any, folder: str, device: str) -> Any:
    """The counterpart of the prepared network, with the same weights."""
    import numpy as np

    from benchmarks import torch_net

    net = torch_net.build(json.loads((Path(folder) / "net.json").read_text()))
    with np.load(Path(folder) / "weights.npz") as weights:
        net.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
    return net.to(device=device, memory_format=torch.channels_last)


def compiled(torch: Any, net: Any, mode: str) -> Any:
    """The network to be called in a mode."""
    return torch.compile(net, mode=COMPILE[mode]) if mode in COMPILE else net


def _training(torch: Any, job: Job, net: Any, x: Any, y: Any, mode: str) -> Callable[[], Any]:
    net.train()
    lr, own = LR[str(job.optimizer)], {"fused": True} if job.device != "cpu" else {}
    if job.optimizer == "adam":
        optimizer = torch.optim.Adam(net.parameters(), lr, capturable=mode == "graph", **own)
    else:
        optimizer = torch.optim.SGD(net.parameters(), lr, momentum=MOMENTUM, **own)
    call = compiled(torch, net, mode)
    mixed = torch.autocast(job.device, torch.bfloat16, enabled=job.dtype == "bfloat16")

    def step() -> Any:
        if mode in ("reduce-overhead", "max-autotune"):
            torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad(set_to_none=True)
        with mixed:
            scores = call(x)
        loss = torch.nn.functional.cross_entropy(scores.float(), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return captured(torch, step, net, optimizer) if mode == "graph" else step


def _inference(torch: Any, job: Job, net: Any, x: Any, y: Any, mode: str) -> Callable[[], Any]:
    net.eval()
    if job.dtype == "bfloat16":
        net, x = net.bfloat16(), x.bfloat16()
    call = compiled(torch, net, mode)

    def step() -> Any:
        if mode in ("reduce-overhead", "max-autotune"):
            torch.compiler.cudagraph_mark_step_begin()
        with torch.inference_mode():
            return call(x)

    return captured(torch, step) if mode == "graph" else step


def captured(torch: Any, step: Callable[[], Any], net: Any = None, optimizer: Any = None) -> Callable[[], Any]:
    """
    A step as a graph that is replayed; network and optimizer are as they were before the steps that a capture needs.

    Parameters
    ----------
    step : callable
        What it reads and writes stays where it is.
    net, optimizer : optional
        What the step changes.
    """
    before = {name: value.clone() for name, value in net.state_dict().items()} if net is not None else {}
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()
    with torch.no_grad() if before else contextlib.nullcontext():
        for name, value in (net.state_dict() if net is not None else {}).items():
            value.copy_(before[name])
        for state in optimizer.state.values() if optimizer is not None else ():
            for value in state.values():
                if torch.is_tensor(value):
                    value.zero_()

    def replay() -> Any:
        graph.replay()
        return result

    return replay
