"""Short versions of the parts of ``python -m tests.faults.soak`` that have no test of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import soak

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")


@pytest.fixture
def roomy(monkeypatch):
    """In the suite's own process, of which other tests have made much."""
    monkeypatch.setattr(soak, "GROWTH", 16.0)


def quiet(text):
    pass


def test_a_long_run_holds_no_more_at_its_end(tmp_path, roomy):
    assert "60 epochs of 180 steps" in soak.epochs(tmp_path, quiet, 60, warm=20)


def test_many_fits_leave_no_thread_file_or_memory(tmp_path, roomy):
    said = soak.fits(tmp_path, quiet, 48, warm=16)
    assert said.startswith("48 fits, 12 of them failed and 24 went on from a file; memory")


def test_two_processes_that_train_into_one_folder_leave_whole_files_and_the_same_model(tmp_path):
    assert soak.two(tmp_path, quiet, 1).startswith("1 pairs of processes that train")


def test_train_as_user_1000_with_a_read_only_root_without_network_home_and_temporary_folder(tmp_path):
    assert "same bytes" in soak.contained(tmp_path, quiet)


def test_a_leak_is_seen():
    code = """
import os
import pytest
from tests.faults import soak
use = soak.Use()
with open(os.devnull):
    with pytest.raises(AssertionError, match="open files"):
        use.expect_as_before()
held = b"x" * (64 << 20)
with pytest.raises(AssertionError, match="memory grew by"):
    use.expect_as_before()
"""  # in a process of its own, whose memory no earlier test has left free
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_parts_are_chosen_by_name_and_a_part_that_fails_is_told(monkeypatch, capsys):
    def fails(folder, tell):
        tell("so far")
        raise AssertionError("leaks")

    monkeypatch.setattr(soak, "PARTS", {"one": lambda folder, tell: "fine", "two": fails})
    assert soak.main(["one"]) == 0
    assert soak.main([]) == 1
    out, err = capsys.readouterr()
    assert "one: fine (0 s)\nall 1 parts are as they should be\n" in out
    assert "  two: so far\ntwo: FAILED (0 s)\nfailed: two\n" in out and "leaks" in err
    with pytest.raises(SystemExit):
        soak.main(["three"])
    assert "expected parts of one, two, got 'three'" in capsys.readouterr().err
