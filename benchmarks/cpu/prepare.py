"""
Put what all get into a folder: the network's description, initial weights, batches; for onnxruntime the graph.

A process of its own, so that the one that starts the others stays small.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

BATCHES = 4  # taken in turns: a training loop does not find its batch in the cache
CLASSES = 10


def prepare(folder: Path, model: str, shape: list[int], batch: int, onnx: bool) -> dict[str, Any]:
    """Write the files; how many products the network takes for an image."""
    import xpcnn

    rng = np.random.default_rng(0)
    net = getattr(xpcnn.models, model)(seed=0)
    write(folder, net, rng)
    x = rng.random((BATCHES, batch, *shape), dtype=np.float32)
    np.savez(folder / "batches.npz", x=x, y=rng.integers(0, CLASSES, (BATCHES, batch)))
    if onnx:
        _export(folder, x[0])
    return {"macs": net.cost(tuple(shape), itemsize=4).macs}


def write(folder: Path, net: Any, rng: np.random.Generator) -> None:
    """The description of a network, and weights to begin with."""
    from xpcnn.models.registry import describe

    weights = net.state_dict()
    for name, a in weights.items():
        if a.ndim == 1:  # away from 0 and 1, or a forgotten bias or statistic would not show in the results
            weights[name] = a + 0.1 * rng.random(a.shape, dtype=np.float32)
    np.savez(folder / "weights.npz", **weights)
    (folder / "net.json").write_text(json.dumps(describe(net)))


def _export(folder: Path, x: np.ndarray) -> None:
    import torch

    from benchmarks import torch_net

    net = torch_net.build(json.loads((folder / "net.json").read_text())).eval()
    with np.load(folder / "weights.npz") as weights:
        net.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's newer exporter needs one more package, for the same graph
        torch.onnx.export(net, (torch.from_numpy(x),), str(folder / "net.onnx"), input_names=["x"], dynamo=False)


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    print(json.dumps(prepare(Path(job.pop("folder")), **job)))
