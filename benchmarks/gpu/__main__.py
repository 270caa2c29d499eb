"""
xpcnn beside PyTorch on a GPU: everything that is to be known of one, in the rare minutes when it is there.

    python -m benchmarks.gpu                          all parts, as far as they come in 570 seconds
    python -m benchmarks.gpu                          once more: goes on where the first run ended
    python -m benchmarks.gpu --parts table --work train-deepnotes-50-float32 --rounds 5 --again
    python -m benchmarks.gpu --device cpu             a rehearsal: every part, at toy sizes, no figures to keep
    python -m benchmarks.gpu --report                 write the page anew from the results that are there

Parts, in this order unless --parts says another one:

    probe      the device, versions, bandwidth and rates that can be reached, what it costs to start something
    tests      pytest -m gpu, folder by folder
    accuracy   Fashion-MNIST to 92 %, from the start of a process, data on disk
    cold       from the start of a process to the end of its first step, with nothing compiled, and again
    table      each work by each contender, in rounds

Each result is written at once into benchmarks/results/<gpu>-<date>.json, and is not measured again unless --again says
so. What there was no time for is named at the end. Then docs/performance-gpu.md is written from all files there.

PyTorch is measured in five modes: eager, compiled in three ways, and its steps captured by hand; images channels-last,
cudnn.benchmark on, fused optimizers, TF32 off on both sides unless --tf32. Each contender runs in a process of its own,
on one batch that lies on the device; times are CUDA events, after a warm-up. Losses of the first steps from the same
weights are compared. Without a GPU the program says what is missing, and its exit status is 2.
"""

import argparse
import re
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import arguments
from benchmarks.cpu.processes import ROOT, say
from benchmarks.cpu.table import present

from . import run as parts
from . import works
from .page import render
from .processes import Budget, OutOfTime, ask, relative
from .run import Run
from .store import Store, WrongFile, load
from .table import table

RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "performance-gpu.md"
REHEARSAL = ROOT / "build" / "rehearsal-gpu.json"
PARTS = {"probe": parts.probe, "tests": parts.tests, "accuracy": parts.accuracy, "cold": parts.cold, "table": table}
TESTS_SHARE = 0.4  # of the seconds of a run that the tests may take, where other parts follow
QUICK = {"backend": ["tests/backend/cuda"]}  # tests for a rehearsal, of which those that need a GPU are skipped


def main(argv: list[str] | None = None) -> int:
    """Measure what is not there yet, and write the page."""
    args = parse(argv)
    try:
        if args.report is not None:
            return report([load(Path(file)) for file in args.report or results()], args.page)
        return measure(args)
    except WrongFile as error:
        print(error, file=sys.stderr)
        return 2


def measure(args: argparse.Namespace) -> int:
    """All parts that were asked for."""
    budget = Budget(args.seconds)
    started = time.monotonic()
    try:
        asked = {"part": "versions", "device": args.device, "toy": args.rehearse}
        versions = ask("probe", asked, budget, args.limit)
    except OutOfTime:
        versions = {"failed": f"--seconds {args.seconds:g} is no time at all"}
    if "device" not in versions:
        why = versions.get("missing") or versions["failed"]
        print(f"benchmarks.gpu: {why}; --device cpu rehearses without one", file=sys.stderr)
        return 2
    name = str(versions["device"])
    head = {"device": args.device, "name": name, "rehearsal": args.rehearse, "tf32": args.tf32}
    own = f"{slug(name)}{'-tf32' if args.tf32 else ''}-{date.today()}.json"
    file = Path(args.json or (REHEARSAL if args.rehearse else RESULTS / own))
    store = Store(file.absolute(), head)
    say(f"{name}: results go to {relative(store.path)}" + (", which is gone on with" if store.get("sessions") else ""))
    told = make_run(args, store, budget)
    if args.again:
        forget(store, args.parts, told.works)
    if again := store.forget_failures():
        say(f"{again} that failed before: measured again")
    store.put("versions", value=versions)
    for part in args.parts:
        PARTS[part](told)
    sessions = store.get("sessions") or []
    now = {"date": str(date.today()), "commit": commit(), "parts": args.parts}
    now |= {"asked_s": args.seconds, "spent_s": round(time.monotonic() - started, 1), "unreached": told.unreached}
    store.put("sessions", value=[*sessions, now])
    for line in told.unreached:
        say(f"not reached: {line}")
    end = "run it again to go on" if told.unreached else "all that was asked for is there"
    say(f"{now['spent_s']:.0f} s; {end}")
    others = [] if args.rehearse else [path for path in results() if path != store.path]
    return report([*(load(path) for path in others), store.data], args.page)


