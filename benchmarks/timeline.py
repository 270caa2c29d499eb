"""
When each thread works on which layer of which tile in a training step on the CPU: the picture in docs/performance.md.

    python -m benchmarks.timeline --model deepnotes --threads 2 --save docs/pictures/timeline.png

Of several steps the shortest one is shown, which was disturbed least. The picture needs matplotlib, which
pip install 'xpcnn[plot]' brings. Without --save only the shares of the step's time are printed.
"""

import argparse
import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

import xpcnn
from xpcnn.backend.cpu.threads import spread
from xpcnn.models import tiled
from xpcnn.models.container import Container

from . import arguments
from .cpu.works import LR, MOMENTUM, WORKS

TRAINED = {work.model: work for work in WORKS.values() if work.optimizer}
FORWARD, LOSS, BACKWARD, UPDATE = "forward", "loss", "backward", "update"


class Span(NamedTuple):
    """A piece of work: its thread and time in seconds; a layer or loss or update; in a run, the tile's first sample."""

    thread: int
    start: float
    stop: float
    what: str
    phase: str
    run: int = 0
    tile: int | None = None


class Recorder:
    """
    Notes what happens in the steps of a trainer.

    Attributes
    ----------
    spans : list of Span
        Work that no other work is inside of: a layer on a tile, or a part of something that was spread.
    phases : list of Span
        What the calling thread is about: a run of layers, a layer by itself, the loss, the update.
    shared : list of (float, float)
        When something was spread over the threads.
    """

    def __init__(self, trainer: xpcnn.Trainer) -> None:
        self.trainer = trainer
        self.names = {id(layer): f"{name} {type(layer).__name__}" for name, layer in trainer.model.leaves()}
        self.spans: list[Span] = []
        self.phases: list[Span] = []
        self.shared: list[tuple[float, float]] = []
        self.now = ("step", "")  # layer and phase on the calling thread
        self.wrapped: set[int] = set()
        self.here = threading.local()

    def step(self, x: np.ndarray, y: np.ndarray) -> "Step":
        """One step, and what happened in it."""
        self.spans.clear()
        self.phases.clear()
        self.shared.clear()
        start = time.perf_counter()
        self.trainer.step(x, y)
        stop = time.perf_counter()
        phases = sorted(self.phases, key=lambda s: s.start)
        return Step(start, stop, threading.get_ident(), sorted(self.spans), phases, list(self.shared))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Stand around everything that computes."""
        with ExitStack() as stack:

            def wrap(owner: Any, name: str, by: Any) -> None:
                stack.enter_context(patch.object(owner, name, by))

            wrap(tiled, "forward", self._run(tiled.forward, FORWARD))
            wrap(tiled, "backward", self._run(tiled.backward, BACKWARD))
            wrap(Container, "_forward_child", self._child(Container._forward_child, FORWARD))
            wrap(Container, "_backward_child", self._child(Container._backward_child, BACKWARD))
            trainer = self.trainer
            wrap(type(trainer.loss), "__call__", self._phase(type(trainer.loss).__call__, LOSS, LOSS))
            wrap(trainer.optimizer, "update", self._phase(trainer.optimizer.update, UPDATE, UPDATE))
            for name, module in list(sys.modules.items()):
                if name.startswith("xpcnn.backend.cpu.") and getattr(module, "spread", None) is spread:
                    wrap(module, "spread", self._spread)
            yield

    def _phase(self, function: Callable, what: str, phase: str) -> Callable:
        def call(*args: Any, **options: Any) -> Any:
            before, self.now = self.now, (what, phase)
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.phases.append(Span(threading.get_ident(), start, time.perf_counter(), what, phase))
                self.now = before

        return call

    def _run(self, function: Callable, phase: str) -> Callable:
        def call(segment: Any, *args: Any) -> Any:
            names = [self.names[id(layer)] for layer in segment.layers]
            for name, node in zip(names, segment.run.nodes, strict=True):
                if id(node) not in self.wrapped:
                    self.wrapped.add(id(node))
                    self._listen(node, name, id(segment.run))
            path = [name.split()[0] for name in names]
            what = f"layers {path[0]} to {path[-1]}" if len(path) > 1 else names[0]
            return self._phase(function, what, phase)(segment, *args)

        return call

    def _child(self, function: Callable, phase: str) -> Callable:
        def call(container: Container, name: str, *args: Any) -> Any:
            child = container.children[name]
            if isinstance(child, Container):  # what is spread between its layers, such as a sum, is its own
                timed = self._named(function, type(child).__name__, phase)
            else:
                timed = self._phase(function, self.names[id(child)], phase)
            return timed(container, name, *args)

        return call

    def _listen(self, node: Any, name: str, run: int) -> None:
        """Note each call of a node on a tile; and whose work is spread before and behind the tiles."""
        for method, phase in (("forward", FORWARD), ("backward", BACKWARD)):
            setattr(node, method, self._on_tile(getattr(node, method), name, phase, run))
        for method in ("begin", "end", "prepare", "finish"):
            setattr(node, method, self._named(getattr(node, method), name))

    def _on_tile(self, function: Callable, name: str, phase: str, run: int) -> Callable:
        def call(*args: Any) -> None:
            last = args[-1]  # a Tile or, backward, its first sample
            self.here.inside = True
            start = time.perf_counter()
            function(*args)
            stop = time.perf_counter()
            self.here.inside, self.here.seen = False, True
            tile = last.first if phase == FORWARD else last
            self.spans.append(Span(threading.get_ident(), start, stop, name, phase, run, tile))

        return call

    def _named(self, function: Callable, name: str, phase: str | None = None) -> Callable:
        def call(*args: Any) -> Any:
            before, self.now = self.now, (name, phase or self.now[1])
            try:
                return function(*args)
            finally:
                self.now = before

        return call

    def _spread(self, work: Callable[[int], Any], parts: int) -> None:
        if getattr(self.here, "inside", False):  # by a layer on a tile, which is noted as a whole
            spread(work, parts)
            return
        what, phase = self.now

        def part(i: int) -> None:
            self.here.seen = False
            start = time.perf_counter()
            work(i)
            if not self.here.seen:  # no layer was noted in it
                self.spans.append(Span(threading.get_ident(), start, time.perf_counter(), what, phase))

        begin = time.perf_counter()
        spread(part, parts)
        self.shared.append((begin, time.perf_counter()))


class Step(NamedTuple):
    """What happened in a step."""

    start: float
    stop: float
    main: int
    spans: list[Span]
    phases: list[Span]
    shared: list[tuple[float, float]]

    @property
    def seconds(self) -> float:
        return self.stop - self.start

    @property
    def threads(self) -> list[int]:
        """The calling thread first."""
        return sorted({s.thread for s in self.spans} | {self.main}, key=lambda thread: thread != self.main)

    def runs(self) -> list[int]:
        """In the order in which they begin, forward."""
        own = sorted((s for s in self.spans if s.run and s.phase == FORWARD), key=lambda s: s.start)
        return list(dict.fromkeys(s.run for s in own))

    def tiles(self, run: int) -> list[int]:
        """The first sample of each tile of a run."""
        return sorted({s.tile for s in self.spans if s.run == run and s.tile is not None})

    def layers(self) -> list[str]:
        """In the order in which they are computed, which is not always the network's."""
        known = {s.what for s in self.spans} - {LOSS, UPDATE}
        moments = sorted(chain(self.spans, self.phases), key=lambda s: s.start)
        return [what for what in dict.fromkeys(s.what for s in moments) if what in known]

    def of(self, thread: int) -> list[Span]:
        return [s for s in self.spans if s.thread == thread]

    def alone(self) -> list[tuple[float, float]]:
        """When nothing was spread: the calling thread makes plans, adds up the sums of lanes, computes the loss."""
        found, end = [], self.start
        for start, stop in self.shared:
            found.append((end, start))
            end = stop
        return [*found, (end, self.stop)]


