"""
Where the time of a training step goes, layer by layer, with one thread and with several.

    python -m benchmarks.nodes [--model deepnotes --threads 2 --steps 10]

For each layer in a run of tiles: milliseconds a step, forward and backward, added up over all threads, and for
convolutions the rate at which they do the multiply-adds of the definition. A layer that takes longer in the sum when
there are more threads waits: for memory, or for Python's lock. What the lock costs shows the last table: single
operations of several lengths, in one thread and in two threads that have nothing to do with one another.
"""

import argparse
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import numpy as np

import xpcnn
from xpcnn import models, optimizers
from xpcnn.backend import cpu
from xpcnn.models.single import SingleLayer
from xpcnn.training import Trainer

from . import arguments
from .cpu.works import LR, WORKS

NODES = (
    *(cpu.BatchNorm, cpu.Convolution, cpu.Dropout, cpu.Flatten, cpu.Linear, cpu.MaxPool, cpu.MaxPoolPairs, cpu.ReLU),
    SingleLayer,
)
TRAINED = {work.model: work for work in WORKS.values() if work.optimizer}
Times = dict[tuple[str, str], float]


def main(argv: list[str] | None = None) -> int:
    """Print the tables."""
    args = parser().parse_args(argv)
    work = TRAINED[args.model]
    model = getattr(models, work.model)()
    trainer = Trainer(model, optimizer=optimizers.get("sgd", lr=LR["sgd"]))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((work.batch, *work.shape)).astype("float32"), rng.integers(0, 10, work.batch)

    found = [_times(lambda: trainer.step(x, y), threads, args.steps) for threads in (1, args.threads)]
    print(f"{args.model}, batch of {work.batch}, ms a step; layers: added up over the threads\n")
    print(f"{'':44}{'1 thread':>10}{f'{args.threads} threads':>12}{'GFLOP/s with 1':>16}")
    rates = {key: flops * work.batch for key, flops in _flops(model, work.shape).items()}
    for key, first in found[0].items():
        rate = f"{rates[key] / first / 1e6:16.0f}" if key in rates else ""
        print(f"{key[0]:34}{key[1]:10}{first:10.2f}{found[1].get(key, 0.0):12.2f}{rate}")
    print()
    _print_lock()
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made, count, own = arguments.parser("benchmarks.nodes", __doc__), arguments.count, xpcnn.get_num_threads()
    made.add_argument("--model", choices=TRAINED, default="deepnotes", help="whose step (default: deepnotes)")
    made.add_argument("--threads", type=count, default=own, help=f"compared with one thread (default here: {own})")
    made.add_argument("--steps", type=count, default=10, help="of which the mean is shown (default: 10)")
    return made


def _times(step: Callable[[], Any], threads: int, steps: int) -> Times:
    """Milliseconds a step of everything that is told apart, the step itself first."""
    total: Times = defaultdict(float)
    lock = threading.Lock()

    def timed(node: type, method: str) -> Callable[..., None]:
        call = getattr(node, method)

        def around(self: Any, *args: Any) -> None:
            start = time.perf_counter()
            call(self, *args)
            seconds = time.perf_counter() - start
            with lock:
                total[_name(self), method] += seconds / steps * 1e3

        return around

    before = xpcnn.get_num_threads()
    xpcnn.set_num_threads(threads)
    try:
        for _ in range(3):
            step()
        total["the whole step", ""] = 0.0
        with ExitStack() as stack:
            for node in NODES:
                for method in ("forward", "backward"):
                    stack.enter_context(mock.patch.object(node, method, timed(node, method)))
            start = time.perf_counter()
            for _ in range(steps):
                step()
            total["the whole step", ""] = (time.perf_counter() - start) / steps * 1e3
    finally:
        xpcnn.set_num_threads(before)
    return dict(total)


def _name(node: Any) -> str:
    return f"{type(getattr(node, 'layer', node)).__name__} {node.shape}"


def _flops(model: Any, shape: tuple[int, int, int]) -> dict[tuple[str, str], float]:
    """Operations of the convolutions for a sample, forward, by their names in the table; of equal ones the sum."""
    flops: dict[tuple[str, str], float] = defaultdict(float)

    def see(visit: Any) -> None:
        if type(visit.layer).__name__ == "Conv2d":
            c, h, w = visit.input_shape
            name = f"Convolution {(h, w, c)}"
            macs = visit.layer.cost(visit.input_shape, 4).macs
            flops[name, "forward"] += 2.0 * macs
            flops[name, "backward"] += 4.0 * macs

    models.container.traverse(model, shape, see)
    first = f"Convolution {(shape[1], shape[2], shape[0])}"
    flops[first, "backward"] /= 2.0  # nobody needs the gradient at the images
    return flops


def _print_lock() -> None:
    """How much two threads gain on operations of several lengths."""
    print("one operation over and over, in scratch memory of its own:")
    print(f"{'':44}{'us each':>10}{'gain of two threads':>24}")
    for name, make in _OPERATIONS.items():
        operation = make()
        count = max(3, round(0.3 / _seconds([operation], 3) * 3))
        alone = statistics.median(_seconds([operation], count) for _ in range(3)) / count
        both = statistics.median(_seconds([make(), make()], count) for _ in range(3)) / count
        print(f"{name:44}{alone * 1e6:10.1f}{2.0 * alone / both:24.2f}")


def _seconds(operations: list[Callable[[], Any]], count: int) -> float:
    """Each of them so many times, in a thread of its own."""

    def run(operation: Callable[[], Any]) -> None:
        for _ in range(count):
            operation()

    threads = [threading.Thread(target=run, args=(operation,)) for operation in operations]
    with cpu.single_threaded_blas():
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - start


def _add(size: int) -> Callable[[], Any]:
    a, out = np.ones(size, "float32"), np.empty(size, "float32")
    return lambda: np.add(a, a, out=out)


def _product(m: int, k: int, n: int) -> Callable[[], Any]:
    a, b, out = np.ones((m, k), "float32"), np.ones((k, n), "float32"), np.empty((m, n), "float32")
    return lambda: np.matmul(a, b, out=out)


_OPERATIONS: dict[str, Callable[[], Callable[[], Any]]] = {
    "sum of 2 x 1,000 numbers": lambda: _add(1_000),
    "sum of 2 x 10,000": lambda: _add(10_000),
    "sum of 2 x 100,000": lambda: _add(100_000),
    "product (196, 40) (40, 64)": lambda: _product(196, 40, 64),
    "product (392, 400) (400, 32)": lambda: _product(392, 400, 32),
    "product (1568, 400) (400, 32)": lambda: _product(1568, 400, 32),
}


if __name__ == "__main__":
    sys.exit(main())
