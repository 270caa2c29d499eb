"""A bare machine, a small data set under the name of the bundled one, and two ways to run the program."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from xpcnn.cli import main
from xpcnn.data import datasets, files

SOURCE = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    """An empty current folder, no data sets, no terminal."""
    for name in ("XPCNN_DATA_DIR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XPCNN_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "SYSTEM", tmp_path / "system")
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def digits():
    """256 training and 100 test digits."""
    whole = datasets.load("mnist-mini")
    return dataclasses.replace(
        whole,
        x_train=whole.x_train[:256],
        y_train=whole.y_train[:256],
        x_test=whole.x_test[::10],
        y_test=whole.y_test[::10],
    )


@pytest.fixture
def small(monkeypatch, digits):
    """The bundled data set is a small one."""
    load = datasets.load

    def patched(name, data_dir=None):
        return digits if (name, data_dir) == ("mnist-mini", None) else load(name, data_dir)

    monkeypatch.setattr(datasets, "load", patched)
    return digits


@pytest.fixture
def xpcnn(capsys):
    """Run the program in this process: ``xpcnn("train", "--epochs", 1)`` gives code, out, err, last, json."""

    def run(*argv):
        code = main([str(word) for word in argv])
        out, err = capsys.readouterr()
        lines = out.splitlines()
        result = SimpleNamespace(code=code, out=out, err=err, lines=lines, last=lines[-1] if lines else None)
        if "--json" in argv and code == 0:
            assert len(lines) == 1
            result.json = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        return result

    return run


@pytest.fixture
def fails(xpcnn):
    """Run the program and demand an exit code, nothing on standard output, and one line with some words in it."""

    def run(code, *argv, words=()):
        result = xpcnn(*argv)
        assert (result.code, result.out) == (code, "")
        errors = [line for line in result.err.splitlines() if not line.startswith("xpcnn: device auto: ")]
        assert len(errors) == 1, result.err
        assert errors[0].startswith("xpcnn: error: ")
        for word in words if isinstance(words, (list, tuple)) else [words]:
            assert str(word) in errors[0]
        return errors[0]

    return run


@pytest.fixture
def environment(here):
    """Environment for a process of its own."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**kept, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def process(environment):
    """Run the program, or a shell script, as a process of its own."""

    def run(*argv, shell=None, env=()):
        command = ["bash", "-c", shell] if shell else [sys.executable, "-m", "xpcnn", *map(str, argv)]
        return subprocess.run(command, env={**environment, **dict(env)}, capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture(scope="session")
def model_file(digits, tmp_path_factory):
    """A deepnotes network that has seen a few digits."""
    import xpcnn

    model = xpcnn.models.deepnotes(seed=3)
    model.fit(digits.x_train, digits.y_train, epochs=3, batch_size=32, verbose=0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model.save(path)
    return path
