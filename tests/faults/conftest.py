"""A folder that other users can reach: pytest's own is closed to them."""

import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def place():
    folder = Path(tempfile.mkdtemp(prefix="xpcnn faults é "))
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)
