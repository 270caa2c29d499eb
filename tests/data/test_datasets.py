"""Data sets by name: where they are looked for, and that a file is never taken for another one."""

import ast
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xpcnn.data import Dataset, catalogue, datasets, files
from xpcnn.errors import ConfigError, DataError, DownloadError

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_):
        pytest.fail("a test opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_mnist_mini_needs_nothing_but_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("XPCNN_OFFLINE", "1")
    monkeypatch.setenv("XPCNN_DATA_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    data = datasets.load("mnist-mini")
    assert data.source == str(Path(datasets.__file__).parent / "mnist_mini")
    assert (data.x_train.shape, data.x_train.dtype) == ((6000, 1, 28, 28), np.float32)
    assert (data.x_test.shape, data.x_test.dtype) == ((1000, 1, 28, 28), np.float32)
    assert (data.y_train.shape, data.y_train.dtype) == ((6000,), np.int64)
    assert (data.y_test.shape, data.y_test.dtype) == ((1000,), np.int64)
    assert data.classes == tuple("0123456789")
    assert np.bincount(data.y_train).tolist() == [600] * 10
    assert np.bincount(data.y_test).tolist() == [100] * 10
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)


def test_mnist_mini_is_not_sorted_by_class():
    data = datasets.load("mnist-mini")
    assert all(len(set(data.y_train[i : i + 100].tolist())) >= 9 for i in range(0, 6000, 100))


def test_a_data_set_holds_the_pixels_divided_by_255_and_the_labels(tmp_path, tiny):
    data = datasets.load("tiny", tiny.put(tmp_path / "tiny"))
    for x, y, part, n in [(data.x_train, data.y_train, "train", 6), (data.x_test, data.y_test, "t10k", 4)]:
        pixels = np.frombuffer(tiny.contents[f"{part}-images-idx3-ubyte"], "u1", offset=16).reshape(n, 1, 2, 3)
        labels = np.frombuffer(tiny.contents[f"{part}-labels-idx1-ubyte"], "u1", offset=8)
        np.testing.assert_array_equal(x, (pixels / 255).astype("float32"))
        np.testing.assert_array_equal(y, labels)
    assert (data.name, data.classes) == ("tiny", tuple("abcdef"))


def test_a_data_set_unpacks_like_those_of_keras(tmp_path, tiny):
    data = datasets.load("tiny", tiny.put(tmp_path))
    assert isinstance(data, Dataset)
    (x_train, y_train), (x_test, y_test) = data
    assert x_train is data.x_train
    assert y_train is data.y_train
    assert x_test is data.x_test
    assert y_test is data.y_test


def test_a_data_set_is_frozen_but_its_arrays_are_the_callers(tmp_path, tiny):
    tiny.put(tmp_path)
    data = datasets.load("tiny", tmp_path)
    with pytest.raises(AttributeError):
        data.name = "other"
    data.x_train[:] = 7
    data.y_train[:] = 7
    assert datasets.load("tiny", tmp_path).x_train.max() <= 1
    assert "7." not in repr(data)


@pytest.mark.parametrize("packed", [True, False])
def test_files_may_be_compressed_or_plain(tmp_path, tiny, packed):
    assert datasets.load("tiny", tiny.put(tmp_path, packed=packed)).x_train.shape == (6, 1, 2, 3)


def test_the_places_are_searched_in_the_documented_order(monkeypatch, tmp_path, tiny):
    monkeypatch.setenv("XPCNN_DATA_DIR", str(tmp_path / "env"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder in ["system/tiny", "cache/xpcnn/tiny", "env/tiny"]:
        tiny.put(tmp_path / folder)
        assert datasets.load("tiny").source == str(tmp_path / folder)
    tiny.put(tmp_path / "mine")
    assert datasets.load("tiny", tmp_path / "mine").source == str(tmp_path / "mine")
    tiny.put(tmp_path / "mine/tiny")
    assert datasets.load("tiny", str(tmp_path / "mine")).source == str(tmp_path / "mine/tiny")


@pytest.mark.parametrize("cache", [None, "", "relative/cache"])
def test_without_an_absolute_xdg_folder_the_cache_is_in_the_home_folder(monkeypatch, tmp_path, tiny, cache):
    monkeypatch.delenv("XDG_CACHE_HOME") if cache is None else monkeypatch.setenv("XDG_CACHE_HOME", cache)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tiny.put(tmp_path / "home/.cache/xpcnn/tiny")
    assert datasets.load("tiny").source == str(folder)


def test_without_a_home_folder_the_other_places_still_serve(monkeypatch, tmp_path, tiny):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", str)  # what it does when there is no home
    with pytest.raises(DataError, match="expected a home folder to download to, got none"):
        datasets.load("tiny")
    folder = tiny.put(tmp_path / "system/tiny")
    assert datasets.load("tiny").source == str(folder)


def test_an_empty_variable_is_no_folder(monkeypatch, tmp_path, tiny):
    tiny.put(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XPCNN_DATA_DIR", "")
    monkeypatch.setenv("XPCNN_OFFLINE", "1")
    with pytest.raises(DownloadError):
        datasets.load("tiny")


def test_an_incomplete_place_is_passed_over_and_named_in_the_end(monkeypatch, tmp_path, tiny):
    monkeypatch.setenv("XPCNN_DATA_DIR", str(tmp_path / "env"))
    monkeypatch.setenv("XPCNN_OFFLINE", "1")
    tiny.put(tmp_path / "env/tiny", skip=(NAMES[1],))
    with pytest.raises(DownloadError, match=re.escape(f"{tmp_path}/env/tiny (which lacks {NAMES[1]})")):
        datasets.load("tiny")
    folder = tiny.put(tmp_path / "system/tiny")
    assert datasets.load("tiny").source == str(folder)


def test_a_named_folder_is_the_only_one_looked_at(monkeypatch, tmp_path, tiny):
    monkeypatch.setenv("XPCNN_DATA_DIR", str(tmp_path / "env"))
    tiny.put(tmp_path / "env/tiny")
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "mine"))) as error:
        datasets.load("tiny", tmp_path / "mine")
    assert not isinstance(error.value, DownloadError)
    assert all(f"{name}.gz" in str(error.value) for name in NAMES)


def test_a_named_folder_that_lacks_files_is_an_error_that_names_them(tmp_path, tiny):
    tiny.put(tmp_path, skip=NAMES[2:])
    with pytest.raises(DataError, match=f"missing in {tmp_path}: {NAMES[2]}.gz, {NAMES[3]}.gz: put them there"):
        datasets.load("tiny", tmp_path)


def test_a_named_folder_that_lacks_the_bundled_set_is_an_error_with_the_way_out(tmp_path):
    with pytest.raises(DataError, match="leave data_dir out, as this set comes with xpcnn"):
        datasets.load("mnist-mini", tmp_path)


def test_an_installation_without_the_bundled_files_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "BUNDLED", tmp_path)
    with pytest.raises(DataError, match="install xpcnn again"):
        datasets.load("mnist-mini")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("place", "content", "really"),
    [
        ("train_images", ("other", NAMES[0]), f"{NAMES[0]} of other"),
        ("t10k_labels", ("other", NAMES[3]), f"{NAMES[3]} of other"),
        ("train_images", ("tiny", NAMES[2]), f"{NAMES[2]} of tiny"),
        ("t10k_labels", ("tiny", NAMES[1]), f"{NAMES[1]} of tiny"),
        ("train_images", ("tiny", NAMES[1]), f"{NAMES[1]} of tiny"),
        ("t10k_labels", ("tiny", NAMES[2]), f"{NAMES[2]} of tiny"),
    ],
    ids=["other-images", "other-labels", "test-as-train", "train-as-test", "labels-as-images", "images-as-labels"],
)
def test_a_known_file_in_the_wrong_place_is_called_by_its_name(tmp_path, tiny, other, place, content, really, packed):
    sets = {"tiny": tiny, "other": other}
    tiny.put(tmp_path, packed=packed, **{place: sets[content[0]].contents[content[1]]})
    with pytest.raises(DataError, match=f"this is {really}: put the right file in its place") as error:
        datasets.load("tiny", tmp_path)
    name = next(name for name in NAMES if name.startswith(place.replace("_", "-")))
    record = next(file for file in tiny.known.files if file.name == name)
    assert str(tmp_path / name) in str(error.value)
    assert record.sha256 in str(error.value)
    wrong = next(file for file in sets[content[0]].known.files if file.name == content[1])
    assert f"got {wrong.sha256}" in str(error.value)


