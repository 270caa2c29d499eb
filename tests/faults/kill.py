"""
Kill a training process at random moments of its whole life, again and again, and look at what is left.

    python -m tests.faults.kill [--kills 200] [--seed 0]

After each kill all checkpoints must load, the newest must not be older than the last one that the process had called
safe, and beside them nothing may lie but temporary files of writes that were killed, one for each name. A run that is
done must have left the bytes of one that nobody killed.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import xpcnn
from tests.faults.victim import EPOCHS
from xpcnn.models.tensor_files import read_tensors
from xpcnn.training.checkpoint import newest

ROOT = Path(__file__).parents[2]
FINAL = "model.safetensors", "best.safetensors", "history.csv"


@dataclass
class Figures:
    """What has happened."""

    kills: int = 0
    starting: int = 0  # of them before the first save of a process
    saves: int = 0
    temporaries: int = 0  # that kills left
    runs: int = 0
    files: int = 0  # checkpoints that were read

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.starting} of them before a first save; {self.saves} acknowledged saves, none "
            f"lost; {self.files} checkpoints read, all whole; {self.temporaries} temporary files left and removed; "
            f"{self.runs} runs ended in the bytes of one that was not killed"
        )


class Life:
    """One process, from its start to its end."""

    def __init__(self, folder: Path, log: Path, epochs: int = EPOCHS) -> None:
        self.log = log
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with log.open("wb") as out, (log.with_suffix(".err")).open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.victim", str(folder), str(epochs)],
                stdout=out, stderr=err, cwd=ROOT, env=environment,
            )  # fmt: skip

    def end(self, seconds: float | None = None) -> bool:
        """Wait so long, then kill; whether it had not ended by itself."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        finally:
            self.process.kill()
        assert code in (0, -9), f"exit code {code}: {self.log.with_suffix('.err').read_text()}"
        return code != 0

    def said(self) -> list[str]:
        """Whole lines."""
        return self.log.read_text().split("\n")[:-1]


def examine(folder: Path, acknowledged: int) -> tuple[int, set[str]]:
    """The number of checkpoints that are there, and the temporary files."""
    found = sorted(path.name for path in folder.iterdir())
    steps = [name for name in found if name.startswith("step-")]
    for name in found:
        if name.endswith(".safetensors"):
            _, header = read_tensors(folder / name)
            xpcnn.load(folder / name)
            if name in steps:
                training = header["training"]
                assert training["epoch"] * 3 + training["batch"] == int(name[5:13]), name
    assert len(steps) <= 3, f"more than two, and the one that is written: {steps}"
    last = newest(folder)
    reached = 0 if last is None else int(last.name[5:13])
    assert reached >= acknowledged, f"step {acknowledged} was safe, found {reached}"
    rest = {name for name in found if name not in (*steps, *FINAL)}
    assert all(name.startswith(".xpcnn-") and name.endswith(".tmp") for name in rest), rest
    assert len({name[:23] for name in rest}) == len(rest), f"two of one name: {rest}"
    return len([name for name in found if name.endswith(".safetensors")]), rest


def kill(kills: int, seed: int, folder: Path, tell=lambda text: None) -> Figures:
    """Kill so often; each run that is not done by then is brought to its end."""
    figures, chance = Figures(), random.Random(seed)
    straight = folder / "straight"
    straight.mkdir()
    started = time.monotonic()
    assert not Life(straight, folder / "straight.log").end(300)
    whole = time.monotonic() - started
    while figures.kills < kills:
        run = folder / f"run-{figures.runs}"
        run.mkdir()
        safe, left, done = 0, set(), False
        while not done:
            life = Life(run, folder / "life.log")
            killed = life.end(chance.uniform(0, whole) if figures.kills < kills else 300)
            steps = [int(line) for line in life.said() if line != "done"]
            safe = max([safe, *steps])
            figures.saves += len(steps)
            files, now = examine(run, safe)
            figures.files += files
            assert len(now - left) <= killed, f"more temporary files than that of the killed write: {now - left}"
            figures.temporaries += len(now - left)
            left, done = now, not killed
            if killed:
                figures.kills += 1
                figures.starting += not steps
                if figures.kills % 20 == 0:
                    tell(f"{figures.kills} kills of {kills}")
        assert not left, f"temporary files are left: {left}"
        for name in FINAL:
            assert (run / name).read_bytes() == (straight / name).read_bytes(), f"{name} has other bytes"
        figures.runs += 1
    return figures


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kill")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(words)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures = kill(options.kills, options.seed, Path(folder), lambda text: print(text, flush=True))
    print(f"{figures}; seed {options.seed}, {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
