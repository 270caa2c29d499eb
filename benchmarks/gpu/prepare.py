"""Put into a folder what all contenders of a work begin with, the network's description and weights; count costs."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cpu.prepare import write

from .floor import count


def prepare(folder: Path, model: str, options: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """Write the files; see `floor.count`, and whether the network draws at random."""
    import xpcnn

    net = getattr(xpcnn.models, model)(seed=0, **options)
    write(folder, net, np.random.default_rng(0))
    random = any(isinstance(layer, xpcnn.Dropout) for _, layer in net.leaves())
    return {"counts": count(net, shape), "random": random}


def batch(shape: tuple[int, ...], size: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of noise and labels, the same in every process."""
    rng = np.random.default_rng(1)
    return rng.random((size, *shape), dtype=np.float32), rng.integers(0, classes, size)


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    print(json.dumps(prepare(Path(job["folder"]), job["model"], job["options"], tuple(job["shape"]))))