def record(model: str, batch: int, threads: int, steps: int) -> Step:
    """The shortest of some training steps."""
    work, rng = TRAINED[model], np.random.default_rng(0)
    sgd = xpcnn.optimizers.SGD(LR["sgd"], momentum=MOMENTUM if work.optimizer == "momentum" else 0.0)
    optimizer = xpcnn.optimizers.Adam() if work.optimizer == "adam" else sgd
    net = getattr(xpcnn.models, model)()
    x, y = rng.random((batch, *work.shape), dtype=np.float32), rng.integers(0, 10, batch)
    recorder = Recorder(xpcnn.Trainer(net, "softmax_cross_entropy", optimizer))
    before = xpcnn.get_num_threads()
    xpcnn.set_num_threads(threads)
    try:
        with recorder.listening():
            taken = [recorder.step(x, y) for _ in range(steps + 2)]
    finally:
        xpcnn.set_num_threads(before)
    return min(taken[2:], key=lambda step: step.seconds)


def report(step: Step) -> str:
    """Who was busy how long, in lines."""
    lines = [f"step: {step.seconds * 1e3:.1f} ms, recording included"]
    for i, thread in enumerate(step.threads):
        busy = sum(s.stop - s.start for s in step.of(thread))
        lines.append(f"thread {i}: busy {busy / step.seconds:.0%} of it, {len(step.of(thread))} pieces of work")
    alone = sum(stop - start for start, stop in step.alone())
    return "\n".join([*lines, f"nothing to share out: {alone / step.seconds:.0%}"])


