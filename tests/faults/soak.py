"""
The long versions of all tests of faults: a line with figures and seconds for each.

    python -m tests.faults.soak [PART ...]

Short ones are in the suite. A part fails by an error, and the others go on; the exit code says whether any did.
"""

import argparse
import gc
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

from tests.faults import container, damage, kill
from tests.training.helpers import digits, small_net
from xpcnn import Callback, load
from xpcnn.errors import XpcnnError
from xpcnn.training import EarlyStopping, ExponentialMovingAverage, ModelCheckpoint

ROOT = Path(__file__).parents[2]
GROWTH = 4.0  # megabytes that are no leak: what the allocator keeps, histories


class Broken(Exception):
    pass


class Breaks(Callback):
    def on_checkpoint(self, ending=""):
        if self.trainer.steps == 2:
            raise Broken


class Use:
    """What a process holds, compared with what it held before."""

    def __init__(self):
        gc.collect()
        self.memory, self.files, self.threads = self._now()

    @staticmethod
    def _now():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        size = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        return size, len(os.listdir("/proc/self/fd")), threading.active_count()

    def expect_as_before(self) -> str:
        gc.collect()
        memory, files, threads = self._now()
        assert files == self.files, f"{files} open files, {self.files} before"
        assert threads == self.threads, f"{threads} threads, {self.threads} before"
        grown = memory - self.memory
        assert grown < GROWTH, f"memory grew by {grown:.1f} MB, from {self.memory:.1f} MB"
        return f"memory {self.memory:.1f} MB after the warm-up, {grown:+.1f} MB at the end, as many files and threads"


def kills(folder, tell, number=200):
    return str(kill.kill(number, 1, folder, tell))


def epochs(folder, tell, number=2000, warm=200):
    """One run of many epochs, that saves each."""
    uses = []

    class Watches(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch + 1 == warm:
                uses.append(Use())
            if (epoch + 1) % 500 == 0:
                tell(f"{epoch + 1} epochs of {number}")

    x, y = digits(n=20)
    callbacks = [ExponentialMovingAverage(), ModelCheckpoint(folder / "run", keep=2), Watches()]
    model = small_net()
    model.fit(x, y, epochs=number, batch_size=8, validation_data=(x, y), verbose=0, callbacks=callbacks)
    assert len(os.listdir(folder / "run")) == 3
    return f"{number} epochs of {model.step} steps, saved each; {uses[0].expect_as_before()}"


def fits(folder, tell, number=1000, warm=200):
    """Many runs in one process, of which each fourth fails in a callback, and each fourth goes on from another."""
    x, y = digits(n=20)
    failed = resumed = 0
    for i in range(number):
        if i == warm:
            use = Use()
        if i and i % 250 == 0:
            tell(f"{i} fits of {number}")
        place = folder / str(i % 8 - i % 2)
        callbacks = [EarlyStopping("loss", restore_best_weights=True), ExponentialMovingAverage()]
        options = {"epochs": 2, "batch_size": 8, "validation_data": (x, y), "verbose": 0}
        try:
            callbacks.append(ModelCheckpoint(place, every_steps=1))
            resume = place if i % 2 else None
            if i % 4 == 0:
                callbacks.append(Breaks())
            if i % 2 == 0 and place.exists():
                for path in place.iterdir():
                    path.unlink()
            small_net(seed=i % 8 - i % 2).fit(x, y, callbacks=callbacks, resume=resume, **options)
            resumed += i % 2
        except Broken:
            failed += 1
    return f"{number} fits, {failed} of them failed and {resumed} went on from a file; {use.expect_as_before()}"


def damaged(folder, tell):
    size, lengths, bits = damage.damage(folder, tell=tell)
    return f"a checkpoint of {size:,} bytes: {lengths:,} truncations and {bits:,} flipped bits, all refused"


def full(folder, tell):
    size, tried = damage.run_full_disk(folder)
    return f"a disk that is full at each of {tried:,} bytes of a checkpoint of {size:,}: typed, the old file intact"


def two(folder, tell, number=20):
    """Two processes that train into one folder, at once."""
    chance, refused = random.Random(0), 0
    straight = folder / "straight"
    straight.mkdir()
    assert not kill.Life(straight, folder / "straight.log").end(300)
    for i in range(number):
        run = folder / str(i)
        run.mkdir()
        both = []
        for name in "ab":
            both.append(kill.Life(run, folder / f"{name}.log"))
            time.sleep(chance.uniform(0, 0.3))
        for one in both:
            code = one.process.wait(300)
            if code:  # the other one has taken a file away that it wanted to go on from
                err = one.log.with_suffix(".err").read_text()
                assert "xpcnn.errors." in err.splitlines()[-1], err
                refused += 1
        while not (run / "model.safetensors").exists():
            kill.Life(run, folder / "again.log").end(300)
        for path in run.glob("*.safetensors"):
            load(path)
        assert (run / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()
        assert not list(run.glob(".*")), "a temporary file is left"
    ends = f"{refused} of {2 * number} refused, all files whole, same final bytes"
    return f"{number} pairs of processes that train into one folder: {ends}"


def fuzz(folder, tell, inputs=100_000):
    command = [sys.executable, "-m", "tests.faults.fuzz", "--own", "--inputs", str(inputs), "--seed", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in done.stdout.splitlines():
        tell(line)
    return f"{inputs:,} inputs for each of {len(done.stdout.splitlines())} targets, no bug"


def contained(folder, tell):
    return f"xpcnn train, ended by SIGTERM, resumed: {container.run()}; written in its folder only, same bytes"


PARTS = {
    "kills": kills, "epochs": epochs, "fits": fits, "damage": damaged, "full-disk": full, "two": two, "fuzz": fuzz,
    "container": contained,
}  # fmt: skip


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    chosen = parser.parse_args(words).parts or list(PARTS)
    if unknown := [name for name in chosen if name not in PARTS]:
        parser.error(f"expected parts of {', '.join(PARTS)}, got {unknown[0]!r}")
    failed = []
    for name in chosen:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="xpcnn-soak-") as folder:
            try:
                said = PARTS[name](Path(folder), lambda text, name=name: print(f"  {name}: {text}", flush=True))
            except (AssertionError, XpcnnError, OSError, subprocess.SubprocessError):
                traceback.print_exc()
                said = "FAILED"
                failed.append(name)
        print(f"{name}: {said} ({time.monotonic() - started:.0f} s)", flush=True)
    print(f"failed: {', '.join(failed)}" if failed else f"all {len(chosen)} parts are as they should be", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