def test_one_changed_pixel_is_noticed(tmp_path, tiny):
    content = bytearray(tiny.contents[NAMES[0]])
    content[-1] ^= 1
    tiny.put(tmp_path, train_images=bytes(content))
    with pytest.raises(DataError, match="damaged, changed or of another data set"):
        datasets.load("tiny", tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"<html>404</html>", bytes([0, 0, 8, 3]) + b"\xff" * 12, bytes([0, 0, 8, 1, 0, 0, 0, 9, 1])]
)
def test_a_file_that_is_no_idx_file_is_named(tmp_path, tiny, content):
    tiny.put(tmp_path, t10k_images=content)
    with pytest.raises(DataError, match=re.escape(str(tmp_path / NAMES[2]))):
        datasets.load("tiny", tmp_path)


def test_a_wrong_file_is_an_error_and_not_passed_over(monkeypatch, tmp_path, tiny, other):
    monkeypatch.setenv("XPCNN_DATA_DIR", str(tmp_path / "env"))
    other.put(tmp_path / "env/tiny")
    tiny.put(tmp_path / "system/tiny")
    with pytest.raises(DataError, match=f"this is {NAMES[0]} of other"):
        datasets.load("tiny")


@pytest.mark.parametrize("name", ["mnist_mini", "MNIST", "cifar", "", "../mnist", None, 3])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(ConfigError, match=r"expected one of mnist-mini, mnist, fashion-mnist, kmnist, .*, got"):
        datasets.load(name)