def describe(step: Step, model: str, batch: int, threads: int) -> str:
    """What the picture shows, in a line."""
    text = f"one training step of {model}: {_counted(batch, 'image')}, {_counted(threads, 'thread')}"
    if runs := step.runs():
        tiles = step.tiles(runs[0])
        *others, last = sorted({b - a for a, b in pairwise([*tiles, batch])})
        sizes = "".join(f"{size} or " for size in others) + _counted(last, "sample")
        text += f"; first run: {_counted(len(tiles), 'tile')} of {sizes}"
    return text


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


# The picture.

# Of each map as much as differs from white and from the others.
HUES = {"Conv": "Blues", "Linear": "cool", "MaxPool": "Oranges", "ReLU": "YlGn", "BatchNorm": "Reds"}
MANY = 12  # layers in the legend
OTHERS, UPDATES, ALONE, INK = "RdPu", "#555555", "#d4d4d4", "#333333"
PALEST, DARKEST = 0.45, 0.95  # of a kind's shades
WAITING = {"facecolor": "white", "edgecolor": "#dddddd", "hatch": "/////", "linewidth": 0}


def kind(what: str) -> str:
    """The hue of a layer, by the beginning of its class's name."""
    return next((k for k in HUES if what.split()[-1].startswith(k)), "")


def colours(step: Step) -> dict[str, Any]:
    """A hue for each kind of layer, a shade for each layer of the kind, in the order in which they are computed."""
    from matplotlib import colormaps

    names = step.layers()
    found = dict.fromkeys(names)
    for hue in {kind(name) for name in names}:
        own = [name for name in names if kind(name) == hue]
        for i, name in enumerate(own):
            shade = 0.75 if len(own) == 1 else PALEST + (DARKEST - PALEST) * i / (len(own) - 1)
            found[name] = colormaps[HUES.get(hue, OTHERS)](shade)
    return found


def draw(step: Step, title: str, file: str) -> None:
    """The step as a whole, and below it the run of most layers, forward, from closer by."""
    from matplotlib import rc_context

    with rc_context({"hatch.linewidth": 0.7}):
        _draw(step, title, file)


