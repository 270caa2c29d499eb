"""What a model says of CuPy's arrays: which kernels answer. The model's arrays stand in for them."""

import numpy as np
import pytest

from xpcnn import layers as L
from xpcnn.backend import Key, kernel, normal, registry
from xpcnn.models import Graph, execution

LAYERS = {"pool": L.MaxPool2d(2), "drop": L.Dropout(0.5), "conv": L.Conv2d(3, 4, 3), "relu": L.ReLU()}


@pytest.fixture
def answered(cupy, monkeypatch):
    """Layers' kernels for CuPy answer for NumPy's arrays, and these are taken for CuPy's; names of those that did."""
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    known, names = dict(registry._kernels), []
    for op, library in known:
        if library == "numpy":
            monkeypatch.delitem(registry._kernels, (op, library))
    for (op, library), function in known.items():
        if library == "cupy" and op.removesuffix("_backward") in execution.KERNELS.values():

            def noted(*args, _function=function, _op=op):
                found = _function(*args)
                if found is not None:
                    names.append(_op)
                return found

            monkeypatch.setitem(registry._kernels, (op, "numpy"), noted)
    monkeypatch.setattr(execution, "library", lambda x: "cupy")
    return names


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_the_kernels_that_are_named_are_those_that_answer(answered, name, train):
    graph = Graph({name: (LAYERS[name], "input")}, input_shape=(3, 6, 6))
    (line,) = (line for line in graph.explain(batch=2, train=train).splitlines() if line.startswith(name))
    y, cache = graph.forward(normal((2, 3, 6, 6), Key(0)).astype("float32"), train=train)
    if train:
        graph.backward(np.ones_like(y), cache)
    assert bool(answered) == ("kernel" in line)
    if answered:
        file = kernel(answered[0], "cupy").__module__.rpartition(".")[2]
        assert f"kernel {' and '.join(answered)} of backend/cuda/{file}.cu" in line
    else:
        assert ("generic" in line) == (name != "drop")


def test_without_kernels_all_is_generic(monkeypatch):
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    monkeypatch.setattr(execution, "library", lambda x: "cupy")
    assert "kernel " not in Graph({"pool": (L.MaxPool2d(2), "input")}, input_shape=(3, 6, 6)).explain()
