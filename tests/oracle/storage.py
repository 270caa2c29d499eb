"""The recorded answers: a file for each family, which needs no PyTorch to be read."""

import io
import zipfile
from pathlib import Path

import numpy as np

from tests.oracle.cases import FAMILIES

FOLDER = Path(__file__).with_name("answers")
NAMES = (*FAMILIES, "trajectory")


def write(answers: dict[str, np.ndarray], family: str) -> Path:
    """An npz file whose bytes depend on the numbers only: no time stamps."""
    path = FOLDER / f"{family}.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, array in answers.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name.replace('/', '|')}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)
    return path


def read(family: str) -> dict[str, np.ndarray]:
    """What :func:`write` wrote."""
    with np.load(FOLDER / f"{family}.npz", allow_pickle=False) as file:
        return {name.replace("|", "/"): file[name] for name in file.files}
