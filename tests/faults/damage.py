"""A small checkpoint, damaged in every way that one byte count and one bit allow, and saved where there is no room."""

import os
import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from xpcnn import Linear, Sequential, Trainer
from xpcnn.errors import CheckpointError
from xpcnn.optimizers import SGD
from xpcnn.training import ModelCheckpoint


def trainer(seed: int = 0) -> Trainer:
    return Trainer(Sequential(Linear(2, 2), seed=seed), "softmax_cross_entropy", SGD(lr=0.1, momentum=0.9))


def fit(one: Trainer, **options):
    x = np.asarray([[0.0, 1.0], [1.0, 0.5], [2.0, -1.0]], "float32")
    return one.fit(x, np.asarray([0, 1, 1]), batch_size=2, verbose=0, **options)


def checkpoint(folder: Path) -> bytes:
    """One in the middle of an epoch, of a run with an optimizer's state."""
    fit(trainer(), epochs=2, callbacks=[ModelCheckpoint(folder, every_steps=1, keep=9, best=False)])
    return (folder / "step-00000003.safetensors").read_bytes()


def state(one: Trainer):
    """All that could be changed by what is refused."""
    arrays = {**one.model.state_dict(), **{f"slot {name}": a for name, a in one.optimizer.slots().items()}}
    found = {name: np.asarray(a).tobytes() for name, a in arrays.items()}
    return found, one.optimizer.counts(), one.model.step, one.steps, one._run, one._saved, one.resuming


def damage(folder: Path, lengths: int = 1, bits: int = 1, tell=lambda text: None) -> tuple[int, int, int]:
    """Every so many lengths, and every so many bits: all are typed errors that change nothing. Size and numbers."""
    whole, path = checkpoint(folder), folder / "damaged.safetensors"
    one = trainer(seed=5)
    fit(one, epochs=1)
    before = state(one)

    def refused(data: bytes, what: str) -> None:
        path.write_bytes(data)
        try:
            one.resume(path)
        except CheckpointError as error:
            assert str(path) in str(error), error
        else:
            message = f"{what} was not noticed"
            raise AssertionError(message)
        assert state(one) == before, f"{what} has changed something"

    cut = range(0, len(whole), lengths)
    for length in cut:
        refused(whole[:length], f"truncation at {length}")
    flips = range(0, 8 * len(whole), bits)
    for bit in flips:
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        refused(bytes(changed), f"bit {bit}")
        if bit and bit % 8000 == 0:
            tell(f"{bit} bits of {8 * len(whole)}")
    path.write_bytes(whole)
    resumed = trainer()
    fit(resumed, epochs=2, resume=path, callbacks=[ModelCheckpoint(folder, best=False)])
    straight = trainer()
    fit(straight, epochs=2)
    assert state(resumed)[0] == state(straight)[0], "the file itself must lead on"
    return len(whole), len(cut), len(flips)


@contextmanager
def room(size: int):
    """Files of at most so many bytes; only in a process of one's own, since other threads write files, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def full_disk(folder: Path, sizes: int = 1) -> tuple[int, int]:
    """A disk that is full at every so many bytes of a checkpoint: size and number."""
    whole = len(checkpoint(folder / "checkpoints"))
    path, one = folder / "run.safetensors", trainer()
    one.save(path)
    old = path.read_bytes()
    fit(one, epochs=1)
    before = state(one)
    one.save(folder / "new.safetensors")
    new = (folder / "new.safetensors").read_bytes()
    names = sorted(os.listdir(folder))
    tried = range(0, len(new), sizes)
    for size in tried:
        with room(size):
            try:
                one.save(path)
            except CheckpointError as error:
                assert "File too large" in str(error) and str(path) in str(error), error
            else:
                message = f"{size} bytes were enough"
                raise AssertionError(message)
        assert path.read_bytes() == old, "the old file has changed"
        assert sorted(os.listdir(folder)) == names, "something was left"
        assert state(one) == before
    with room(max(len(new), whole)):
        one.save(path)
    assert path.read_bytes() == new
    return len(new), len(tried)


def run_full_disk(folder: Path, sizes: int = 1) -> tuple[int, int]:
    """The same in a child."""
    import subprocess
    import sys

    root = Path(__file__).parents[2]
    code = f"from tests.faults.damage import *; print(*full_disk(Path({str(folder)!r}), {sizes}))"
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    size, tried = map(int, done.stdout.split())
    return size, tried
