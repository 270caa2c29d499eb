"""What a run is told, shared by its parts; and the parts that are no table."""

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cpu.processes import say

from .processes import Budget, OutOfTime, ask, execute
from .store import Store
from .works import COLD, Work

CACHES = {"CUPY_CACHE_DIR": "cupy", "TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
KEPT = 15  # last lines of pytest


@dataclass
class Run:
    """
    Parameters
    ----------
    store : Store
        Where results go, and what is there already.
    budget : Budget
    device : {"cuda", "cpu"}
    works : list of Work
    contenders : list of str
    rounds : int
        Processes for each work and contender.
    measured : float
        Seconds that a process measures at least.
    limit : float
        Seconds that a process may take.
    tests : list of str
        Arguments of pytest.
    tests_limit : float
        Seconds that they may take.
    tf32, toy : bool
    caches : Path
        Folder for what CuPy and PyTorch compile, so that the second process finds what the first has left.
    unreached : list of str
        What there was no time for.
    """

    store: Store
    budget: Budget
    device: str
    works: list[Work]
    contenders: list[str]
    rounds: int
    measured: float
    limit: float
    tests: list[str]
    tests_limit: float
    tf32: bool
    toy: bool
    caches: Path
    unreached: list[str] = field(default_factory=list)

    def job(self, work: Work, contender: str, folder: str, **options: Any) -> dict[str, Any]:
        """What `worker` is told."""
        told = {key: value for key, value in work.told().items() if key != "goal"}
        own = {"contender": contender, "folder": folder, "device": self.device, "tf32": self.tf32}
        return {**told, **own, "same_sums": False, "seconds": self.measured, **options}

    def ask(self, module: str, job: dict[str, Any], caches: Path | None = None) -> dict[str, Any]:
        """A process with the run's caches, or others."""
        env = {name: str((caches or self.caches) / folder) for name, folder in CACHES.items()}
        return ask(module, job, self.budget, self.limit, env)

    @contextmanager
    def prepared(self) -> Iterator["Prepared"]:
        """A folder for what contenders begin with."""
        with tempfile.TemporaryDirectory() as folder:
            yield Prepared(self, Path(folder))


class Prepared:
    """Networks' descriptions and weights in files, each written when it is first asked for."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.run, self.folder = run, folder
        self._known: dict[str, tuple[str, dict[str, Any]]] = {}

    def get(self, model: str, options: dict[str, Any], shape: tuple[int, ...]) -> tuple[str, dict[str, Any]]:
        """The folder of a network, and what `prepare` found; ``{"failed": ...}`` where that went wrong."""
        key = f"{model} {options} {shape}"
        if key not in self._known:
            folder = self.folder / str(len(self._known))
            folder.mkdir(exist_ok=True)
            job = {"folder": str(folder), "model": model, "options": options, "shape": shape}
            self._known[key] = str(folder), self.run.ask("prepare", job)
        return self._known[key]


def probe(run: Run) -> None:
    """What the device can do at most."""
    for part in ("rates", "tf32", "host", "cudnn"):
        if run.store.get("probe", part) is None:
            try:
                answer = run.ask("probe", {"part": part, "device": run.device, "toy": run.toy})
            except OutOfTime:
                run.unreached.append(f"probe: {part}")
                continue
            say(f"probe: {part}: {brief(answer)}")
            run.store.put("probe", part, value=answer)


def tests(run: Run) -> None:
    """The suite's tests that need a GPU."""
    if run.store.get("tests") is not None:
        return
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *run.tests]
    try:
        answer = _pytest(command, run)
    except OutOfTime:
        run.unreached.append("tests")
        return
    run.store.put("tests", value=answer)
    say(f"tests: {answer['last']}")


def _pytest(command: list[str], run: Run) -> dict[str, Any]:
    """How the tests went: how many of each kind, pytest's last lines, and each failure's line."""
    done = execute(command, run.budget, run.tests_limit)
    lines = [line for line in (done.out + done.err).splitlines() if line.strip()]
    last = lines[-1].strip("= ") if lines else "pytest wrote nothing"
    if done.status is None:
        last = f"took more than {run.tests_limit:.0f} s: {last}"
    return {
        "status": done.status,
        "counts": {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|skipped|error)", last)},
        "last": last,
        "failures": [line for line in lines if line.startswith(("FAILED ", "ERROR "))][:100],
        "lines": lines[-KEPT:],
        "seconds": round(done.seconds, 1),
    }


def cold(run: Run) -> None:
    """Seconds from the start of a process to the end of its first step: where nothing is compiled, and once it is."""
    works = [work for work in run.works if work.name in COLD] or run.works[:1]
    with run.prepared() as prepared:
        for work in works:
            for name in work.contenders:
                if name in run.contenders and run.store.get("cold", work.name, name) is None:
                    try:
                        _cold(run, prepared, work, name)
                    except OutOfTime:
                        run.unreached.append(f"cold: {work.name}: {name}")


def _cold(run: Run, prepared: Prepared, work: Work, name: str) -> None:
    folder, _ = prepared.get(work.model, work.options, work.shape)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as caches:
        for state in ("empty", "filled"):
            answer = run.ask("worker", run.job(work, name, folder, seconds=0.0), Path(caches))
            if "first_step_s" not in answer:
                found = answer
                break
            found[state] = answer["first_step_s"]
    run.store.put("cold", work.name, name, value=found)
    say(f"cold: {work.name}: {name}: {brief(found)}")


def accuracy(run: Run) -> None:
    """Fashion-MNIST until 92 % of the test images are right."""
    job = {"device": run.device, "data": "fashion-mnist", "images": None, "target": 0.92}
    if run.toy:
        job |= {"data": "mnist-mini", "images": 256}
    with run.prepared() as prepared:
        for name in run.contenders:
            if name in ("torch-reduce-overhead", "torch-max-autotune") or run.store.get("accuracy", name) is not None:
                continue  # they take longer to compile than the others take in all
            try:
                folder, _ = prepared.get("fashion_small", {}, (1, 28, 28))
                answer = run.ask("accuracy", {**job, "contender": name, "folder": folder})
            except OutOfTime:
                run.unreached.append(f"accuracy: {name}")
                continue
            run.store.put("accuracy", name, value=answer)
            say(f"accuracy: {name}: {brief(answer)}")


def brief(answer: dict[str, Any]) -> str:
    """A line about what a process answered."""
    for key in ("refused", "failed"):
        if key in answer:
            return f"{key}: {answer[key]}"
    if "ms" in answer:
        return f"{answer['ms']:.3f} ms, first step after {answer['first_step_s']:.1f} s"
    if "epochs" in answer:
        when = "never" if answer["reached_s"] is None else f"after {answer['reached_s']:.1f} s"
        return f"{answer['target']:.0%} {when}; at the end {answer['epochs'][-1]['accuracy']:.2%}"
    return ", ".join(f"{key} {value}" for key, value in answer.items() if key != "process_s")[:200]
