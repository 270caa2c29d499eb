"""
Time a training step of xpcnn beside deepnet's and PyTorch's, on the CPU.

    python -m benchmarks.step [--model deepnotes --batch 50 --rounds 7 --steps 20 --threads N --dtype float32 --json]

Each round starts one process for each library, one after the other and in turns first, and takes the median time of a
step in it. So a machine that gets slower for a while slows down all of them. The ratio is taken within a round; printed
are its median and its extremes over the rounds.

deepnet (https://github.com/parasdahal/deepnet) takes part if $DEEPNET_DIR names a checkout of it and the model is
deepnotes; PyTorch if it is installed.
"""

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from . import arguments, deepnet_net
from .contenders import CONTENDERS

ROOT = Path(__file__).parents[1]
MODELS = ("deepnotes", "keras_mnist", "torch_mnist")
WARM_UP = 3


def main(argv: list[str] | None = None) -> int:
    """Run all rounds and print the table."""
    args = parser().parse_args(argv)
    if args.worker:
        print(json.dumps(_time(args.worker, args)))
        return 0
    names, left_out = _present(args.model)
    for reason in left_out:
        print(f"left out: {reason}", file=sys.stderr)
    rounds: dict[str, list[float]] = {name: [] for name in names}
    about: dict[str, str] = {}
    for i in range(args.rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            answer = _worker(name, args)
            rounds[name].append(answer["median_ms"])
            about[name] = answer["about"]
            print(f"round {i + 1}/{args.rounds}: {name} {answer['median_ms']:.1f} ms", file=sys.stderr, flush=True)
    result = {
        "model": args.model,
        "batch": args.batch,
        "dtype": args.dtype,
        "rounds": args.rounds,
        "steps": args.steps,
        "threads": args.threads,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "contenders": {name: _summary(about[name], rounds[name], rounds["xpcnn"]) for name in names},
    }
    print(json.dumps(result, indent=1) if args.json else _table(result))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made, count = arguments.parser("benchmarks.step", __doc__), arguments.count
    made.add_argument("--model", choices=MODELS, default="deepnotes", help="the network (default: deepnotes)")
    made.add_argument("--batch", type=count, default=50, help="images in a step (default: 50)")
    made.add_argument("--rounds", type=count, default=7, help="processes for each library (default: 7)")
    made.add_argument("--steps", type=count, default=20, help="steps timed in a process (default: 20)")
    made.add_argument("--threads", type=count, default=os.cpu_count() or 1, help="of BLAS (default: number of cores)")
    dtypes = ("float32", "float64")
    made.add_argument("--dtype", choices=dtypes, default="float32", help="default: float32; deepnet has float64 only")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    made.add_argument("--worker", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    return made


def _present(model: str) -> tuple[list[str], list[str]]:
    """Who takes part, and why the others do not."""
    names, left_out = ["xpcnn"], []
    if model != "deepnotes":
        left_out.append(f"deepnet: it is written here for the model deepnotes, not for {model}")
    elif reason := deepnet_net.absent():
        left_out.append(f"deepnet: {reason}")
    else:
        names.append("deepnet")
    if importlib.util.find_spec("torch"):
        names.append("torch")
    else:
        left_out.append("torch: it is not installed")
    return names, left_out


def _worker(name: str, args: argparse.Namespace) -> dict:
    """Time one library in a process of its own."""
    threads = {f"{library}_NUM_THREADS": str(args.threads) for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")}
    if "DEEPNET_DIR" in os.environ:
        threads["DEEPNET_DIR"] = str(Path(os.environ["DEEPNET_DIR"]).resolve())
    options = [f"--{key}={getattr(args, key)}" for key in ("model", "batch", "steps", "threads", "dtype")]
    command = [sys.executable, "-m", "benchmarks.step", f"--worker={name}", *options]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | threads, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def _time(name: str, args: argparse.Namespace) -> dict:
    """Median time of a step, in this process."""
    step, about = CONTENDERS[name](args.model, args.batch, args.dtype)
    for _ in range(WARM_UP):
        step()
    times = []
    for _ in range(args.steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return {"median_ms": statistics.median(times) * 1e3, "about": about}


def _summary(about: str, own: list[float], xpcnn: list[float]) -> dict:
    ratios = [a / b for a, b in zip(own, xpcnn, strict=True)]
    return {
        "about": about,
        "median_ms": round(statistics.median(own), 2),
        "rounds_ms": [round(value, 2) for value in own],
        "times_xpcnn": round(statistics.median(ratios), 2),
        "times_xpcnn_least": round(min(ratios), 2),
        "times_xpcnn_most": round(max(ratios), 2),
    }


def _table(result: dict) -> str:
    lines = [
        f"{result['model']}, batch of {result['batch']}: {result['rounds']} rounds of {result['steps']} steps, "
        f"{result['threads']} thread(s) on {result['cores']} core(s), Python {result['python']}",
        "",
        f"{'median step':>12}  {'times xpcnn':>11}  {'(from - to)':>15}  library",
    ]
    for one in result["contenders"].values():
        spread = f"({one['times_xpcnn_least']:.2f} - {one['times_xpcnn_most']:.2f})"
        lines.append(f"{one['median_ms']:>9.1f} ms  {one['times_xpcnn']:>11.2f}  {spread:>15}  {one['about']}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