def test_a_near_miss_of_a_name_is_guessed():
    near = {"Fashion_MNIST": "fashion-mnist", "CIFAR-10": "cifar10", "EMNIST Letters": "emnist-letters"}
    near["mnsit"] = "mnist"
    for name, guess in near.items():
        with pytest.raises(ConfigError, match=f"did you mean '{guess}'"):
            datasets.load(name)


@pytest.mark.parametrize("data_dir", [3, "", b"/data", ["a"]])
def test_a_data_dir_that_is_no_path_is_refused(data_dir):
    with pytest.raises(ConfigError, match="expected data_dir to be a path"):
        datasets.load("mnist", data_dir)


def test_available_lists_every_set_and_where_it_is(monkeypatch, tmp_path, tiny):
    records = {info.name: info for info in datasets.available()}
    assert list(records) == [*catalogue.SETS]
    assert list(records)[:4] == ["mnist-mini", "mnist", "fashion-mnist", "kmnist"]
    assert records["mnist-mini"].found.endswith("mnist_mini")
    assert records["mnist-mini"].bundled
    assert records["mnist"].found is None
    assert records["mnist"].train_shape == (60000, 1, 28, 28)
    assert records["mnist"].test_shape == (10000, 1, 28, 28)
    assert records["mnist"].licence.startswith("CC BY-SA 3.0")
    assert records["fashion-mnist"].licence.startswith("MIT")
    assert len(records["fashion-mnist"].classes) == 10
    folder = tiny.put(tmp_path / "cache/xpcnn/tiny")
    assert {info.name: info.found for info in datasets.available()}["tiny"] == str(folder)
    assert {info.name: info.found for info in datasets.available(tmp_path)} == dict.fromkeys(records)


def test_loading_local_data_imports_nothing_optional():
    code = (
        "import sys; from xpcnn.data import datasets; datasets.load('mnist-mini'); datasets.available();"
        "optional = {'pooch', 'tqdm', 'requests', 'urllib3', 'PIL', 'torch', 'cupy'};"
        "print({m.partition('.')[0] for m in sys.modules} & optional)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ast.literal_eval(result.stdout.replace("set()", "()")) == ()


def test_all_published_digests_are_different():
    known = catalogue.SETS.values()
    archives = {known.archive for known in known if known.archive is not None}
    files = [digest for known in known for file in known.files for digest in (file.sha256, file.packed) if digest]
    digests = [*files, *(archive.sha256 for archive in archives), *catalogue.PICKLES.values()]
    assert len(set(digests)) == len(digests) == 3 * 4 + 3 + 4 + 6 * 4 + 3 + 2
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)


@pytest.mark.parametrize(("name", "mean", "std"), [("mnist", 0.1307, 0.3081), ("fashion-mnist", 0.2860, 0.3530)])
def test_the_real_sets_load_and_have_their_published_mean_and_deviation(monkeypatch, real_data, name, mean, std):
    monkeypatch.setenv("XPCNN_DATA_DIR", str(real_data))
    data = datasets.load(name)
    assert data.x_train.shape == (60000, 1, 28, 28)
    assert data.x_test.shape == (10000, 1, 28, 28)
    assert round(float(data.x_train.mean(dtype="float64")), 4) == mean
    assert round(float(data.x_train.std(dtype="float64")), 4) == std
    assert np.unique(data.y_train).tolist() == np.unique(data.y_test).tolist() == list(range(10))
    assert (data.x_train.max(), data.x_test.min()) == (1, 0)


def test_the_real_fashion_mnist_is_not_taken_for_mnist(real_data):
    with pytest.raises(DataError, match="this is train-images-idx3-ubyte of fashion-mnist"):
        datasets.load("mnist", real_data / "fashion-mnist")
    with pytest.raises(DataError, match="this is train-images-idx3-ubyte of mnist:"):
        datasets.load("mnist-mini", real_data / "mnist")
