"""Prediction from the command line."""

import gzip
import os
import struct

import numpy as np
import pytest

import xpcnn as library
from xpcnn.errors import DataError


@pytest.fixture
def predict(xpcnn, model_file):
    def run(*argv):
        result = xpcnn("predict", model_file, *argv, "--device", "cpu")
        assert (result.code, result.err) == (0, "")
        return [int(line) for line in result.lines]

    return run


@pytest.fixture
def expected(model_file, digits):
    return library.load(model_file).predict(digits.x_test).tolist()


@pytest.fixture
def pixels(digits):
    """The test digits as bytes, (N, 28, 28)."""
    return np.rint(digits.x_test[:, 0] * 255).astype("uint8")


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_one_label_a_line_for_a_data_set(predict, small, expected, digits, model_file):
    assert predict("--dataset", "mnist-mini") == expected
    assert predict("--dataset", "mnist-mini", "--limit", 3) == expected[:3]
    train = library.load(model_file).predict(digits.x_train[:5]).tolist()
    assert predict("--dataset", "mnist-mini", "--split", "train", "--limit", 5) == train


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(predict, here, pixels, expected, packed):
    content = idx(pixels)
    (here / "images").write_bytes(gzip.compress(content) if packed else content)
    assert predict("images") == expected


@pytest.mark.parametrize(
    "form",
    [
        lambda bytes_, x: bytes_,
        lambda bytes_, x: bytes_[:, None],
        lambda bytes_, x: x,
        lambda bytes_, x: x[:, 0].astype("float64"),
        lambda bytes_, x: x.astype(">f4"),
        lambda bytes_, x: np.asfortranarray(x),
    ],
    ids=["bytes", "with channel", "float32", "float64", "big-endian", "fortran"],
)
def test_numpy_files(predict, here, pixels, digits, expected, form):
    np.save(here / "images.npy", form(pixels, digits.x_test))
    assert predict("images.npy") == expected
    assert predict("images.npy", "--limit", 1) == expected[:1]


def test_one_image_alone(predict, here, pixels, expected):
    np.save(here / "one.npy", pixels[4])
    assert predict("one.npy") == [expected[4]]


def test_json_holds_labels_and_probabilities(xpcnn, small, model_file, expected):
    found = xpcnn("predict", model_file, "--dataset", "mnist-mini", "--limit", 4, "--json").json
    assert found["labels"] == expected[:4]
    assert np.allclose(found["probabilities"], library.load(model_file).predict_proba(small.x_test[:4]), atol=1e-6)
    assert np.allclose(np.sum(found["probabilities"], axis=1), 1, atol=1e-5)


def test_smaller_images_are_padded_for_a_network_that_wants_larger(xpcnn, here, pixels, digits):
    from xpcnn.layers import Flatten, Linear

    model = library.Sequential(Flatten(), Linear(32 * 33, 10), input_shape=(1, 32, 33))
    model.save(here / "m")
    padded = np.zeros((len(pixels), 1, 32, 33), dtype="float32")
    padded[:, :, 2:30, 2:30] = digits.x_test
    np.save(here / "images.npy", pixels)
    result = xpcnn("predict", "m", "images.npy", "--device", "cpu")
    assert [int(line) for line in result.lines] == model.predict(padded).tolist()


def test_images_that_are_too_small_one_way_only_are_padded(xpcnn, here, model_file, digits):
    padded = digits.x_test.copy()
    padded[:, :, :, :3] = padded[:, :, :, 25:] = 0.0
    np.save(here / "narrow.npy", padded[:, :, :, 3:25])
    result = xpcnn("predict", model_file, "narrow.npy", "--device", "cpu")
    assert [int(line) for line in result.lines] == library.load(model_file).predict(padded).tolist()


