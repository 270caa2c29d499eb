"""Faults of files, machines and processes: a row a case. docs/reliability.md says where each of the 48 is tested."""

import contextlib
import errno
import io
import os
import pickle
import random
import resource
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.faults.crafted import (
    description,
    linear,
    model_file,
    raw_file,
    small,
    small_arrays,
    table_of,
)
from tests.faults.harness import Fault, closed_folder, nobody_special
from tests.namespaces import snapshot
from xpcnn import Linear, Sequential, atomic, load
from xpcnn.cli.images import read_images
from xpcnn.data import read_idx
from xpcnn.errors import CheckpointError, DataError
from xpcnn.models import files, tensor_files


class _Canary:
    """A pickle that writes a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


# Arrange: a folder becomes the path that is written or read.


def new(name="model.safetensors"):
    return lambda folder: folder / name


def old(name="model.safetensors"):
    """A model is there already."""

    def arrange(folder):
        small().save(folder / name)
        return folder / name

    return arrange


def holding(content, name="model.safetensors"):
    def arrange(folder):
        (folder / name).write_bytes(content(folder) if callable(content) else content)
        return folder / name

    return arrange


def crafted(architecture=None, arrays=None, text=None, **changes):
    header = description(linear() if architecture is None else architecture, **changes)
    return lambda folder: model_file(folder / "model.safetensors", header, arrays, text)


def raw(table, body=b"", length=None):
    return lambda folder: raw_file(folder / "model.safetensors", table, body, length)


def in_closed(folder):
    return closed_folder(folder) / "model.safetensors"


def linked_in_a_circle(folder):
    (folder / "a").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "a")
    return folder / "a"


def linked(folder):
    (folder / "real").mkdir()
    (folder / "link").symlink_to(folder / "real" / "model")
    return folder / "link"


def dangling(folder):
    (folder / "link").symlink_to(folder / "missing" / "model")
    return folder / "link"


def pipe(folder):
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def packed(folder):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model.safetensors", b"{}")
    return file.getvalue()


def canary(folder):
    return pickle.dumps(_Canary(folder / "canary"))


def of_100_megabytes(folder):
    path = raw_file(folder / "model.safetensors", b"{", length=100_000_001)
    os.truncate(path, 100_000_100)  # sparse: it takes no room
    return path


def left_behind(folder):
    """What a process killed while it wrote leaves: its lock is gone with it."""
    path = old()(folder)
    for number in range(3):
        (folder / f"{atomic._prefix(path)}{number:016x}.tmp").write_bytes(b"half")
    (folder / f"{atomic._prefix(folder / 'other')}{0:016x}.tmp").write_bytes(b"of another file")
    return path


# Act.


def save(path):
    """Another model than `old` wrote."""
    Sequential(Linear(3, 1), seed=2).save(path)


def save_and_load(path):
    save(path)
    assert load(path)[0].in_features == 3


def as_nobody(act):
    def acting(given):
        with nobody_special():
            act(given)

    return acting


def with_limit(act, size):
    """Files may not grow beyond so many bytes: what a full disk looks like to a process."""

    def acting(given):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            act(given)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return acting


def load_in_words(path):
    """What a file says is repeated shortly, and in one line."""
    with pytest.raises(CheckpointError, match=_REFUSED) as caught:
        load(path)
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


def load_images(path):
    read_images(str(path), small())


def every_length(path):
    """F6."""
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path, f"cut to {length}")
    path.write_bytes(whole)


def every_bit(path):
    """F7."""
    whole = path.read_bytes()
    damaged = bytearray(whole)
    with open(path, "r+b", buffering=0) as file:
        for place in range(len(whole)):
            for bit in range(8):
                damaged[place] ^= 1 << bit
                os.pwrite(file.fileno(), damaged[place : place + 1], place)
                refused(path, f"bit {bit} of byte {place}")
                damaged[place] ^= 1 << bit
            os.pwrite(file.fileno(), whole[place : place + 1], place)


def refused(path, what):
    try:
        load(path)
    except CheckpointError as error:
        assert str(path) in str(error), what
    else:
        raise AssertionError(f"{what}: loaded")


def small_checkpoint(folder):
    """A model file with more in it, as checkpoints have."""
    arrays, header = files.contents(small())
    arrays["optimizer/0.weight/exp_avg"] = np.ones((1, 2), "f4")
    tensor_files.write_tensors(folder / "c", arrays, {**header, "training": {"step": 3}})
    return folder / "c"


def load_nan(path):
    model = load(path, allow_nonfinite=True)
    assert np.isnan(model.params["0.weight"]).any()


_DEEP = b'{"a":' * 30_000
_BIG = 10**9
_NAN = {"0.weight": np.asarray([[np.nan, 1]], "f4"), "0.bias": np.asarray([np.inf], "f4")}
_ENTRY = {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}
_EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
_CANNOT, _REFUSED = "cannot be written", "not written by model.save"

_LEFT = [f"{atomic._prefix(Path('model.safetensors'))}{number:016x}.tmp" for number in range(3)]

FAULTS = [
    Fault("F02 disk full, nothing there", new(), with_limit(save, 100), words=(_CANNOT, "File too large", "ulimit")),
    Fault("F02 disk full, old file there", old(), with_limit(save, 100), words=(_CANNOT, "File too large")),
    Fault("F02 disk full when tried", new(), with_limit(atomic.probe, 0), words=(_CANNOT, "File too large")),
    Fault("F03 folder missing", new("no/m"), save, words=(_CANNOT, "No such file", "make the folder")),
    Fault("F03 folder missing when tried", new("no/m"), atomic.probe, words=("make the folder",)),
    Fault("F03 folder is a file", lambda f: old("a")(f) / "m", save, words=("Not a directory", "another path")),
    Fault("F03 target is a folder", lambda f: f, save, words=("Is a directory", "name of a file")),
    Fault("F03 target is a folder when tried", lambda f: f, atomic.probe, words=("name of a file",)),
    Fault("F03 target is a device", lambda f: Path("/dev/null"), save, words=("device or a pipe",)),
    Fault("F03 target is a pipe when tried", pipe, atomic.probe, words=("device or a pipe",)),
    Fault("F03 read-only folder", in_closed, as_nobody(save), words=("Permission denied", "may write to")),
    Fault("F03 read-only folder when tried", in_closed, as_nobody(atomic.probe), words=("Permission denied",)),
    Fault("F03 tried and written", new(), lambda p: (atomic.probe(p), save_and_load(p)), None,
          writes=("model.safetensors",)),
    Fault("F03 trying leaves nothing", old(), atomic.probe, None),
    Fault("F04 link", linked, save_and_load, None, writes=("real/model",)),
    Fault("F04 link to nowhere", dangling, save, words=(_CANNOT, "make the folder")),
    Fault("F04 links in a circle", linked_in_a_circle, save, words=(_CANNOT, "circle")),
    Fault("F04 links in a circle when tried", linked_in_a_circle, atomic.probe, words=("circle",)),
    Fault("F06 every length", small_checkpoint, every_length, None),
    Fault("F07 every bit", small_checkpoint, every_bit, None, seconds=120),
    Fault("F08 empty", holding(b""), load, words=("damaged, or not written by model.save",)),
    Fault("F08 7 bytes", holding(b"1234567"), load, words=("too short",)),
    Fault("F08 1 MB of noise", holding(random.Random(0).randbytes(1 << 20)), load),
    Fault("F08 text", holding(b"once upon a time\n" * 99), load),
    Fault("F08 zip", holding(packed), load),
    Fault("F08 pickle is not opened", holding(canary), load),
    Fault("F08 pickle as images is not opened", holding(canary), load_images, DataError),
    Fault("F08 pickle as idx is not opened", holding(canary), read_idx, DataError),
    Fault("F08 pickle in a NumPy file is not opened",
          holding(lambda f: _npy_of_objects(f)), load_images, DataError),
    Fault("F08 pipe is not waited for", pipe, load, words=("device or a pipe",)),
    Fault("F08 folder", lambda f: f, load, words=("is a folder",)),
    Fault("F09 table of 2**63 bytes", raw(b"{}", length=2**63), load, words=("for its table",)),
    Fault("F09 table of 100 MB", of_100_megabytes, load, words=("100,000,001",)),
    Fault("F09 deep table", raw(_DEEP), load),
    Fault("F09 deep description", crafted(text="[" * 30_000), load, words=("description of the model is damaged",)),
    Fault("F09 many values", raw(b"{" + b'"a":[' + b"[]," * 500_000 + b"[]]}"), load, words=("values",)),
    Fault("F09 a name twice", raw(table_of().replace(b'{"__m', b'{"a":1,"a":2,"__m', 1)), load, words=("twice",)),
    Fault("F09 overlap", raw(table_of(a=_ENTRY, b={**_ENTRY, "data_offsets": [4, 12]}), bytes(12)), load,
          words=(_REFUSED, "ffset")),
    Fault("F09 hole", raw(table_of(a={**_ENTRY, "data_offsets": [4, 12]}), bytes(12)), load, words=(_REFUSED, "ffset")),
    Fault("F09 more bytes than arrays", raw(table_of(a=_ENTRY), bytes(9)), load, words=(_REFUSED, "ncomplete")),
    Fault("F09 fewer bytes than arrays", raw(table_of(a=_ENTRY), bytes(7)), load, words=(_REFUSED, "ncomplete")),
    Fault("F09 0 x 2**62", raw(table_of(a={**_EMPTY, "shape": [0, 2**62]})), load, words=(_REFUSED,)),
    Fault("F09 0 x 2**63", raw(table_of(a={**_EMPTY, "shape": [2**63, 0]})), load, words=(_REFUSED,)),
    Fault("F09 2**62 x 2**62", raw(table_of(a={**_ENTRY, "shape": [2**62] * 2}), bytes(8)), load, words=(_REFUSED,)),
    Fault("F09 negative size", raw(table_of(a={**_ENTRY, "shape": [-1, -2]}), bytes(8)), load, words=(_REFUSED,)),
    Fault("F09 true for a size", raw(table_of(a={**_ENTRY, "shape": [True, 2]}), bytes(8)), load, words=(_REFUSED,)),
    Fault("F09 offsets of 2**64", raw(table_of(a={**_ENTRY, "data_offsets": [2**64, 2**64 + 8]}), bytes(8)), load,
          words=(_REFUSED,)),
    Fault("F09 offsets backwards", raw(table_of(a={**_ENTRY, "data_offsets": [8, 0]}), bytes(8)), load,
          words=(_REFUSED, "ffset")),
    Fault("F09 100 axes", raw(table_of(a={**_ENTRY, "shape": [1] * 99 + [2]}), bytes(8)), load, words=(_REFUSED,)),
    Fault("F09 unknown dtype", raw(table_of(a={**_ENTRY, "dtype": "O8"}), bytes(8)), load, words=(_REFUSED,)),
    Fault("F09 a dtype of many lines", raw(table_of(a={**_ENTRY, "dtype": "\n" * (1 << 20)}), bytes(8)), load_in_words,
          None),
    Fault("F09 a dtype that NumPy has not", raw(table_of(a={**_ENTRY, "dtype": "BF16", "shape": [4]}), bytes(8)), load,
          words=(_REFUSED, "BF16")),
    Fault("F09 complex numbers", crafted(arrays={**small_arrays(), "0.bias": np.zeros(1, "c8")}), load,
          words=(_REFUSED,)),
    Fault("F09 50,000 empty arrays", raw(table_of(**{f"{i:x}": _EMPTY for i in range(50_000)})), load,
          words=("checksum",), memory=150),
    Fault("F09 odd name", raw(table_of(**{"../a b": _ENTRY}), bytes(8)), load, words=("letters, digits",)),
    Fault("F09 terabytes in 1 kB", crafted(linear(in_features=_BIG, out_features=_BIG)), load,
          words=("0.weight: expected shape (1000000000, 1000000000), got (1, 2)", "0.bias")),
    Fault("F09 orthogonal terabytes", crafted(linear(in_features=_BIG, out_features=_BIG, init="orthogonal")), load),
    Fault("F09 2**62 features", crafted(linear(in_features=2**62)), load),
    Fault("F09 2**63 features", crafted(linear(in_features=2**63)), load, words=("in_features",)),
    Fault("F09 -1 features", crafted(linear(in_features=-1)), load, words=("in_features",)),
    Fault("F09 NaN", crafted(linear(in_features=float("nan"))), load, words=("NaN",)),
    Fault("F09 10**400", crafted(linear(in_features=10**400)), load, words=("finite numbers",)),
    Fault("F09 1e400", crafted(text='{"format": 1e400}'), load, words=("finite numbers",)),
    Fault("F09 step of 10**29", crafted(step=10**29), load, words=("step",)),
    Fault("F09 seed of 2**70", crafted(seed=str(2**70)), load, words=("seed",)),
    Fault("F09 20,000 layers", crafted({"class": "Sequential", "input_shape": None,
                                        "layers": [[str(i), {"class": "ReLU"}] for i in range(20_000)]}), load,
          words=("at most 10,000 layers",)),
    Fault("F09 frozen is a pattern", crafted(frozen=["*" * 50]), load, words=("frozen",)),
    Fault("F10 all differences at once",
          crafted(arrays={"0.weight": np.ones((2, 2), "f4"), "extra": np.ones(1, "f4")}), load,
          words=("missing 0.bias", "unexpected extra", "0.weight: expected shape (1, 2), got (2, 2)")),
    Fault("F10 wrong dtype", crafted(arrays={**small_arrays(), "0.bias": np.zeros(1, "i8")}), load,
          words=("0.bias: expected a real floating dtype, got int64",)),
    Fault("F11 newer format", crafted(format=2), load, words=("expected format 1, got 2: update xpcnn",)),
    Fault("F11 true for a format", crafted(format=True), load, words=("expected format 1",)),
    Fault("F12 NaN and infinity", crafted(arrays=_NAN), load, words=("NaN or infinity in 0.bias, 0.weight",)),
    Fault("F12 allowed", crafted(arrays=_NAN), load_nan, None),
    Fault("F39 left by a killed process", left_behind, save_and_load, None,
          writes=("model.safetensors", *_LEFT)),
    Fault("F47 spaces and letters", new("ein Modell für 猫.safetensors"), save_and_load, None,
          writes=("ein Modell für 猫.safetensors",)),
    Fault("F47 longest name", new("猫" * 85), save_and_load, None, writes=("猫" * 85,)),
    Fault("F47 name of 300 letters", new("m" * 300), save, words=("File name too long", "shorter name")),
    Fault("F47 300 letters when tried", new("m" * 300), atomic.probe, words=("shorter name",)),
    Fault("F47 zero in a name", new("a\0b"), save, words=(_CANNOT, "null")),
]  # fmt: skip


def _npy_of_objects(folder):
    file = io.BytesIO()
    np.save(file, np.array([_Canary(folder / "canary")], dtype=object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.case.replace(" ", "-"))
def test_fault(fault, place):
    fault.run(place)


def test_temporaries_of_dead_processes_go_and_those_of_other_files_and_of_the_living_stay(place):
    """F1, F5: who holds its lock is alive."""
    path = left_behind(place)
    with atomic._temporary(path) as (living, file):
        save(path)
        assert living.exists()
        assert sorted(p.name for p in place.iterdir()) == sorted(
            [path.name, living.name, f"{atomic._prefix(place / 'other')}{0:016x}.tmp"]
        )
        file.write(b"x")
    assert not living.exists()


def test_a_temporary_that_was_taken_for_a_left_one_is_made_anew(place, monkeypatch):
    """Between the making of a file and its lock another process may sweep."""
    lock, swept = atomic._lock, []

    def late(handle, *, wait):
        if wait and not swept:
            swept.append(True)
            atomic._sweep(place / "m")
        return lock(handle, wait=wait)

    monkeypatch.setattr(atomic, "_lock", late)
    atomic.write_atomically(place / "m", [b"content"])
    assert (place / "m").read_bytes() == b"content"
    assert os.listdir(place) == ["m"]


def test_what_the_content_raises_leaves_the_old_file(place):
    path = old()(place)
    before = path.read_bytes()

    def content():
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic.write_atomically(path, content())
    assert path.read_bytes() == before
    assert os.listdir(place) == [path.name]


_SAVING = """
import sys
from xpcnn import Linear, Sequential
model = Sequential(Linear(40, 40), seed=int(sys.argv[2]))
print("ready", flush=True)
sys.stdin.read(1)
for _ in range(60):
    model.save(sys.argv[1])
