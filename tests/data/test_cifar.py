"""CIFAR-10 and CIFAR-100: records out of the binary archives, and what is done with anything else."""

import dataclasses
import hashlib
import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.data import archived
from xpcnn.data import catalogue, datasets, reading, streams
from xpcnn.errors import DataError, DownloadError

FOLDERS = {"cifar10": archived.CIFAR10, "cifar100": archived.CIFAR100, "cifar100-coarse": archived.CIFAR100}


@pytest.fixture
def tiny_cifar(monkeypatch):
    """Function that puts a tiny archive of a set into a folder, and its digest into the catalogue."""

    def make(name, folder, contents=None, archive=None):
        contents = archived.cifar_files(name) if contents is None else contents
        archive = archived.tar(contents, FOLDERS[name]) if archive is None else archive
        known = archived.entry(catalogue.SETS[name], contents, archive)
        monkeypatch.setitem(catalogue.SETS, name, known)
        archived.put(folder, known, archive)
        return contents

    return make


def assert_holds(data, contents, label_bytes, label_at):
    """Compare with the records, pixel by pixel, in the words of the published description."""
    length = label_bytes + 3072
    records = [c[i : i + length] for c in contents.values() for i in range(0, len(c), length)]
    images = np.concatenate([data.x_train, data.x_test])
    labels = np.concatenate([data.y_train, data.y_test])
    assert len(records) == len(images) == len(labels)
    assert len(data.x_test) == len(list(contents.values())[-1]) // length
    assert (images.dtype, labels.dtype) == (np.float32, np.int64)
    for image, label, record in zip(images, labels, records, strict=True):
        assert label == record[label_at]
        red, green, blue = (record[label_bytes + k * 1024 :][:1024] for k in range(3))
        for row, column in [(0, 0), (0, 31), (31, 0), (7, 20), (31, 31)]:
            for channel, plane in enumerate((red, green, blue)):
                assert image[channel, row, column] == np.float32(plane[row * 32 + column] / 255)


