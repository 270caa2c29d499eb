"""Summaries from the command line."""

import pytest

import xpcnn as library
from xpcnn.cli import networks


@pytest.mark.parametrize("name", list(networks.NETWORKS))
def test_a_network_is_summarised_as_the_library_makes_it(xpcnn, name):
    result = xpcnn("summary", name)
    assert result.code == 0
    model = networks.NETWORKS[name].build()
    assert result.out == f"{name}, images of {model.input_shape}\n\n{model.summary()}\n"


def test_batch_and_input_shape(xpcnn):
    result = xpcnn("summary", "small_vgg", "--batch", 8, "--input-shape", 1, 28, 28)
    model = library.models.small_vgg(in_channels=1, input_shape=(1, 28, 28))
    assert result.out.partition("\n\n")[2] == model.summary(batch=8) + "\n"


def test_a_model_file(xpcnn, model_file):
    result = xpcnn("summary", model_file, "--batch", 2)
    assert result.out.partition("\n\n")[2] == library.load(model_file).summary(batch=2) + "\n"


def test_a_model_file_without_a_shape(xpcnn, here):
    from xpcnn.layers import Conv2d

    library.Sequential(Conv2d(3, 4, 3)).save(here / "m.safetensors")
    assert "unknown" in xpcnn("summary", "m.safetensors").out
    assert "(1, 4, 6, 8)" in xpcnn("summary", "m.safetensors", "--input-shape", 3, 8, 10).out


def test_an_unknown_name_exits_2_and_lists_those_that_there_are(fails):
    fails(2, "summary", "lenet", words=["lenet", *networks.NETWORKS])


@pytest.mark.parametrize("path", ["none.safetensors", "runs/009"])
def test_a_missing_file_exits_1(fails, path):
    fails(1, "summary", path, words=path)


@pytest.mark.parametrize(
    "argv",
    [
        ["deepnotes", "--batch", 0],
        ["deepnotes", "--input-shape", 1, 28],
        ["deepnotes", "--input-shape", 0, 28, 28],
        ["deepnotes", "--input-shape", 3, 28, 28],
        ["deepnotes", "--input-shape", 1, 20, 20],
        ["resnet9", "--input-shape", 3, 28, 28],
    ],
)
def test_wrong_options_exit_2(fails, argv):
    fails(2, "summary", *argv)


def test_a_shape_that_a_model_file_does_not_take_exits_1(fails, model_file):
    fails(1, "summary", model_file, "--input-shape", 1, 20, 20)


def test_a_fixed_shape_is_named_as_it_is_written(fails):
    fails(2, "summary", "deepnotes", "--input-shape", 1, 20, 20, words="expected --input-shape 1 28 28 for deepnotes")
    fails(2, "summary", "resnet9", "--input-shape", 3, 28, 28, words="expected --input-shape C 32 32 for resnet9")


def test_the_shapes_that_the_help_calls_free_are(xpcnn):
    text = " ".join(xpcnn("summary", "--help").out.split())
    free = "small_vgg C H W, resnet9 C 32 32, resnet18 C H W, resnet50 C H W and model files"
    assert f"free for {free}; fixed for the others" in text
    shapes = {"small_vgg": (3, 64, 48), "resnet9": (1, 32, 32), "resnet18": (1, 40, 64), "resnet50": (3, 64, 32)}
    for name, shape in shapes.items():
        assert xpcnn("summary", name, "--input-shape", *shape).out.startswith(f"{name}, images of {shape}\n")