def test_colour_images(xpcnn, here):
    from xpcnn.layers import Flatten, Linear

    model = library.Sequential(Flatten(), Linear(3 * 16, 10), input_shape=(3, 4, 4))
    model.save(here / "m")
    x = np.random.default_rng(0).random((2, 3, 4, 4)).astype("float32")
    np.save(here / "two.npy", x)
    np.save(here / "one.npy", x[1])
    two, one = (xpcnn("predict", "m", name, "--device", "cpu") for name in ("two.npy", "one.npy"))
    assert [int(line) for line in two.lines] == model.predict(x).tolist()
    assert one.lines == two.lines[1:]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 28, 28), dtype="int64"), ["uint8", "int64"]),
        (np.zeros((2, 28, 28), dtype=bool), "bool"),
        (np.zeros((2, 28, 28), dtype=complex), "complex"),
        (np.zeros((2, 28, 28), dtype="f4,f4"), "f4"),
        (np.full((2, 28, 28), np.nan), "NaN"),
        (np.full((2, 28, 28), 1e300), "infinity"),
        (np.full((2, 28, 28), 255.0), ["from 0 to 1, got 255 to 255", "divide"]),
        (np.full((2, 28, 28), -0.5, "float32"), "from 0 to 1, got -0.5 to -0.5"),
        (np.zeros((0, 28, 28)), "images.npy"),
        (np.zeros(28), "(28,)"),
        (np.zeros((1, 1, 1, 28, 28)), "(1, 1, 1, 28, 28)"),
        (np.zeros((2, 14, 29), dtype="u1"), "of shape (1, 28, 28), got (1, 14, 29): resize them to 28x28"),
        (np.zeros((2, 3, 28, 28), dtype="u1"), "got (3, 28, 28): this network wants 1 channel(s)"),
        (np.zeros((2, 28, 28, 1)), ""),
    ],
)
def test_arrays_that_are_no_images_for_the_network_exit_1(fails, here, model_file, array, words):
    np.save(here / "images.npy", array)
    fails(1, "predict", model_file, "images.npy", words=words)


def test_a_pickle_is_refused_unread(fails, here, model_file):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(here / "exploded"),)

    np.save(here / "objects.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    fails(1, "predict", model_file, "objects.npy", words="objects.npy")
    assert not (here / "exploded").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': 'u1'}",
        b"PK\x03\x04 a zip archive",
        b"\x89PNG\r\n\x1a\n",
        b"\x1f\x8b not gzip",
        idx(np.zeros((2, 28, 28), dtype="u1"))[:-1],
    ],
)
def test_damaged_and_foreign_files_exit_1(fails, here, model_file, content):
    (here / "input").write_bytes(content)
    fails(1, "predict", model_file, "input", words="input")


def test_a_file_of_another_kind_is_told_which_kinds_there_are(fails, here, model_file):
    (here / "f.py").write_text("x = 1")
    line = fails(1, "predict", model_file, "f.py")
    assert "f.py: expected images in a NumPy file (.npy) or an idx file, plain or .gz, got a file that" in line
    assert "--dataset folder:PATH" in line


def test_images_of_another_size_are_to_be_resized(fails, here, model_file):
    np.save(here / "w.npy", np.zeros((2, 32, 32), "u1"))
    line = fails(1, "predict", model_file, "w.npy", "--device", "cpu")
    assert line.endswith("expected images of shape (1, 28, 28), got (1, 32, 32): resize them to 28x28")


def test_a_data_set_that_does_not_fit_is_refused_before_it_is_fetched(fails, monkeypatch, model_file):
    monkeypatch.setattr(library.datasets, "load", lambda *_: pytest.fail("the data set was loaded"))
    fails(1, "predict", model_file, "--dataset", "cifar10", words="got (3, 32, 32): ")


def test_a_header_that_claims_too_much_is_refused_before_memory_is_asked_for(fails, here, model_file):
    np.save(here / "a.npy", np.zeros((2, 28, 28), dtype="u1"))
    content = (here / "a.npy").read_bytes()
    (here / "a.npy").write_bytes(content.replace(b"(2, 28, 28), }         ", b"(2000000000, 28, 28), }"))
    fails(1, "predict", model_file, "a.npy", words="a.npy")


def test_missing_files_exit_1(fails, here, model_file):
    fails(1, "predict", model_file, "none.npy", words=["none.npy", "No such file"])
    fails(1, "predict", model_file, here, words=here)
    fails(1, "predict", "none.safetensors", "none.npy", words="none.safetensors")


def test_a_file_or_a_data_set_is_needed_and_not_both(fails, model_file):
    fails(2, "predict", model_file, words="neither")
    fails(2, "predict", model_file, "a.npy", "--dataset", "mnist", words="both")
    fails(2, "predict", model_file, "a.npy", "--split", "train", words="--split")
    fails(2, "predict", model_file, "a.npy", "--data-dir", "d", words="--data-dir")
    fails(2, "predict", model_file, "--dataset", "mnist-mini", "--limit", 0, words="--limit")
    fails(2, "predict", model_file, "--dataset", "mnist-mini", "--split", "all", words="--split")


def test_reading_is_strict_without_the_command_line_too(here, model_file):
    from xpcnn.cli.images import read_images

    with pytest.raises(DataError, match="cannot be read"):
        read_images("none", library.load(model_file))
