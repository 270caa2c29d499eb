"""The ready-made networks: sizes from their sources, and that they run."""

import re

import numpy as np
import pytest

from tests.models.nets import READY_MADE
from xpcnn.backend import Key, normal
from xpcnn.errors import ConfigError
from xpcnn.layers import SoftmaxCrossEntropy
from xpcnn.models import Residual, resnet9, resnet18, resnet50, small_vgg

every = pytest.mark.parametrize("name", READY_MADE)

OPTIONS = "expected options out of allow_tf32, deterministic, device, dtype"


@every
def test_number_of_parameters(name):
    make, count, shape = READY_MADE[name]
    model = make()
    assert sum(p.size for p in model.params.values()) == count
    assert model.input_shape == shape
    assert model.output_shape(shape) == (10,)
    assert {str(p.dtype) for p in model.params.values()} == {"float32"}


@pytest.mark.parametrize(("make", "count"), [(resnet18, 11_689_512), (resnet50, 25_557_032)])
def test_resnets_for_large_images_are_torchvisions(make, count):
    model = make(num_classes=1000, small_images=False)
    assert sum(p.size for p in model.params.values()) == count
    assert model.output_shape((3, 224, 224)) == (1000,)


def test_resnet50_has_its_strides_in_the_3x3_convolutions():
    """The published 4.09 billion products for an image; with the strides in the 1x1 before them they are 3.86."""
    model = resnet50(num_classes=1000, small_images=False)
    assert model.cost((3, 224, 224), 4).macs == 4_089_184_256


def test_resnet50_is_a_stem_and_blocks_of_three_convolutions():
    kinds = [type(layer).__name__ for layer in resnet50(small_images=False).children.values()]
    pair = ["Conv2d", "BatchNorm2d"]
    assert kinds == [*pair, "ReLU", "MaxPool2d", *["Residual", "ReLU"] * 16, "GlobalAvgPool2d", "Linear"]
    blocks = [layer for layer in resnet50().children.values() if isinstance(layer, Residual)]
    for i, block in enumerate(blocks):
        assert [type(leaf).__name__ for _, leaf in block.body.leaves()] == [*pair, "ReLU", *pair, "ReLU", *pair]
        # the shape changes at the start of each stage of 3, 4, 6 and 3 blocks
        shortcut = [] if block.shortcut is None else [type(leaf).__name__ for _, leaf in block.shortcut.leaves()]
        assert shortcut == (pair if i in (0, 3, 7, 13) else [])


@pytest.mark.parametrize("name", ["deepnotes", "keras_mnist", "lenet5", "torch_mnist", "small_vgg"])
def test_a_training_step_runs(name):
    make, _, shape = READY_MADE[name]
    model = make(seed=1)
    x = normal((2, *shape), Key(0)).astype("float32")
    logits, cache = model.forward(x, train=True)
    value, dlogits = SoftmaxCrossEntropy()(logits, np.asarray([1, 2]))
    dx, grads = model.backward(dlogits, cache)
    assert np.isfinite(float(value))
    assert dx.shape == x.shape
    assert {n: g.shape for n, g in grads.items()} == {n: p.shape for n, p in model.params.items()}
    assert all(np.isfinite(g).all() and np.any(g) for g in grads.values())


def test_other_channels_and_classes():
    for make in (small_vgg, resnet9, resnet18, resnet50):
        assert make(in_channels=1, num_classes=7).output_shape((1, 32, 32)) == (7,)


def test_resnet9_of_another_width_has_the_same_wiring():
    def pattern(model):
        return [(name, type(leaf)) for name, leaf in model.leaves()]

    narrow = resnet9(width=4)
    assert pattern(narrow) == pattern(resnet9())
    assert [p.shape[0] for p in narrow.params.values() if p.ndim == 4] == [4, 8, 8, 8, 16, 32, 32, 32]
    with pytest.raises(ConfigError, match="resnet9: expected width"):
        resnet9(width=0)


@pytest.mark.parametrize("name", [name for name in READY_MADE if name not in ("small_vgg", "resnet18", "resnet50")])
def test_a_fixed_shape_of_images_is_no_option(name):
    make, _, shape = READY_MADE[name]
    text = f"{name}: {OPTIONS} and seed, got input_shape: it is made for images of {shape}"
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        make(input_shape=(1, 32, 32))


@every
def test_an_unknown_option_is_refused_by_the_network_that_was_asked_for(name):
    with pytest.raises(ConfigError, match=rf"^{name}: {OPTIONS}.* and seed, got lr$"):
        READY_MADE[name][0](lr=0.1)
    with pytest.raises(ConfigError, match=r"got sed: did you mean 'seed'\?$"):
        READY_MADE[name][0](sed=1)
