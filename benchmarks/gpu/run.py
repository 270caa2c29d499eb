"""What a run is told, shared by its parts; and the parts that are no table."""

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cpu.processes import ROOT, say

from .processes import LEAST, Budget, OutOfTime, ask, execute
from .store import Store
from .works import COLD, Work

CACHES = {"CUPY_CACHE_DIR": "cupy", "TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
SUITE = ROOT / "tests"
FIRST = ("backend", "ops", "layers", "models", "training", "optimizers")
KEPT, MOST = 15, 100  # last lines of pytest, and failures


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
    tests : dict of str to list
        Folders, and for each the paths that pytest is told.
    tests_limit : float
        Seconds that they may take in all.
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
    tests: dict[str, list[str]]
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
    """The suite's tests that need a GPU, folder by folder; a folder that there was no time for is begun anew."""
    share = Budget(run.tests_limit)
    for folder, paths in run.tests.items():
        kept = run.store.get("tests", folder)
        if kept is not None and kept["status"] is not None:
            continue
        limit = min(share.left(), run.budget.left() - 1.0)
        try:
            answer = _pytest(paths, run.budget, limit) if limit > LEAST else None
        except OutOfTime:
            answer = None
        if answer is not None:
            run.store.put("tests", folder, value=answer)
            say(f"tests: {folder}: {answer['last']}")
        if answer is None or answer["status"] is None:
            run.unreached.append(f"tests: {folder}")


def _pytest(paths: list[str], budget: Budget, limit: float) -> dict[str, Any]:
    """How the tests of some paths went: how many of each kind, pytest's last lines, and each failure's line."""
    # with a line for each test, which says how far it came where time ends it
    done = execute([sys.executable, "-m", "pytest", "-v", "-m", "gpu", "-p", "no:cacheprovider", *paths], budget, limit)
    lines = [line for line in (done.out + done.err).splitlines() if line.strip()]
    last = lines[-1].strip("= ") if lines else "pytest wrote nothing"
    counts = {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|skipped|error)", last)}
    if done.status is None:
        words = re.findall(r" (PASSED|FAILED|SKIPPED|ERROR)\b", "\n".join(line for line in lines if "::" in line))
        counts = {word.lower(): words.count(word) for word in dict.fromkeys(words)}
        came = ", ".join(f"{count} {word}" for word, count in counts.items()) or "nothing"
        last = f"{came} until time ended it after {limit:.0f} s"
    failures = [line for line in lines if re.match(r"(FAILED|ERROR) |\S+::.* (FAILED|ERROR)\b", line)]
    return {
        "status": done.status,
        "counts": counts,
        "last": last,
        "failures": [line for line in failures if done.status is None or line.startswith(("FAILED", "ERROR"))][:MOST],
        "lines": lines[-KEPT:],
        "seconds": round(done.seconds, 1),
    }


def folders() -> dict[str, list[str]]:
    """The folders of the suite, and what pytest is told: those first that say most of a GPU."""
    found = {path.relative_to(SUITE).parts[0] for path in SUITE.rglob("test_*.py")}
    names = sorted(name for name in found if (SUITE / name).is_dir())
    first = [name for name in FIRST if name in names]
    ordered = {name: [f"tests/{name}"] for name in [*first, *(name for name in names if name not in first)]}
    return {**ordered, ".": sorted(f"tests/{path.name}" for path in SUITE.glob("test_*.py"))}


def cold(run: Run) -> None:
    """Seconds from the start of a process to the end of its first step: where nothing is compiled, and once it is."""
    works = [work for work in run.works if work.name in COLD] or run.works[:1]
    with run.prepared() as prepared:
        for work in works:
            for name in run.contenders:
                if run.store.get("cold", work.name, name) is None:
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