def test_cifar_loader_on_tiny_fixture(tmp_path, monkeypatch, tiny_cifar):
    contents = tiny_cifar("cifar10", tmp_path / "cifar10")
    monkeypatch.setenv("XPCNN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("XPCNN_OFFLINE", "1")
    data = datasets.load("cifar10")
    assert (data.x_train.shape, data.x_test.shape) == ((20, 3, 32, 32), (4, 3, 32, 32))
    assert data.classes[3] == "cat"
    assert data.source == str(tmp_path / "cifar10")
    assert_holds(data, contents, label_bytes=1, label_at=0)
    assert os.listdir(tmp_path / "cifar10") == ["cifar-10-binary.tar.gz"], "nothing is extracted"


@pytest.mark.parametrize(("name", "label_at", "classes"), [("cifar100", 1, 100), ("cifar100-coarse", 0, 20)])
def test_cifar100_has_fine_and_coarse_labels_in_one_folder(tmp_path, tiny_cifar, name, label_at, classes):
    contents = tiny_cifar(name, tmp_path / "cifar100", archived.cifar_files(name, per_file=50))
    data = datasets.load(name, tmp_path)
    assert len(data.classes) == classes
    assert_holds(data, contents, label_bytes=2, label_at=label_at)


def test_the_class_names_are_the_published_ones():
    fine, coarse = catalogue.SETS["cifar100"].classes, catalogue.SETS["cifar100-coarse"].classes
    assert (len(fine), len(coarse)) == (100, 20)
    assert list(fine) == sorted(fine)
    # examples that are printed in many papers
    assert [fine[i] for i in (0, 11, 35, 46, 52, 99)] == ["apple", "boy", "girl", "man", "oak_tree", "worm"]
    assert [coarse[i] for i in (0, 9, 13, 14, 19)] == [
        "aquatic_mammals", "large_man-made_outdoor_things", "non-insect_invertebrates", "people", "vehicles_2",
    ]  # fmt: skip


@pytest.mark.parametrize("where", ["", "cifar10", "cifar10/cifar-10-batches-bin", "cifar-10-batches-bin"])
def test_unpacked_files_are_as_good_as_the_archive(tmp_path, tiny_cifar, where):
    contents = tiny_cifar("cifar10", tmp_path / "elsewhere")
    archived.unpack(tmp_path / "mine" / where, contents)
    assert_holds(datasets.load("cifar10", tmp_path / "mine"), contents, label_bytes=1, label_at=0)


def test_an_archive_that_is_not_the_published_one_is_refused_whole(tmp_path, tiny_cifar):
    contents = tiny_cifar("cifar10", tmp_path)
    archive = bytearray((tmp_path / "cifar-10-binary.tar.gz").read_bytes())
    archive[len(archive) // 2] ^= 1
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(archive)
    archived.unpack(tmp_path, contents)  # whoever has a wrong file is told so
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz: expected .* SHA-256 .* it is damaged, or is not"):
        datasets.load("cifar10", tmp_path)


@pytest.mark.parametrize("length", [0, 1, 1000, -1])
def test_a_truncated_archive_is_refused_with_both_sizes(tmp_path, tiny_cifar, length):
    tiny_cifar("cifar10", tmp_path)
    path = tmp_path / "cifar-10-binary.tar.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    with pytest.raises(DataError, match=f"expected .* {len(whole):,} bytes .*, got {len(whole[:length]):,} bytes"):
        datasets.load("cifar10", tmp_path)


@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"])
def test_an_archive_of_pickles_is_refused_under_either_name(tmp_path, monkeypatch, tiny_cifar, name):
    tiny_cifar("cifar10", tmp_path)
    content = (tmp_path / "cifar-10-binary.tar.gz").read_bytes() + b"!"
    (tmp_path / "cifar-10-binary.tar.gz").unlink()
    (tmp_path / name).write_bytes(content)
    monkeypatch.setitem(catalogue.PICKLES, "cifar-10-python.tar.gz", hashlib.sha256(content).hexdigest())
    with pytest.raises(DataError, match=r"cifar-10-python.tar.gz.* pickles are not read.*: take the binary version"):
        datasets.load("cifar10", tmp_path)


def test_pickles_in_the_usual_places_are_named_when_nothing_better_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("XPCNN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("XPCNN_OFFLINE", "1")
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "cifar-10-python.tar.gz").write_bytes(b"")
    with pytest.raises(DownloadError, match=r"cifar-10-python.tar.gz holds pickles, which are not read") as error:
        datasets.load("cifar10")
    assert "this file into $XPCNN_DATA_DIR/cifar10:\n  cifar-10-binary.tar.gz" in str(error.value)


def test_another_known_archive_is_called_by_its_name(tmp_path, tiny_cifar):
    tiny_cifar("cifar100", tmp_path / "a")
    tiny_cifar("cifar10", tmp_path / "b")
    (tmp_path / "b" / "cifar-10-binary.tar.gz").write_bytes((tmp_path / "a" / "cifar-100-binary.tar.gz").read_bytes())
    with pytest.raises(DataError, match=r"this is cifar-100-binary.tar.gz of cifar100: put the right file"):
        datasets.load("cifar10", tmp_path / "b")


def change(contents, name, at, value):
    content = bytearray(contents[name])
    content[at] = value
    return {**contents, name: bytes(content)}


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "file", "at", "limit"),
    [
        ("cifar10", "data_batch_3.bin", 3073, 9),
        ("cifar10", "test_batch.bin", 0, 9),
        ("cifar100", "train.bin", 3074, 19),
        ("cifar100", "test.bin", 3074 + 1, 99),
        ("cifar100-coarse", "test.bin", 1, 99),
    ],
)
def test_a_label_that_no_class_has_is_an_error_that_names_the_file(tmp_path, tiny_cifar, name, file, at, limit, packed):
    contents = change(archived.cifar_files(name), file, at, limit + 1)
    tiny_cifar(name, tmp_path / "a", contents)
    folder = tmp_path / "a" if packed else archived.unpack(tmp_path / "b", contents)
    with pytest.raises(DataError, match=f"{file}: expected labels from 0 to {limit}, got .* to {limit + 1}"):
        datasets.load(name, folder)
    tiny_cifar(name, tmp_path / "a", change(contents, file, at, limit))
    datasets.load(name, tmp_path / "a")


