"""What the system says of the processor's caches."""

import pytest

from xpcnn.backend.cpu import caches


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Lays out files as Linux does: a list of (level, size) texts, None for a file that is not there."""

    def say(*of):
        for i, texts in enumerate(of):
            folder = tmp_path / f"index{i}"
            folder.mkdir()
            for name, text in zip(("level", "size"), texts, strict=True):
                if text is not None:
                    (folder / name).write_text(text + "\n")
        monkeypatch.setattr(caches, "Path", lambda path: tmp_path)
        return caches.level2.__wrapped__()

    return say


def test_size_of_this_machine_makes_sense():
    assert 1 << 14 <= caches.level2() <= 1 << 30


@pytest.mark.parametrize(("text", "size"), [("512K", 512 << 10), ("2M", 2 << 20), ("1048576", 1 << 20)])
def test_units(system, text, size):
    assert system(("1", "32K"), ("1", "32K"), ("2", text), ("3", "64M")) == size


@pytest.mark.parametrize(
    "of",
    [[], [("1", "32K"), ("3", "64M")], [("2", "many")], [("2", "")], [("2", None)], [(None, "1M")], [("two", "1M")]],
)
def test_a_megabyte_where_the_system_does_not_say(system, of):
    assert system(*of) == 1 << 20
