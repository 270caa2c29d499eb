"""
Write down what PyTorch says to the cases: ``python -m tests.oracle.record`` (needs torch, the extra ``oracle``).

The file is read by the tests, so that these need no PyTorch. It is small because the inputs are made, not stored.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
import torch

from tests.oracle import cases
from tests.oracle.torch_model import answer, loss_answer
from tests.oracle.trajectory import torch_trajectory

FILE = Path(__file__).with_name("answers.npz")


def record() -> dict[str, np.ndarray]:
    """All answers, as one flat dict from ``"case/array"``."""
    out = {"torch version": np.asarray(torch.__version__.partition("+")[0])}
    for name, case in cases.LAYERS.items():
        params, buffers = cases.state(case)
        x, dy = cases.numbers(case.shape, 1), cases.output_gradient(case)
        said = answer(case, x, dy, params, buffers)
        said["inference"] = answer(case, x, dy, params, buffers, train=False)["y"]
        out |= {f"{name}/{key}": value for key, value in said.items()}
    for name, case in cases.LOSSES.items():
        out |= {f"{name}/{key}": value for key, value in loss_answer(case).items()}
    out |= {f"trajectory/{key}": value for key, value in torch_trajectory().items()}
    return out


def write(answers: dict[str, np.ndarray], path: Path = FILE) -> None:
    """An npz file whose bytes depend on the numbers only: no time stamps."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, array in answers.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name.replace('/', '|')}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    answers = record()
    write(answers)
    print(f"{FILE}: {len(answers)} arrays, {FILE.stat().st_size} bytes")