def _draw(step: Step, title: str, file: str) -> None:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    of = colours(step)
    figure = Figure(figsize=(12, 2.9 + 1.1 * len(step.threads)), layout="constrained")
    whole, near = figure.subplots(2, 1, height_ratios=[1.25, 1])
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    _lanes(whole, step, of, step.start, step.stop)
    _strip(whole, step)
    forward = [s for s in step.spans if s.run and s.phase == FORWARD]
    longest = max(step.runs(), key=lambda run: len({s.what for s in forward if s.run == run}), default=0)
    close = [s for s in forward if s.run == longest] or step.spans
    _lanes(near, step, of, min(s.start for s in close), max(s.stop for s in close))
    near.set_title("the longest run of layers, forward; numbers are those of its tiles", loc="left", fontsize=9)
    near.set_xlabel("milliseconds since the step began", fontsize=9)
    keys = [Patch(color=colour, label=what) for what, colour in of.items()]
    if len(of) > MANY:  # a shade cannot be told from the next one any more
        shades = {hue: [of[w] for w in of if kind(w) == hue] for hue in map(kind, of)}
        keys = [Patch(color=own[len(own) // 2], label=hue or "others") for hue, own in shades.items()]
    keys += [Patch(color=UPDATES, label="update of weights")] if any(s.what == UPDATE for s in step.spans) else []
    keys.append(Patch(color=ALONE, label="not shared out"))
    keys.append(Patch(**WAITING, label="waiting"))
    figure.legend(handles=keys, loc="outside right center", fontsize=9, frameon=False)
    figure.savefig(file, dpi=110)


def _lanes(axes: Any, step: Step, of: dict[str, Any], begin: float, end: float) -> None:
    """A lane for each thread, with a number above each tile of several layers."""
    first, last = _ms(step, begin), _ms(step, end)
    gap = (last - first) / 1500
    alone = [(_ms(step, a), _ms(step, b) - _ms(step, a)) for a, b in step.alone()]
    for lane in range(len(step.threads)):
        axes.broken_barh([(first, last - first)], (lane - 0.34, 0.68), **WAITING)
    axes.broken_barh(alone, (-0.34, 0.68), color=ALONE, linewidth=0)
    for lane, thread in enumerate(step.threads):
        own = [s for s in step.of(thread) if s.stop > begin and s.start < end]
        bars = [(_ms(step, s.start), _ms(step, s.stop) - _ms(step, s.start)) for s in own]
        axes.broken_barh(bars, (lane - 0.34, 0.68), color=[of.get(s.what, UPDATES) for s in own], linewidth=0)
        for (run, tile, _), group in groupby(own, lambda s: (s.run, s.tile, s.phase)):
            spans = list(group)
            left, right = _ms(step, spans[0].start), _ms(step, spans[-1].stop)
            if tile is None or len(spans) == 1 or right - left < (last - first) / 60:
                continue
            number = step.tiles(run).index(tile) + 1
            axes.plot([left + gap, right - 2 * gap], [lane - 0.4] * 2, color=INK, linewidth=0.8)
            axes.text((left + right) / 2, lane - 0.43, f"{number}", ha="center", fontsize=8, color=INK)
    axes.set_xlim(first, last)
    axes.set_ylim(len(step.threads) - 0.5, -0.75)
    axes.set_yticks(range(len(step.threads)), [f"thread {i}" for i in range(len(step.threads))])
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)


def _strip(axes: Any, step: Step) -> None:
    """What the step is about, above the lanes."""
    for phase in (FORWARD, LOSS, BACKWARD, UPDATE):
        own = [s for s in step.phases if s.phase == phase]
        if own:
            left, right = _ms(step, own[0].start), _ms(step, max(s.stop for s in own))
            axes.plot([left, right], [-0.85] * 2, color=INK, linewidth=3, solid_capstyle="butt", clip_on=False)
            axes.text((left + right) / 2, -0.95, phase, ha="center", va="bottom", fontsize=9, color=INK)


def _ms(step: Step, moment: float) -> float:
    return (moment - step.start) * 1e3


def main(argv: list[str] | None = None) -> int:
    """Record, print, draw."""
    args = parse(argv)
    step = record(args.model, args.batch, args.threads, args.steps)
    print(report(step))
    if args.save:
        draw(step, describe(step, args.model, args.batch, args.threads), args.save)
    return 0


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """What to do; a picture that could not be drawn ends the program before anything is measured."""
    made = parser()
    args = made.parse_args(argv)
    if args.batch is None:
        args.batch = TRAINED[args.model].batch
    if args.save:
        try:
            kinds = importlib.import_module("matplotlib.backend_bases").FigureCanvasBase.get_supported_filetypes()
        except ImportError:
            made.error("--save: expected matplotlib, got none: pip install 'xpcnn[plot]'")
        if Path(args.save).suffix[1:].lower() not in kinds:
            made.error(f"--save: expected a picture such as FILE.png, got {args.save}")
    return args


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made, count = arguments.parser("benchmarks.timeline", __doc__), arguments.count
    made.add_argument("--model", choices=TRAINED, default="deepnotes", help="whose step (default: deepnotes)")
    made.add_argument("--batch", type=count, help="images in a step (default: as in benchmarks.cpu)")
    made.add_argument("--threads", type=count, default=2, help="that share the work (default: 2)")
    made.add_argument("--steps", type=count, default=100, help="of which the shortest is shown (default: 100)")
    made.add_argument("--save", type=arguments.file, metavar="FILE.png", help="draw it (default: only print)")
    return made


if __name__ == "__main__":
    sys.exit(main())
