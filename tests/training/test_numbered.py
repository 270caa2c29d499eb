"""Names of checkpoints, and what of a folder is one."""

import os
from pathlib import Path

import pytest

from xpcnn.errors import CheckpointError
from xpcnn.training.checkpoint import newest
from xpcnn.training.numbered import abandon, name, number, numbered, older


@pytest.mark.parametrize("step", [0, 7, 12345678, 123456789])
def test_names_come_back_as_numbers(step):
    assert number(Path("run") / name(step)) == step


@pytest.mark.parametrize(
    "text",
    [
        "step-00000003-good.safetensors", "step-notes.safetensors", "step-00000003.safetensors.abandoned",
        "step-00000003.safetensors.abandoned-2", "step-3.safetensors", "step-000000003.safetensors",
        "best.safetensors", "step-00000003xsafetensors",
        "step-\u0663\u0663\u0663\u0663\u0663\u0663\u0663\u0663.safetensors",
        "step--0000003.safetensors", "step-00000003.safetensors\n", f"step-{'9' * 200}.safetensors",
    ],
)  # fmt: skip
def test_other_names_are_no_numbers(text):
    assert number(Path(text)) is None


def test_the_files_of_a_folder_by_their_numbers(tmp_path):
    assert numbered(tmp_path / "no") == [] and newest(tmp_path) is None
    for step in (123456789, 5, 70):
        (tmp_path / name(step)).write_bytes(b"")
    (tmp_path / "step-00000099-mine.safetensors").write_bytes(b"")
    (tmp_path / name(100)).mkdir()
    found = numbered(tmp_path)
    assert [path.name for path in found] == [name(5), name(70), name(123456789)]
    assert newest(tmp_path) == newest(tmp_path.parent / tmp_path.name) == found[-1]
    assert [older(path) for path in found] == [None, found[0], found[1]]
    assert older(tmp_path / "best.safetensors") == found[-1]
    assert numbered(found[0]) == [], "a file is no folder"


def test_what_is_abandoned_is_never_the_newest_and_never_lost(tmp_path):
    (tmp_path / name(1)).write_bytes(b"1")
    for content in (b"first", b"second", b"third"):
        (tmp_path / name(2)).write_bytes(content)
        abandon(tmp_path / name(2))
    assert newest(tmp_path) == tmp_path / name(1)
    assert sorted(path.read_bytes() for path in tmp_path.glob("*.abandoned*")) == [b"first", b"second", b"third"]


def test_the_best_epoch_is_gone_on_from_where_nothing_has_a_number(tmp_path):
    place = tmp_path / "checkpoints"
    place.mkdir()
    (place / "best.safetensors").write_bytes(b"")
    assert newest(tmp_path) == newest(place) == place / "best.safetensors"
    (place / name(1)).write_bytes(b"")
    assert newest(tmp_path) == newest(place) == place / name(1)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_an_error_and_no_empty_one(tmp_path):
    tmp_path.chmod(0)
    try:
        with pytest.raises(CheckpointError, match="cannot be read"):
            numbered(tmp_path)
    finally:
        tmp_path.chmod(0o700)
