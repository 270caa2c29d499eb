"""The table's machinery: what every fault must leave as it was, checked the same way for each."""

import contextlib
import gc
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from xpcnn.errors import CheckpointError, XpcnnError

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Fault:
    """
    A row of the table.

    Parameters
    ----------
    case : str
        Its number in docs/reliability.md, and a word or two.
    arrange : function of a folder
        Makes what is there before; what it returns is what `act` gets.
    act : function
        What a user does.
    error : type, optional
        None: it must succeed.
    words : tuple of str
        Parts of the error's text, beside the path of what `arrange` returned.
    writes : tuple of str
        Names of files in the folder that may be new or changed afterwards.
    memory : int
        Megabytes by which the process may grow meanwhile.
    seconds : float
        Generous: only what never ends takes so long.
    """

    case: str
    arrange: Callable[[Path], Any]
    act: Callable[[Any], Any]
    error: type[Exception] | None = CheckpointError
    words: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    memory: int = 50
    seconds: float = 30.0

    def run(self, folder: Path) -> None:
        """Let it happen, and look at what is left."""
        given = self.arrange(folder)
        gc.collect()
        before, open_files, threads = contents(folder), descriptors(), set(threading.enumerate())
        resident, start = _resident(reset=True), time.monotonic()
        caught: Exception | None = None
        try:
            self.act(given)
        except Exception as error:
            caught = error
        seconds, grown = time.monotonic() - start, _resident() - resident
        if self.error is None:
            if caught is not None:
                raise caught
        else:
            assert isinstance(caught, self.error), f"expected {self.error.__name__}, got {caught!r}"
            assert isinstance(caught, XpcnnError), repr(caught)
            text = str(caught)
            for word in (*self.words, *([str(given)] if isinstance(given, Path) else [])):
                assert word in text, f"expected {word!r} in {text!r}"
        caught = None  # which holds frames, and with them files
        gc.collect()
        after = contents(folder)
        for name in self.writes:
            before.pop(name, None), after.pop(name, None)
        assert after == before, "files beside it have changed, or something was left"
        assert descriptors() <= open_files, "a file was left open"
        assert set(threading.enumerate()) <= threads, "a thread was left"
        assert grown < self.memory * MEGABYTE, f"memory grew by {grown / MEGABYTE:.0f} MB"
        assert seconds < self.seconds, f"took {seconds:.0f} s"


def contents(folder: Path) -> dict[str, str]:
    """All that a folder holds, hidden files too, with digests."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder" if path.is_dir() else "other"
    return found


def descriptors() -> set[str]:
    """Numbers of the open files of this process."""
    with contextlib.suppress(OSError):
        return set(os.listdir("/proc/self/fd"))
    return set()


def _resident(*, reset: bool = False) -> int:
    """Most bytes that this process has held since the last reset; zero where the system does not tell."""
    with contextlib.suppress(OSError):
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) << 10
    return 0


@contextlib.contextmanager
def nobody_special() -> Iterator[None]:
    """Without the rights of root, to whom nothing is read-only."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(1000)
    try:
        yield
    finally:
        os.seteuid(0)


def closed_folder(folder: Path) -> Path:
    """A folder that nobody special may write to; skips where that cannot be had."""
    os.chmod(folder, 0o755)
    made = folder / "closed"
    made.mkdir(mode=0o755)
    os.chmod(made, 0o555)
    with nobody_special():
        if not os.access(made, os.R_OK | os.X_OK):
            pytest.skip(f"user {os.geteuid()} may not look into {made}")
        try:
            (made / "probe").touch()
        except PermissionError:
            return made
    (made / "probe").unlink()
    pytest.skip("this system lets everybody write everywhere")
