"""The list of data sets."""

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


def test_an_empty_data_dir_exits_2(fails):
    fails(2, "datasets", "--data-dir", "", words="data_dir")
