"""What a model on a GPU says of itself: which kernels answer."""

import numpy as np
import pytest

from xpcnn import layers as L
from xpcnn.backend import Key, normal
from xpcnn.models import Graph

LAYERS = {
    "pool": (L.MaxPool2d(2), "backend/cuda/pool.cu"),
    "drop": (L.Dropout(0.5), "backend/cuda/dropout.cu"),
    "conv": (L.Conv2d(3, 4, 3), "cuDNN"),
    "norm": (L.BatchNorm2d(3), "backend/cuda/norm.cu"),
    "pad": (L.ReflectionPad2d(1), None),
}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_the_kernels_that_are_named_are_those_that_answer(gpu, name, train):
    layer, source = LAYERS[name]
    graph = Graph({name: (layer, "input")}, input_shape=(3, 6, 6), device=gpu.device)
    (line,) = (line for line in graph.explain(batch=2, train=train).splitlines() if line.startswith(name))
    x = gpu.upload(normal((2, 3, 6, 6), Key(0)).astype("float32"))
    gpu.done, gpu.launched = [], []
    y, cache = graph.forward(x, train=train)
    if train:
        graph.backward(gpu.xp.ones_like(y), cache)
    if name == "drop" and not train:
        assert "nothing to drop" in line
    elif source is None:
        assert "generic" in line and not gpu.launched
    else:
        assert f"of {source}" in line
        assert gpu.launched or "conv_fprop+bias" in gpu.done
        assert ("_backward" in line) == (train and name != "drop")


def test_without_cudnn_convolution_is_generic(gpu, monkeypatch):
    monkeypatch.setattr("xpcnn.backend.cuda.cudnn.versions", dict)
    graph = Graph({"conv": (L.Conv2d(3, 4, 3), "input")}, input_shape=(3, 6, 6), device=gpu.device)
    assert "generic for want of cuDNN" in graph.explain()


def test_without_kernels_all_is_generic(gpu, monkeypatch):
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    graph = Graph({"pool": (L.MaxPool2d(2), "input")}, input_shape=(3, 6, 6), device=gpu.device)
    assert "kernel " not in graph.explain()
    assert np.isfinite(graph(gpu.upload(np.ones((1, 3, 6, 6), "float32"))).host).all()
