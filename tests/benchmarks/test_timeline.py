"""What `benchmarks.timeline` notes of a step, and that it draws it."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

import xpcnn
from benchmarks.timeline import Recorder, Span, Step, draw, main, record
from xpcnn.models import tiled

IN_RUNS = {"0 Conv2d", "1 ReLU", "2 MaxPool2d", "3 Conv2d", "4 ReLU", "5 MaxPool2d", "6 Flatten", "8 ReLU", "9 Linear"}


@pytest.fixture(scope="module")
def step(accelerated):
    return record("deepnotes", batch=50, threads=2, steps=1)


def test_every_layer_goes_over_every_tile_once_forward_and_once_backward(step):
    counts = Counter((s.what, s.phase, s.tile) for s in step.spans if s.tile is not None)
    assert set(counts.values()) == {1}
    for phase in ("forward", "backward"):
        tiles = {what: {t for w, p, t in counts if (w, p) == (what, phase)} for what in IN_RUNS}
        assert all(0 in first for first in tiles.values())
        assert len({frozenset(tiles[what]) for what in IN_RUNS - {"8 ReLU", "9 Linear"}}) == 1
    assert {what for what, _, _ in counts} == IN_RUNS


def test_a_layer_in_no_run_is_noted_where_it_is_spread(step):
    assert {(s.what, s.tile) for s in step.spans if s.what not in IN_RUNS} <= {("7 Linear", None), ("update", None)}
    assert {s.phase for s in step.phases if s.what == "7 Linear"} == {"forward", "backward"}


def test_a_thread_does_one_thing_at_a_time_within_the_step(step):
    assert 1 <= len(step.threads) <= 2 and step.threads[0] == step.main
    for thread in step.threads:
        own = step.of(thread)
        assert all(step.start <= s.start <= s.stop <= step.stop for s in own)
        assert all(a.stop <= b.start for a, b in pairwise(own))


def test_phases_follow_one_another(step):
    order = [s.phase for s in step.phases]
    assert sorted(order, key=["forward", "loss", "backward", "update"].index) == order
    assert order.count("loss") == order.count("update") == 1


def test_what_is_not_spread_is_what_lies_between():
    spans = [Span(7, 1.0, 2.0, "a", "forward"), Span(7, 4.0, 5.0, "b", "backward")]
    step = Step(0.0, 6.0, 7, spans, [], [(0.5, 2.0), (4.0, 5.0)])
    assert step.alone() == [(0.0, 0.5), (2.0, 4.0), (5.0, 6.0)]


def test_listening_changes_no_bit_and_leaves_nothing_behind():
    x, y = np.random.default_rng(0).random((20, 1, 28, 28), dtype="float32"), np.arange(20) % 10
    nets = [xpcnn.models.lenet5(seed=1) for _ in range(2)]
    before = tiled.forward
    recorder = Recorder(xpcnn.Trainer(nets[0]))
    with recorder.listening():
        recorder.step(x, y)
    xpcnn.Trainer(nets[1]).step(x, y)
    assert tiled.forward is before
    assert all(np.array_equal(p, nets[1].params[name]) for name, p in nets[0].params.items())


def test_it_draws(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    file = tmp_path / "step.png"
    assert main(["--model", "keras_mnist", "--batch", "16", "--steps", "1", "--save", str(file)]) == 0
    assert file.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.startswith("step: ")


def test_a_network_with_layers_inside_of_layers(tmp_path):
    step = record("resnet18", batch=2, threads=2, steps=1)
    # the sum between layers is their container's
    assert {(s.phase, s.tile) for s in step.spans if s.what == "Residual"} == {("forward", None), ("backward", None)}
    assert "step" not in {s.what for s in step.spans}
    pytest.importorskip("matplotlib")
    file = tmp_path / "step.png"
    draw(step, "resnet18", str(file))
    assert file.stat().st_size < 150_000
