"""EMNIST: members of one zip archive, turned images, labels from 1; and KMNIST, proven by the digests of its .gz."""

import dataclasses
import gzip
import hashlib

import numpy as np
import pytest

from tests.data import archived
from tests.data.conftest import encode
from xpcnn.data import catalogue, datasets, reading
from xpcnn.errors import DataError

SPLITS = ["byclass", "bymerge", "balanced", "letters", "digits", "mnist"]


@pytest.fixture
def tiny_emnist(monkeypatch):
    """Function that puts tiny contents of a split into the catalogue, and the archive into a folder if there is one."""

    def make(split, folder=None, contents=None, digests=True):
        name = f"emnist-{split}"
        contents = archived.emnist_files(name) if contents is None else contents
        archive = archived.zipped(contents)
        known = archived.entry(catalogue.SETS[name], contents, archive, digests)
        monkeypatch.setitem(catalogue.SETS, name, known)
        if folder is not None:
            archived.put(folder, known, archive)
        return contents

    return make


def assert_holds(data, contents):
    for part, x, y in [("train", data.x_train, data.y_train), ("test", data.x_test, data.y_test)]:
        images = next(c for name, c in contents.items() if f"-{part}-images" in name)
        labels = next(c for name, c in contents.items() if f"-{part}-labels" in name)
        first = 1 if data.name == "emnist-letters" else 0
        assert (x.dtype, y.dtype, x.shape) == (np.float32, np.int64, (len(y), 1, 28, 28))
        assert x.flags.c_contiguous
        assert y.tolist() == [label - first for label in labels[8:]]
        for n, row, column in [(0, 0, 0), (0, 0, 27), (1, 27, 0), (2, 3, 20), (3, 20, 3)]:
            # the byte of row `column` and column `row`: the file has them exchanged
            assert x[n, 0, row, column] == np.float32(images[16 + n * 784 + column * 28 + row] / 255)


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_comes_out_of_the_one_archive(tmp_path, monkeypatch, tiny_emnist, split):
    monkeypatch.setenv("XPCNN_DATA_DIR", str(tmp_path))
    contents = tiny_emnist(split, tmp_path / "emnist")
    data = datasets.load(f"emnist-{split}")
    assert_holds(data, contents)
    assert data.source == str(tmp_path / "emnist")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("where", ["", "emnist", "gzip", "emnist/gzip"])
def test_unpacked_files_are_as_good_as_the_archive(tmp_path, tiny_emnist, packed, where):
    contents = tiny_emnist("letters")
    archived.unpack(tmp_path / where, contents, packed=packed)
    assert_holds(datasets.load("emnist-letters", tmp_path), contents)


def test_images_are_turned_back_and_not_rotated(tmp_path, tiny_emnist):
    stored = np.zeros((6, 28, 28), "u1")
    stored[:, 2, 5] = 255  # third row, sixth column
    contents = archived.emnist_files("emnist-digits")
    contents["emnist-digits-train-images-idx3-ubyte"] = encode(stored)
    tiny_emnist("digits", tmp_path, contents)
    x = datasets.load("emnist-digits", tmp_path).x_train
    assert np.argwhere(x[0, 0]).tolist() == [[5, 2]]


@pytest.mark.parametrize(("label", "good"), [(0, False), (1, True), (26, True), (27, False)])
def test_letters_have_the_labels_1_to_26_in_the_files_and_0_to_25_here(tmp_path, tiny_emnist, label, good):
    contents = archived.emnist_files("emnist-letters")
    name = "emnist-letters-test-labels-idx1-ubyte"
    contents[name] = contents[name][:8] + bytes([label] * 4)
    tiny_emnist("letters", tmp_path, contents)
    if good:
        data = datasets.load("emnist-letters", tmp_path)
        assert data.y_test.tolist() == [label - 1] * 4
        assert data.classes[label - 1] == "AZ"[label == 26]
    else:
        with pytest.raises(DataError, match=f"{name}.gz: expected labels from 1 to 26, got {label} to {label}"):
            datasets.load("emnist-letters", tmp_path)


def test_a_member_that_is_not_the_published_one_is_refused(tmp_path, tiny_emnist, monkeypatch):
    tiny_emnist("digits", tmp_path)
    known = catalogue.SETS["emnist-digits"]
    files = (known.files[0]._replace(packed="0" * 64), *known.files[1:])
    monkeypatch.setitem(catalogue.SETS, "emnist-digits", dataclasses.replace(known, files=files))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: expected .* the .gz with SHA-256 0000"):
        datasets.load("emnist-digits", tmp_path)


