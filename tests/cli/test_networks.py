"""Networks by name."""

import pytest

from xpcnn.cli import networks
from xpcnn.errors import ConfigError

DIGITS = (1, 28, 28)


@pytest.mark.parametrize(
    ("name", "shape", "made_for"),
    [
        ("deepnotes", DIGITS, DIGITS),
        ("keras_mnist", DIGITS, DIGITS),
        ("lenet5", DIGITS, DIGITS),
        ("torch_mnist", DIGITS, DIGITS),
        ("torch_mnist", (1, 20, 28), DIGITS),
        ("small_vgg", DIGITS, DIGITS),
        ("resnet9", DIGITS, (1, 32, 32)),
        ("resnet9", (3, 32, 32), (3, 32, 32)),
        ("resnet18", DIGITS, DIGITS),
        ("resnet50", DIGITS, DIGITS),
    ],
)
def test_each_takes_the_images_or_larger_ones(name, shape, made_for):
    model = networks.make(name, shape, seed=4)
    assert model.input_shape == made_for
    assert model.output_shape(made_for) == (10,)
    assert model.seed == 4


def test_the_number_of_classes_is_the_data_sets():
    assert networks.make("small_vgg", DIGITS, 7).output_shape(DIGITS) == (7,)
    assert networks.make("resnet9", DIGITS, 7).output_shape((1, 32, 32)) == (7,)


@pytest.mark.parametrize(
    ("name", "shape"), [("deepnotes", (3, 28, 28)), ("deepnotes", (1, 32, 32)), ("resnet9", (3, 64, 32))]
)
def test_images_of_another_shape_are_refused(name, shape):
    with pytest.raises(ConfigError, match=name):
        networks.make(name, shape)
