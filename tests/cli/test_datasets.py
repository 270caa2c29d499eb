"""The list of data sets."""

import pytest

from xpcnn.data import datasets, files
from xpcnn.data.catalogue import SETS


def test_every_data_set_is_a_line_with_what_matters(xpcnn):
    result = xpcnn("datasets")
    assert result.code == 0
    lines = dict(zip(["head", *SETS], result.lines, strict=True))
    assert str(files.BUNDLED) in lines["mnist-mini"]
    for name, known in SETS.items():
        assert lines[name].split()[0] == name
        assert f"{known.train_shape[0]:,} + {known.test_shape[0]:,}" in lines[name]
        assert known.licence in lines[name]
    assert "$XPCNN_DATA_DIR/fashion-mnist" in lines["fashion-mnist"]
    assert lines["emnist-letters"].endswith("$XPCNN_DATA_DIR/emnist")
    assert "32x32x3" in lines["cifar100-coarse"]


def test_a_data_set_that_is_here_is_said_where(xpcnn, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for file in SETS["mnist"].files:
        (folder / file.name).touch()
    monkeypatch.setenv("XPCNN_DATA_DIR", str(tmp_path / "data"))
    assert xpcnn("datasets").lines[2].endswith(str(folder))
    monkeypatch.delenv("XPCNN_DATA_DIR")
    lines = xpcnn("datasets", "--data-dir", tmp_path / "data").lines
    assert lines[2].endswith(str(folder))
    assert lines[3].endswith(f"not in {tmp_path / 'data'}")


def test_json_holds_all_that_is_known(xpcnn):
    found = xpcnn("datasets", "--json").json
    assert [record["name"] for record in found] == list(SETS)
    for record, info in zip(found, datasets.available(), strict=True):
        assert record["train_shape"] == list(info.train_shape)
        assert record["classes"] == list(info.classes)
        assert record["found"] == info.found
        assert record["folder"] == SETS[info.name].folder


def test_the_default_is_the_set_that_needs_no_download(xpcnn):
    assert "(default: mnist-mini)" in xpcnn("train", "--help").out
    assert [info.name for info in datasets.available() if info.bundled] == ["mnist-mini"]


def test_an_empty_data_dir_exits_2(fails):
    fails(2, "datasets", "--data-dir", "", words="data_dir")


def test_a_folder_of_images_can_be_trained_on_and_evaluated(xpcnn, fails, here):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    for name in ("cat", "dog"):
        (here / "pets" / name).mkdir(parents=True)
        for i in range(4):
            image.new("L", (30, 32), 40 * i + 9).save(here / "pets" / name / f"{i}.png")
    result = xpcnn(
        "train", "--dataset", "folder:28x28:pets", "--epochs", 1, "--batch-size", 4, "--device", "cpu",
        "--out", "run", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert (result.json["source"], result.json["options"]["dataset"]) == ("pets", "folder:28x28:pets")
    shown = xpcnn("evaluate", result.json["model"], "--dataset", "folder:28x28:pets", "--device", "cpu", "--json").json
    assert (shown["classes"], shown["images"], shown["dataset"]) == (["cat", "dog"], 2, "pets")
    assert shown["test_accuracy"] == result.json["test_accuracy"]
    fails(1, "train", "--dataset", "folder:nowhere", words="nowhere: expected a folder of images")
    fails(2, "train", "--dataset", "folder:pets", "--data-dir", "pets", words="expected no data_dir")
    fails(2, "train", "--dataset", "pets", words="expected one of mnist-mini, mnist")