"""


def test_two_processes_on_one_path_both_succeed_and_every_reader_sees_a_whole_file(place):
    """F5."""
    path = place / "m"
    Sequential(Linear(40, 40), seed=1).save(path)
    known = [snapshot(Sequential(Linear(40, 40), seed=seed)) for seed in (1, 2)]
    call = [sys.executable, "-c", _SAVING, str(path)]
    writers = [
        subprocess.Popen([*call, seed], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
        for seed in ("1", "2")
    ]
    for writer in writers:
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        writer.stdin.write(b"x")
        writer.stdin.close()
    reads = 0
    while any(writer.poll() is None for writer in writers) or not reads:
        assert snapshot(load(path)) in known
        reads += 1
    for writer in writers:
        writer.stdout.close()
        assert writer.wait() == 0
    assert os.listdir(place) == ["m"]


def test_threads_that_save_to_one_path_all_succeed(place):
    """F5, F48."""
    problems = []

    def write(seed):
        try:
            for _ in range(10):
                Sequential(Linear(4, 4), seed=seed).save(place / "m")
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert load(place / "m")
    assert os.listdir(place) == ["m"]


def test_a_disk_without_room_leaves_the_old_file(place):
    """F2, on a disk of 64 kB."""
    disk = place / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        done = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("no small disk can be mounted here")
    try:
        path = disk / "m"
        small().save(path)
        before = path.read_bytes()
        with pytest.raises(CheckpointError, match=r"No space left on device.*make room"):
            Sequential(Linear(200, 200)).save(path)
        assert path.read_bytes() == before
        assert os.listdir(disk) == ["m"]
        small().save(path)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_file_of_another_user_in_a_sticky_folder_is_refused_before_anything_is_written(place):
    """F3: what /tmp is."""
    if os.geteuid() != 0:
        pytest.skip("needs files of two users")
    os.chmod(place, 0o755)
    shared = place / "shared"
    shared.mkdir()
    os.chmod(shared, 0o1777)
    small().save(shared / "m")
    with nobody_special():
        for act in (atomic.probe, save):
            with pytest.raises(CheckpointError, match="Operation not permitted"):
                act(shared / "m")
        save_and_load(shared / "mine")
    assert sorted(os.listdir(shared)) == ["m", "mine"]


def test_a_folder_that_may_be_written_but_not_listed_is_written(place):
    os.chmod(place, 0o755)
    (place / "blind").mkdir()
    os.chmod(place / "blind", 0o333)
    with nobody_special():
        save_and_load(place / "blind" / "m")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_folder_that_cannot_be_flushed_is_an_error_only_if_the_disk_fails(place, monkeypatch, number):
    flush = os.fsync

    def odd(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(number, os.strerror(number))
        flush(handle)

    monkeypatch.setattr(os, "fsync", odd)
    with contextlib.nullcontext() if number == errno.EINVAL else pytest.raises(CheckpointError, match="Input/output"):
        save(place / "m")


def environment(**changes):
    """Of a process of its own, which finds the package where this one did."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")}
    found = [str(Path(files.__file__).parents[2]), *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(found), "OMP_NUM_THREADS": "1", **changes}


