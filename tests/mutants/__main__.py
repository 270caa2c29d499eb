"""Plant every bug in a copy of the sources, run the tests that are about it, and say which were noticed."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]
SECONDS = 300  # a mutant that hangs is not a mutant that was noticed

# pytest's exit status 1: tests ran, and some failed. All others (no tests, a usage error, ...) prove nothing.
FAILED = 1


def plant(mutant: Mutant, folder: Path) -> None:
    """Copy what the tests need into a folder, with the bug in it."""
    for name in ("xpcnn", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    path = folder / "xpcnn" / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        message = f"{mutant.bug}: expected its old text once in xpcnn/{mutant.file}, found {text.count(mutant.old)}"
        raise SystemExit(message)
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def judge(mutant: Mutant) -> tuple[Mutant, str, float]:
    """The word for what became of a mutant: killed, or why not; and the seconds that it took."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        plant(mutant, folder)
        plugins = ["-p", "no:cacheprovider", "-p", "tests.mutants.unshrunk"]
        command = [sys.executable, "-m", "pytest", "-q", "-x", *plugins, "--no-header", "--tb=no"]
        # one thread each: the mutants run side by side
        threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
        environment = {**os.environ, **threads, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                [*command, *_words(mutant.tests)], cwd=folder, env=environment, capture_output=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return mutant, f"SURVIVED (no answer in {SECONDS} s)", time.perf_counter() - started
    word = "killed" if done.returncode == FAILED else f"SURVIVED (pytest's exit status {done.returncode})"
    return mutant, word, time.perf_counter() - started


def _words(tests: str) -> list[str]:
    """Arguments, split at spaces; what stands behind ``-k`` is one."""
    paths, _, selection = tests.partition(" -k ")
    return [*paths.split(), *(["-k", selection] if selection else [])]


def main(words: list[str]) -> int:
    """Run the mutants that the words choose; 0 if all were killed."""
    chosen = [m for m in MUTANTS if not words or any(word in f"{m.bug} {m.file}" for word in words)]
    started = time.perf_counter()
    survived = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, (mutant, word, seconds) in enumerate(pool.map(judge, chosen), start=1):
            survived += word != "killed"
            print(f"{number:3d}/{len(chosen)}  {word}  {seconds:5.1f} s  {mutant.file}: {mutant.bug}", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} mutants killed in {time.perf_counter() - started:.0f} s")
    return 1 if survived or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