@pytest.mark.parametrize("extra", [b"x", b"x" * 3073, None, "cut"])
def test_an_unpacked_file_of_another_length_is_an_error_that_names_it(tmp_path, tiny_cifar, extra):
    contents = tiny_cifar("cifar10", tmp_path / "a")
    content = contents["data_batch_2.bin"]
    content = b"" if extra is None else content[:-1] if extra == "cut" else content + extra
    folder = archived.unpack(tmp_path / "b", {**contents, "data_batch_2.bin": content})
    with pytest.raises(DataError, match=f"data_batch_2.bin: expected 12,292 bytes, 4 records.* got {len(content):,}:"):
        datasets.load("cifar10", folder)


def test_a_missing_batch_is_named(tmp_path, tiny_cifar):
    contents = tiny_cifar("cifar10", tmp_path / "a")
    folder = archived.unpack(tmp_path / "b", contents)
    (folder / "data_batch_4.bin").unlink()
    with pytest.raises(DataError, match=r"missing in .*: data_batch_4.bin: put them there"):
        datasets.load("cifar10", folder)
    del contents["data_batch_4.bin"]
    with pytest.raises(DataError, match=r"expected cifar-10-binary.tar.gz or its 6 files in .*: cifar-10-binary"):
        datasets.load("cifar10", tmp_path / "c")


def test_loading_needs_little_more_memory_than_the_arrays(tmp_path, tiny_cifar):
    tiny_cifar("cifar10", tmp_path, archived.cifar_files("cifar10", per_file=1200))
    tracemalloc.start()
    data = datasets.load("cifar10", tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    arrays = sum(a.nbytes for a in (data.x_train, data.x_test))
    assert peak < arrays + 12e6, "a block of records at a time: the files have 22 MB"


def test_published_sizes_fit_the_records():
    for name in ("cifar10", "cifar100", "cifar100-coarse"):
        known = catalogue.SETS[name]
        length = len(known.records.classes) + 3072
        assert sum(file.size for file in known.files) == (known.train_shape[0] + known.test_shape[0]) * length
        assert known.files[-1].size == known.test_shape[0] * length
        assert known.records.classes[known.records.chosen] == len(known.classes)
        assert dataclasses.replace(known).download_bytes == known.archive.size


def test_a_file_that_goes_while_the_set_is_read_is_a_data_error(tmp_path, tiny_cifar):
    contents = tiny_cifar("cifar10", tmp_path / "a")
    folder = archived.unpack(tmp_path / "b", contents)
    (folder / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"test_batch.bin: expected test_batch.bin of cifar10, got no file"):
        reading.read(folder, catalogue.SETS["cifar10"])


@pytest.mark.parametrize(("change", "words"), [(-1, "1 bytes more, got its end"), (1, "12,292 bytes, got more")])
def test_a_stream_of_unknown_length_is_read_to_its_end_and_no_further(tmp_path, tiny_cifar, change, words):
    contents = tiny_cifar("cifar10", tmp_path)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = contents["test_batch.bin"]
    content = content[:change] if change < 0 else content + b"x"
    known = catalogue.SETS["cifar10"]
    with ThreadPoolExecutor(1) as pool:
        pool.submit(path.write_bytes, content)
        with streams.opened(path, "pipe") as (stream, size):
            assert size is None
            with pytest.raises(DataError, match=words):
                reading._RecordFiles(known).take(known.files[-1], "pipe", stream, size)
