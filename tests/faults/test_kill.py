"""The short version of ``python -m tests.faults.kill``."""

import sys

import pytest

from tests.faults import kill
from xpcnn import atomic


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