_BARE = """
import os, sys
import numpy as np
import xpcnn
from xpcnn import Linear, Sequential, load

def all_of_it(folder):
    data = xpcnn.datasets.load("mnist-mini")
    x, y = data.x_train[:64].reshape(64, -1), data.y_train[:64]
    model = Sequential(Linear(784, 10))
    model.fit(x, y, epochs=1, verbose=0)
    model.save(folder + "/model.safetensors")
    assert (load(folder + "/model.safetensors").predict(x) == model.predict(x)).all()
    try:
        model.save(folder + "/\\u732b")  # which this locale cannot spell
    except xpcnn.errors.CheckpointError as error:
        assert "choose another path" in str(error)
    else:
        raise AssertionError

os.mkdir(sys.argv[1] + "/warm")
all_of_it(sys.argv[1] + "/warm")  # all modules, which another user may not be allowed to read
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(1000, 1000, 1000)
    os.setresuid(1000, 1000, 1000)
os.chdir("/")
all_of_it(sys.argv[1] + "/out")
"""


@pytest.mark.parametrize("network", [True, False])
def test_user_1000_without_home_network_locale_or_temporary_folder_trains_and_saves(place, network):
    """F46, F47: what a container is like."""
    os.chmod(place, 0o755)
    (place / "out").mkdir()
    if os.geteuid() == 0:
        os.chown(place / "out", 1000, 1000)
    call = [sys.executable, "-W", "error", "-c", _BARE, str(place)]
    if not network:
        call = ["unshare", "-n", *call]
        try:
            alone = subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0
        except OSError:
            alone = False
        if not alone:
            pytest.skip("no network namespace can be had here")
    bare = environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", TMPDIR="/nowhere")
    done = subprocess.run(call, env=bare, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(os.listdir(place / "out")) == 1
    assert sorted(os.listdir(place)) == ["out", "warm"]