def test_a_changed_gz_is_refused_and_plain_content_is_checked_by_its_form(tmp_path, tiny_emnist):
    contents = tiny_emnist("digits")
    name = "emnist-digits-test-labels-idx1-ubyte"
    changed = {**contents, name: contents[name][:-1] + bytes([contents[name][-1] ^ 1])}
    archived.unpack(tmp_path / "packed", changed, packed=True)
    with pytest.raises(DataError, match=f"{name}.gz: expected .* the file is damaged, changed"):
        datasets.load("emnist-digits", tmp_path / "packed")
    archived.unpack(tmp_path / "plain", changed)
    datasets.load("emnist-digits", tmp_path / "plain")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train-labels-idx1", encode(np.zeros(5))),
        ("train-images-idx3", encode(np.zeros((5, 28, 28)))),
        ("train-images-idx3", encode(np.zeros((6, 784)))),
        ("train-images-idx3", encode(np.zeros((6, 56, 14)))),
        ("test-images-idx3", encode(np.zeros((6, 28, 28)))),
        ("test-labels-idx1", bytes([0, 0, 9, 1, 0, 0, 0, 4, 1, 1, 1, 1])),
    ],
)
def test_plain_files_must_have_the_published_shape(tmp_path, tiny_emnist, name, content):
    contents = tiny_emnist("digits")
    file = f"emnist-digits-{name}-ubyte"
    archived.unpack(tmp_path, {**contents, file: content})
    with pytest.raises(DataError, match=f"{file}: expected {file} of emnist-digits, bytes of shape"):
        datasets.load("emnist-digits", tmp_path)


def test_a_known_file_of_another_set_is_called_by_its_name(tmp_path, tiny_emnist, tiny):
    contents = tiny_emnist("digits")
    file = "emnist-digits-train-images-idx3-ubyte"
    archived.unpack(tmp_path, {**contents, file: tiny.contents["train-images-idx3-ubyte"]})
    with pytest.raises(DataError, match="this is train-images-idx3-ubyte of tiny"):
        datasets.load("emnist-digits", tmp_path)


@pytest.mark.parametrize("split", SPLITS)
def test_the_catalogue_has_the_published_counts(split):
    known = catalogue.SETS[f"emnist-{split}"]
    counts = {"byclass": 814255, "bymerge": 814255, "balanced": 131600, "letters": 145600, "digits": 280000,
              "mnist": 70000}  # fmt: skip
    assert known.train_shape[0] + known.test_shape[0] == counts[split]
    assert len(known.classes) == {"byclass": 62, "letters": 26, "digits": 10, "mnist": 10}.get(split, 47)
    assert "".join(catalogue.SETS["emnist-balanced"].classes)[36:] == "abdefghnqrt"


def packed_only(made):
    """The catalogue's entry of a tiny set when only the digests of the .gz are published."""
    packed = {name: gzip.compress(content, mtime=0) for name, content in made.contents.items()}
    files = (
        file._replace(sha256="", packed=hashlib.sha256(packed[file.name]).hexdigest()) for file in made.known.files
    )
    return dataclasses.replace(made.known, files=tuple(files))


def test_a_published_gz_is_proven_by_its_own_digest(tmp_path, tiny, monkeypatch):
    monkeypatch.setitem(catalogue.SETS, "tiny", packed_only(tiny))
    assert datasets.load("tiny", tiny.put(tmp_path / "a")).x_train.shape == (6, 1, 2, 3)
    assert datasets.load("tiny", tiny.put(tmp_path / "b", packed=False)).x_train.shape == (6, 1, 2, 3)
    path = tiny.put(tmp_path / "c") / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), mtime=1))
    with pytest.raises(DataError, match=r"the .gz with SHA-256"):
        datasets.load("tiny", tmp_path / "c")


def test_a_download_must_be_proven_by_a_digest(tmp_path, tiny, monkeypatch):
    known = packed_only(tiny)
    monkeypatch.setitem(catalogue.SETS, "tiny", known)  # so that nothing recognises the content either
    folder = tiny.put(tmp_path, packed=False)
    with pytest.raises(DataError, match="got plain content with"):
        reading.check(folder / known.files[0].name, known, known.files[0])