def make_run(args: argparse.Namespace, store: Store, budget: Budget) -> Run:
    """What the parts are told."""
    chosen = [works.WORKS[name] for name in dict.fromkeys(args.work)]
    against = args.against if present({"torch"}) else []
    return Run(
        store=store,
        budget=budget,
        device=args.device,
        works=[works.toy(work) for work in chosen] if args.rehearse else chosen,
        contenders=[*works.OURS, *(f"torch-{mode}" for mode in against)],
        rounds=args.rounds,
        measured=args.measure,
        limit=args.limit,
        tests=QUICK if args.rehearse else parts.folders(),
        tests_limit=args.seconds * (1.0 if args.parts == ["tests"] else TESTS_SHARE),
        tf32=args.tf32,
        toy=args.rehearse,
        caches=store.path.parent / f".caches-{store.path.stem}",
    )


def forget(store: Store, names: list[str], own: list[works.Work]) -> None:
    """The results of parts, and there of works, that are to be measured again."""
    for part in names:
        if part in ("table", "cold"):
            for work in own:
                store.forget(part, work.name)
        else:
            store.forget(part)


def report(files: list[dict[str, Any]], page: str) -> int:
    """Write the page."""
    Path(page).write_text(render(files), encoding="utf-8")
    say(f"wrote {relative(Path(page).absolute())}")
    return 0


def results() -> list[Path]:
    """The files that are kept."""
    return sorted(RESULTS.glob("*.json"))


def slug(name: str) -> str:
    """A name for a file."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def commit() -> str | None:
    """Of the sources, where they are a checkout."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """What to do."""
    args = parser().parse_args(argv)
    args.rehearse = args.rehearse or args.device == "cpu"
    args.parts = list(dict.fromkeys(args.parts or PARTS))
    args.work = args.work or list(works.WORKS)
    if args.against is None:
        args.against = ["eager", "compile"] if args.device == "cpu" else list(works.MODES)
    if args.rehearse:
        args.rounds, args.measure = min(args.rounds, 2), 0.02
    args.page = args.page or str(REHEARSAL.with_suffix(".md") if args.rehearse and args.report is None else PAGE)
    Path(args.page).parent.mkdir(exist_ok=True)
    return args


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made, count, seconds = arguments.parser("benchmarks.gpu", __doc__), arguments.count, arguments.seconds
    made.epilog = "\n  ".join(["works:", *works.WORKS])
    made.add_argument("--parts", nargs="+", choices=PARTS, help="what to measure, in that order; default: all")
    made.add_argument("--work", nargs="+", choices=works.WORKS, metavar="NAME", help="default: all of those below")
    made.add_argument("--against", nargs="*", choices=works.MODES, help="PyTorch's modes; default: all")
    made.add_argument("--rounds", type=count, default=3, help="processes for each work and contender (default: 3)")
    made.add_argument("--seconds", type=seconds, default=570.0, help="of the whole run (default: 570)")
    made.add_argument("--limit", type=seconds, default=240.0, help="seconds of one process at most (default: 240)")
    made.add_argument("--measure", type=seconds, default=1.0, help="seconds timed in a process (default: 1)")
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default: cuda; cpu rehearses")
    made.add_argument("--rehearse", action="store_true", help="toy sizes: a try, no figures to keep")
    made.add_argument("--tf32", action="store_true", help="let both sides multiply float32 numbers as TF32")
    made.add_argument("--again", action="store_true", help="measure anew what is there of these parts and works")
    made.add_argument(
        "--json", type=arguments.file, metavar="FILE", help="default: benchmarks/results/<gpu>-<date>.json"
    )
    made.add_argument("--page", type=arguments.file, metavar="FILE", help="default: docs/performance-gpu.md")
    made.add_argument(
        "--report", nargs="*", metavar="FILE", help="only write the page, from these files; default: all that are kept"
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
