"""
Write down what PyTorch says to the cases: ``python -m tests.oracle.record [family ...]`` (needs torch, the extra
``oracle``), all families unless some are named.

The files are read by the tests, so that these need no PyTorch. They are small because the inputs are made, not stored.
"""

import sys

import numpy as np
import torch

from tests.oracle.cases import FAMILIES
from tests.oracle.cases.common import numbers, output_gradient, state
from tests.oracle.storage import FOLDER, NAMES, write
from tests.oracle.torch_model import answer, loss_answer
from tests.oracle.trajectory import TRAJECTORIES, condensed, torch_trajectory


def record(family: str) -> dict[str, np.ndarray]:
    """A family's answers, as one flat dict from ``"case/array"``."""
    out = {"torch version": np.asarray(torch.__version__.partition("+")[0])}
    if family == "trajectory":
        for name, trajectory in TRAJECTORIES.items():
            out |= {f"{name}/{key}": value for key, value in condensed(torch_trajectory(trajectory)).items()}
        return out
    for name, case in getattr(FAMILIES[family], "LAYERS", {}).items():
        params, buffers = state(case)
        x, dy = numbers(case.shape, 1), output_gradient(case)
        said = answer(case, x, dy, params, buffers)
        said["inference"] = answer(case, x, dy, params, buffers, train=False)["y"]
        out |= {f"{name}/{key}": value for key, value in said.items()}
    for name, case in getattr(FAMILIES[family], "LOSSES", {}).items():
        out |= {f"{name}/{key}": value for key, value in loss_answer(case).items()}
    return out


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for family in sys.argv[1:] or NAMES:
        answers = record(family)
        path = write(answers, family)
        print(f"{path}: {len(answers)} arrays, {path.stat().st_size} bytes")
