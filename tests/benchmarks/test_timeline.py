"""What `benchmarks.timeline` notes of a step, and that it draws it."""

import sys
from collections import Counter
from itertools import combinations, pairwise, product

import numpy as np
import pytest

import xpcnn
from benchmarks import timeline
from benchmarks.timeline import Recorder, Span, Step, colours, describe, draw, main, parse, record
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


def test_layers_stand_in_the_order_in_which_they_are_computed(step):
    # pooling goes before the rectifier; the layer with large weights is in no run
    order = ["0 Conv2d", "2 MaxPool2d", "1 ReLU", "3 Conv2d", "5 MaxPool2d", "4 ReLU", "6 Flatten"]
    assert step.layers() == [*order, "7 Linear", "8 ReLU", "9 Linear"]


def test_a_layer_that_is_spread_backward_only_stands_where_it_was_computed_forward():
    spans = [Span(7, 2.0, 3.0, "b", "forward"), Span(7, 4.0, 5.0, "a", "backward")]
    phases = [Span(7, 0.0, 1.0, "a", "forward"), Span(7, 2.0, 3.0, "b", "forward"), Span(7, 3.0, 4.0, "loss", "loss")]
    assert Step(0.0, 6.0, 7, spans, phases, []).layers() == ["a", "b"]


def test_the_title_tells_threads_and_the_first_runs_tiles():
    def tiles(run, *firsts):
        return [Span(7, run + i / 10, run + i / 10 + 0.1, "a", "forward", run, tile) for i, tile in enumerate(firsts)]

    step = Step(0.0, 6.0, 7, [*tiles(2, 0), *tiles(1, 13, 0, 38, 25)], [], [])
    text = "one training step of deepnotes: 50 images, 2 threads"
    assert describe(step, "deepnotes", 50, 2) == f"{text}; first run: 4 tiles of 12 or 13 samples"
    one = describe(step._replace(spans=tiles(1, 0)), "a", 1, 1)
    assert one == "one training step of a: 1 image, 1 thread; first run: 1 tile of 1 sample"
    assert describe(step._replace(spans=[]), "deepnotes", 50, 2) == text


def lab(colour):
    """The colour in CIE L*a*b*, where distances are about what the eye sees: sRGB, white of D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    rgb = np.asarray(colour[:3])
    xyz = to_xyz @ np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92) / (0.9505, 1.0, 1.089)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_colours_of_layers_can_be_told_apart(step):
    pytest.importorskip("matplotlib")
    from matplotlib.colors import to_rgb

    seen = {what: lab(colour) for what, colour in colours(step).items()}
    others = {name: lab(to_rgb(name)) for name in (timeline.UPDATES, timeline.ALONE, "white")}
    assert len(seen) == 10
    for a, b in [*combinations(seen, 2), *product(seen, others)]:
        assert np.linalg.norm(seen[a] - (seen | others)[b]) > 20, (a, b)  # about 2 is just seen side by side


def test_a_picture_that_cannot_be_drawn_is_refused_before_anything_is_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(timeline, "record", lambda *_: pytest.fail("measured"))
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    with pytest.raises(SystemExit):
        main(["--save", str(tmp_path / "step.png")])
    assert capsys.readouterr().err.endswith("error: --save: expected matplotlib, got none: pip install 'xpcnn[plot]'\n")
    monkeypatch.undo()
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(timeline, "record", lambda *_: pytest.fail("measured"))
    for wrong in ("step", "step.txt"):
        with pytest.raises(SystemExit):
            main(["--save", wrong])
        assert capsys.readouterr().err.endswith(f"error: --save: expected a picture such as FILE.png, got {wrong}\n")


def test_a_batch_is_the_works_unless_it_is_given():
    assert parse(["--model", "resnet18"]).batch == 32
    assert parse(["--model", "resnet18", "--batch", "3"]).batch == 3


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
