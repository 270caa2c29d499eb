"""The short version of ``python -m tests.faults.kill``."""

import sys

import pytest

from tests.faults import kill
from tests.training.helpers import digits, small_net
from xpcnn import atomic
from xpcnn.training import ModelCheckpoint


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_run_that_is_killed_at_random_moments_loses_nothing_and_ends_in_the_same_bytes(tmp_path):
    figures = kill.kill(8, 1, tmp_path)
    assert figures.kills == 8
    assert figures.runs >= 1
    assert figures.saves > 60


def test_what_a_killed_probe_has_left_goes_when_training_begins_again(tmp_path):
    path = tmp_path / "best.safetensors"
    left = tmp_path / f"{atomic._prefix(path)}{0:016x}.tmp"
    left.write_bytes(b"\0")
    atomic.probe(path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_save_has_left_goes_when_the_run_goes_on_and_what_is_being_written_stays(tmp_path):
    """Also of a step that is saved no more, where checkpoints go by the clock."""
    x, y = digits(n=20)
    left = tmp_path / f"{atomic._prefix(tmp_path / 'step-00000001.safetensors')}{0:016x}.tmp"
    left.write_bytes(b"half")
    (tmp_path / "notes.tmp").write_text("somebody else's")
    with atomic._temporary(tmp_path / "step-00000002.safetensors") as (living, _):
        small_net().fit(x, y, callbacks=[ModelCheckpoint(tmp_path, best=False)], batch_size=5, verbose=0)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == sorted([living.name, "notes.tmp", "step-00000004.safetensors"])
