"""
xpcnn beside PyTorch on the CPU, and beside deepnet and onnxruntime where they are there.

    python -m benchmarks.cpu --quick                  a try: one short round, no figures to keep
    python -m benchmarks.cpu                          the table, and how long a process takes to start
    python -m benchmarks.cpu --scaling                xpcnn alone: threads and batches
    python -m benchmarks.cpu --work train-deepnotes --against torch --rounds 3 --json figures.json

On two cores, all works in 7 rounds take about 15 minutes where PyTorch is there, and 6 where it is not.

All compute the same first: equal weights and data, losses or outputs compared. Then each library is measured in a
process of its own, one after the other, in rounds, in turns first, with as many threads. So a machine that gets slower
for a while slows down all of them; the ratio is taken within a round. PyTorch is measured in both of its memory
layouts, and compared in the better one. deepnet (https://github.com/parasdahal/deepnet) takes part if $DEEPNET_DIR
names a checkout of it. $XPCNN_KERNELS and other settings reach the processes.
"""

import argparse
import json
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import arguments

from . import report, scaling, start, table
from .processes import WorkerFailed, cores, say
from .works import WORKS

RIVALS = ("torch", "deepnet", "onnxruntime")
BUSY = 0.3  # load before the first process, above which figures are not to be trusted
PARTS = ("table", "start", "scaling")
LONG = "all works in 7 rounds take about 15 minutes on two cores, 6 without PyTorch; --quick is for a try"
SHORT = "a try: one short round, so nothing is held against its bar, and these are no figures to keep"


def main(argv: list[str] | None = None) -> int:
    """Measure, then print or keep."""
    args = parse(argv)
    works = [WORKS[name] for name in dict.fromkeys(args.work)]
    if args.quick:
        works = [replace(work, bars=dict.fromkeys(work.bars)) for work in works]
    timing = {"steps": args.steps, "seconds": args.seconds}
    say(SHORT if args.quick else LONG)
    result: dict[str, Any] = {"machine": machine(), "threads": args.threads, "quick": args.quick}
    if (load := result["machine"]["load"]) is not None and load > BUSY:
        say(f"load average {load:.2f}: other programs run here, and threads that wait for one another suffer most")
    try:
        if "table" in args.parts:
            result["table"] = table.table(works, set(args.against), args.threads, args.rounds, timing)
        if "scaling" in args.parts:
            result["scaling"] = scaling.scaling(works, args.threads, args.rounds, timing, bars=not args.quick)
        if "start" in args.parts:
            result["start"] = start.start(args.threads, args.rounds, bars=not args.quick)
    except WorkerFailed as error:
        print(error, file=sys.stderr)
        return 1
    if args.json == "-":
        print(json.dumps(result, indent=1))
        return 0
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n")
    print(report.report(result))
    return 0


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """What to do; wrong arguments end the program now, not after an hour of measuring."""
    made = parser()
    args = made.parse_args(argv)
    args.parts = args.parts or (["table"] if args.work else ["table", "start"])
    args.work = args.work or list(WORKS)
    if "scaling" in args.parts and args.threads < 2:
        made.error("--scaling: expected --threads of at least 2")
    if "scaling" in args.parts and all(WORKS[name].batch == 1 for name in args.work):
        made.error(f"--scaling: expected a --work of more than one image, got {' '.join(args.work)}")
    if args.quick:
        args.rounds, args.steps, args.seconds = 1, 2, 0.02
    return args


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made, count, seconds = arguments.parser("benchmarks.cpu", __doc__), arguments.count, arguments.seconds
    made.epilog = "\n  ".join(["works:", *WORKS])
    made.add_argument("--work", nargs="+", choices=WORKS, metavar="NAME", help="default: all of those below")
    made.add_argument(
        "--against",
        nargs="*",
        choices=RIVALS,
        default=list(RIVALS),
        help="default: all that are there; no name: xpcnn alone",
    )
    made.add_argument("--rounds", type=count, default=7, help="processes for each library and work (default: 7)")
    made.add_argument("--steps", type=count, default=5, help="steps measured in a process at least (default: 5)")
    made.add_argument("--seconds", type=seconds, default=2.0, help="time measured in a process at least (default: 2)")
    made.add_argument("--threads", type=count, default=cores(), help="of each library (default: usable cores)")
    made.add_argument("--parts", nargs="+", choices=PARTS, help="default: table start; where --work is given: table")
    made.add_argument(
        "--scaling", dest="parts", action="store_const", const=["scaling"], help="the same as --parts scaling"
    )
    made.add_argument("--quick", action="store_true", help="a try: one round of 2 steps, no bars, no figures to keep")
    made.add_argument(
        "--json",
        type=arguments.file,
        nargs="?",
        const="-",
        metavar="FILE",
        help="keep one JSON object, or print it instead",
    )
    return made


def machine() -> dict[str, Any]:
    """What it ran on, and what else ran there."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line.partition(":") for line in info.read_text().splitlines()]
        name = next((value.strip() for key, _, value in lines if key.strip() == "model name"), name)
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "usable_cores": cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


if __name__ == "__main__":
    sys.exit(main())
