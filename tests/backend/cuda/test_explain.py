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
    "drop2": (L.Dropout2d(0.5), "backend/cuda/dropout.cu"),
    "mean": (L.AvgPool2d(2), "backend/cuda/avg_pool.cu"),
    "gmean": (L.GlobalAvgPool2d(), "backend/cuda/avg_pool.cu"),
    "gmax": (L.GlobalMaxPool2d(), "backend/cuda/adaptive_pool.cu"),
    "amean": (L.AdaptiveAvgPool2d(2), "backend/cuda/adaptive_pool.cu"),
    "amax": (L.AdaptiveMaxPool2d(2), "backend/cuda/adaptive_pool.cu"),
    "act": (L.ReLU(), "its formula"),
    "gelu": (L.GELU(), "its formula"),
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
    if name.startswith("drop") and not train:
        assert "nothing to drop" in line
    elif source is None:
        assert "generic" in line and not gpu.launched
    else:
        assert f" {source}" in line
        assert gpu.launched or "conv_fprop+bias" in gpu.done
        both = train and not name.startswith("drop")
        assert ("_backward" in line or "each way" in line) == both or source == "its formula"


def test_without_cudnn_convolution_is_generic(gpu, monkeypatch):
    monkeypatch.setattr("xpcnn.backend.cuda.cudnn.versions", dict)
    graph = Graph({"conv": (L.Conv2d(3, 4, 3), "input")}, input_shape=(3, 6, 6), device=gpu.device)
    assert "generic for want of cuDNN" in graph.explain()


def test_without_kernels_all_is_generic(gpu, monkeypatch):
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    graph = Graph({"pool": (L.MaxPool2d(2), "input")}, input_shape=(3, 6, 6), device=gpu.device)
    assert "kernel " not in graph.explain()
    assert np.isfinite(graph(gpu.upload(np.ones((1, 3, 6, 6), "float32"))).host).all()
