"""A tiny data set of four idx files, a place without any data, and a web server of our own."""

import gzip
import hashlib
import os
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from xpcnn.data import catalogue, files


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch, tmp_path):
    """No data set but the bundled one, and a cache of the test's own."""
    for name in ("XPCNN_DATA_DIR", "XPCNN_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "SYSTEM", tmp_path / "system")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


def encode(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype("u1").tobytes()


@dataclass
class TinySet:
    """A data set in the catalogue, and its contents."""

    name: str
    contents: dict[str, bytes]
    known: catalogue.DataSet

    def put(self, folder: Path, *, packed: bool = True, skip: tuple[str, ...] = (), **replace: bytes) -> Path:
        """Write the files into a folder; `replace` is by the names' first words, as train_images=..."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.contents.items():
            if name not in skip:
                content = replace.get("_".join(name.split("-")[:2]), content)
                (folder / f"{name}{'.gz' if packed else ''}").write_bytes(
                    gzip.compress(content, mtime=0) if packed else content
                )
        return folder


def make(name: str, seed: int, mirrors: tuple[str, ...] = ()) -> TinySet:
    rng = np.random.default_rng(seed)
    contents = {
        "train-images-idx3-ubyte": encode(rng.integers(0, 256, (6, 2, 3))),
        "train-labels-idx1-ubyte": encode(rng.permutation(6)),
        "t10k-images-idx3-ubyte": encode(rng.integers(0, 256, (4, 2, 3))),
        "t10k-labels-idx1-ubyte": encode(rng.permutation(4)),
    }
    records = tuple(
        catalogue.DataFile(file, hashlib.sha256(content).hexdigest(), len(content))
        for file, content in contents.items()
    )
    known = catalogue.DataSet(
        name=name,
        files=records,
        train_shape=(6, 1, 2, 3),
        test_shape=(4, 1, 2, 3),
        classes=tuple("abcdef"),
        licence="none",
        download_bytes=200,
        mirrors=mirrors,
    )
    return TinySet(name, contents, known)


@pytest.fixture
def tiny(monkeypatch):
    """The data set "tiny"."""
    made = make("tiny", 1)
    monkeypatch.setitem(catalogue.SETS, "tiny", made.known)
    return made


@pytest.fixture
def other(monkeypatch):
    """The data set "other", with the same file names and shapes."""
    made = make("other", 2)
    monkeypatch.setitem(catalogue.SETS, "other", made.known)
    return made


@dataclass
class Server:
    """
    Web server on this machine.

    `answers` maps the first part of a path to what is done with the rest: a function of (handler, file name).
    """

    url: str = ""
    answers: dict[str, Callable[[BaseHTTPRequestHandler, str], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def mirror(self, name: str, answer: Callable[[BaseHTTPRequestHandler, str], None]) -> str:
        self.answers[name] = answer
        return f"{self.url}/{name}/"


@pytest.fixture
def server():
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            made.asked.append(self.path)
            _, mirror, name = self.path.split("/")
            made.answers[mirror](self, name)

        def log_message(self, *_):
            pass

    class QuietServer(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):  # a client that hung up
            pass

    with QuietServer(("127.0.0.1", 0), Handler) as running:
        made.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield made
        running.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def real_data():
    """Folder with the real data sets, from the environment that pytest was started in."""
    if not REAL_DATA:
        pytest.skip("needs the real data sets: set XPCNN_DATA_DIR")
    return Path(REAL_DATA)


REAL_DATA = os.environ.get("XPCNN_DATA_DIR")
