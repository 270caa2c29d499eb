"""What `explain` says of a batch is what happens to it."""

import re

import array_api_strict as strict
import numpy as np
import pytest

import xpcnn
from tests.models.nets import branching, nested
from xpcnn.backend import Key, cpu, normal, registry
from xpcnn.backend.cpu import conv
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.layers import BatchNorm1d, BatchNorm2d, Conv1d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from xpcnn.models import Concat, Graph, Residual, Sequential, execution, tiled


@pytest.fixture(autouse=True)
def kernels_on(monkeypatch):
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)


def parsed(text):
    """The two tables as lists of lines, each a dict by column."""
    _, *parts = text.split("\n\n")
    found = []
    for part in parts:
        title, rule, *lines = part.splitlines()
        spans = [match.span() for match in re.finditer("-+", rule)]
        spans[-1] = (spans[-1][0], None)
        found.append([{title[a:b].strip(): line[a:b].strip() for a, b in spans} for line in lines])
    return found if len(found) == 2 else [found[0], []]


def how(text):
    return {row["name"]: row["how it is computed"] for row in parsed(text)[0]}


def ends(text):
    return [row["ends, because"] for row in parsed(text)[1]]


def small_vgg_like():
    return Sequential(
        *(Conv2d(3, 8, 3, padding=1, bias=False), BatchNorm2d(8), ReLU(), Conv2d(8, 64, 3, padding=1), ReLU()),
        *(MaxPool2d(2), Conv2d(64, 64, 3, padding=1), ReLU(), Dropout(0.5), Flatten(), Linear(4096, 80)),
        *(ReLU(), Linear(80, 5)),
        input_shape=(3, 16, 16),
    )


def in_blocks():
    body = Sequential(Conv2d(4, 4, 3, padding=1), BatchNorm2d(4), ReLU(), Conv2d(4, 4, 1))
    wide = Concat(Sequential(Conv2d(4, 2, 1), ReLU()), Conv2d(4, 2, 3, padding=1, groups=2))
    pool = MaxPool2d(2, ceil_mode=True)
    return Sequential(Conv2d(2, 4, 3, padding=1), Residual(body), wide, pool, input_shape=(2, 9, 9))


NETS = {"like small_vgg": small_vgg_like, "blocks": in_blocks, "nested": nested, "graph": branching}


@pytest.mark.parametrize(("batch", "train"), [(2, True), (40, True), (1, False), (40, False)])
@pytest.mark.parametrize("name", NETS)
def test_runs_order_tiles_and_ways_to_convolve_are_those_of_a_step(name, batch, train, monkeypatch):
    model, seen, nodes, ways = NETS[name](), [], set(), {}
    shape = model.input_shape or (2, 6, 6)
    forward, convolve = tiled.forward, conv.Convolution.forward

    def recorded(segment, x, *rest):
        norms = {i: norm for i, _, norm in segment.norms}
        layers = [one for i, layer in enumerate(segment.layers) for one in (layer, norms.get(i)) if one is not None]
        seen.append((layers, segment.run.tiles(len(x))))
        nodes.update(map(id, segment.run.nodes))
        return forward(segment, x, *rest)

    def way_of(self, x, y, shared, *rest):
        if id(self) in nodes:  # and not a kernel by itself
            ways[id(self)] = "Winograd" if shared.way is self.winograd else "windows"
        convolve(self, x, y, shared, *rest)

    monkeypatch.setattr(tiled, "forward", recorded)
    monkeypatch.setattr(conv.Convolution, "forward", way_of)
    text = model.explain(shape, batch=batch, train=train)
    assert (seen, ways) == ([], {})
    model.forward(normal((batch, *shape), Key(0)).astype(model.dtype), train=train)

    rows, runs = parsed(text)
    told = [[row for row in rows if row["run"] == run["run"]] for run in runs]
    leaves = dict(model.leaves())
    assert [[leaves[row["name"]] for row in of_run] for of_run in told] == [layers for layers, _ in seen]
    for run, (_, cut) in zip(runs, seen, strict=True):
        sizes = {stop - start for start, stop in cut}
        assert (run["tiles"], run["samples a tile"]) == (str(len(cut)), " or ".join(map(str, sorted(sizes))))
    texts = [row["how it is computed"] for of_run in told for row in of_run if row["layer"] == "Conv2d"]
    said = [t.split()[0].strip(",") for t in texts if t.startswith(("Winograd", "windows"))]
    plain = sum(t.startswith("a matrix product") for t in texts)
    assert sorted([*said, *["windows"] * plain]) == sorted(ways.values())


def test_each_layer_is_told_once_in_the_order_of_computing():
    model = small_vgg_like()
    rows, runs = parsed(model.explain(batch=16))
    assert [row["name"] for row in rows] == ["0", "1", "2", "3", "5", "4", "6", "7", "8", "9", "10", "11", "12"]
    assert [row["layer"] for row in rows][:6] == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "MaxPool2d", "ReLU"]
    assert [row["run"] for row in rows] == ["1", *["2"] * 9, "", "3", "3"]
    assert [run["layers"] for run in runs] == ["0", "1 to 9", "11 to 12"]


def test_it_says_what_was_moved_and_what_goes_into_the_tile():
    text = how(small_vgg_like().explain(batch=16))
    assert text["5"].endswith("; MaxPool2d before ReLU")
    assert not any("before ReLU" in text[name] for name in text if name != "5")
    assert "bias" not in text["0"]
    assert text["3"].endswith("bias added in the tile")
    assert text["1"] == "batch norm in the tile, statistics in a pass before"
    assert text["8"] == "mask drawn in the tile"


def test_inference_needs_no_pass_before():
    text = small_vgg_like().explain(batch=16, train=False)
    assert how(text)["0"].endswith(", batch norm folded into filters and bias")
    assert how(text)["1"] == "folded into the convolution before it"
    alone = Sequential(BatchNorm2d(3), input_shape=(3, 8, 8)).explain(train=False)
    assert how(alone)["0"] == "batch norm in the tile, by running statistics"
    assert how(text)["8"] == "nothing to drop"
    assert text.startswith("inference on cpu in float32, batch of 16; ")
    assert ends(text)[0].startswith("Linear with large weights")


def answered(monkeypatch):
    """Names of the kernels that give a result from now on."""
    names = []
    for (op, library), known in list(registry._kernels.items()):
        if library != "numpy" or isinstance(known, type):
            continue

        def noted(*args, _known=known, _op=op, **options):
            found = _known(*args, **options)
            if found is not None:
                names.append(_op)
            return found

        monkeypatch.setitem(registry._kernels, (op, library), noted)
    return names


@pytest.mark.parametrize("batch", [2, 64])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    ("op", "layer"),
    [
        ("batch_norm", BatchNorm2d(8)),
        ("dropout", Dropout(0.5)),
        ("max_pool2d", MaxPool2d(16)),
        ("max_pool2d", MaxPool2d(17)),
        ("add", Residual(ReLU())),
    ],
    ids=["batch norm", "dropout", "pooling", "pooling of large windows", "residual"],
)
def test_a_kernel_that_is_named_is_the_one_that_answers(op, layer, train, batch, monkeypatch):
    graph = Graph({"x": (layer, "input")}, input_shape=(8, 40, 40))
    text = graph.explain(batch=batch, train=train)
    x = np.ascontiguousarray(normal((batch, 40, 40, 8), Key(0)).astype("float32")).transpose(0, 3, 1, 2)
    names = answered(monkeypatch)
    graph.forward(x, train=train)
    assert (f"kernel {op}" in text) == (op in names), (text, names)


def test_dropout_of_sequences_has_no_kernel(monkeypatch):
    model = Sequential(Dropout(0.5), input_shape=(8, 1 << 16))
    text = model.explain(batch=2)
    names = answered(monkeypatch)
    model.forward(np.ones((2, 8, 1 << 16), "float32"), train=True)
    assert names == []
    assert how(text)["0"] == "generic for arrays of 3 axes: no tiles for Dropout"


def test_inference_of_one_has_no_least_batch():
    model = Sequential(Flatten(), Linear(12, 8), BatchNorm1d(8), ReLU(), input_shape=(3, 2, 2))
    text = model.explain(batch=1, train=False)
    assert how(text)["2"] == "generic: no tiles for BatchNorm1d"
    assert how(model.explain(batch=1))["2"] == "generic: it takes batches of at least 2"


def test_a_number_for_a_shape_is_taken_for_the_batch():
    with pytest.raises(ConfigError, match=r"^Sequential.explain: .* did you mean batch=50\?$"):
        small_vgg_like().explain(50)


def test_a_frozen_batch_norm_ends_no_run():
    model = small_vgg_like()
    usual = ends(model.explain(batch=16))
    assert ends(model.freeze("1").explain(batch=16)) == usual[1:]


def test_the_ends_of_runs_have_reasons():
    text, text_of_norm = small_vgg_like().explain(batch=16), "BatchNorm2d needs the whole batch first"
    assert ends(text) == [
        text_of_norm,
        "Linear with large weights takes the whole batch",
        "the network is over",
    ]
    assert how(text)["10"] == "kernel matmul: Linear with large weights takes the whole batch"
    first, second, third, *_ = ends(in_blocks().explain(batch=16))
    assert (first, second, third) == ("Residual has layers inside", text_of_norm, "1.body is over")


def test_wide_windows_say_how_many_pixels_they_take():
    layer = Conv2d(1, 20, 5, padding=2)
    node = cpu.Convolution((28, 28, 1), 20, (5, 5), (1, 1), (1, 1), (2, 2, 2, 2), True, np.dtype("float32"))
    pixels = node.windows.pixels
    assert pixels > 1
    text = how(Sequential(layer, input_shape=(1, 28, 28)).explain())
    assert text["0"] == f"windows, {pixels} pixels at a time, bias added in the tile"


def kernels_for(monkeypatch, *ops):
    for op in ("conv2d", "max_pool2d"):
        monkeypatch.delitem(registry._kernels, (op, "numpy"), raising=False)
        if op in ops:
            monkeypatch.setitem(registry._kernels, (op, "numpy"), lambda *arrays: None)


def test_an_option_without_a_kernel_is_named(monkeypatch):
    pools = MaxPool2d(2, padding=(1, 0)), MaxPool2d(2, dilation=2), MaxPool2d(3, 2)
    model = Sequential(Conv2d(4, 4, 3, groups=2, padding=1), *pools, input_shape=(4, 16, 16))
    kernels_for(monkeypatch, "conv2d", "max_pool2d")
    assert list(how(model.explain()).values()) == [
        "generic for groups=2, in the tile",
        "kernel max_pool2d, in the tile",
        "generic for dilation=2, in the tile",
        "largest of 9 shifted images",
    ]
    kernels_for(monkeypatch)
    assert list(how(model.explain()).values())[:3] == ["generic, in the tile"] * 3


class Odd(Layer):
    def forward(self, x, *, train=False):
        return x, self.keep(x) if train else None

    def backward(self, dy, cache):
        return dy, {}


def test_a_layer_of_ones_own_is_computed_as_it_is_and_ends_a_run():
    text = Sequential(ReLU(), Odd(), ReLU(), input_shape=(4,)).explain()
    assert how(text)["1"] == "generic: no tiles for Odd"
    assert ends(text) == ["no tiles for Odd", "the network is over"]


def test_bytes_are_those_of_the_largest_tile_and_the_cache_stands_beside_them(monkeypatch):
    monkeypatch.setattr(cpu, "level2", lambda: 3 << 19)
    monkeypatch.setattr(execution, "working_set", lambda: 5 << 19)
    # 16 KiB come in and go out for each image, and no number of tiles cuts so many of them evenly
    text = Sequential(ReLU(), input_shape=(8, 16, 16)).explain(batch=1009)
    (run,) = parsed(text)[1]
    least, most = map(int, run["samples a tile"].split(" or "))
    assert (run["run"], run["layers"], least + 1) == ("1", "0", most)
    number, unit = run["bytes of a tile"].split()
    assert float(number) == pytest.approx(most * 16 / {"KiB": 1, "MiB": 1024}[unit], abs=0.051)
    assert text.splitlines()[0].endswith(", level 2 cache of 1.5 MiB, tiles of about 2.5 MiB")


def test_threads_are_named():
    try:
        for number, words in [(1, "; 1 thread, "), (3, "; 3 threads, ")]:
            xpcnn.set_num_threads(number)
            assert words in Sequential(ReLU(), input_shape=(4,)).explain()
    finally:
        xpcnn.set_num_threads(None)


def test_layers_of_a_graph_go_one_by_one_and_those_inside_a_sequential_together(monkeypatch):
    kernels_for(monkeypatch, "conv2d")
    graph = Graph(
        {"a": (Conv2d(2, 4, 3, padding=1), "input"), "b": (Sequential(Conv2d(4, 4, 3), ReLU()), "a")},
        input_shape=(2, 8, 8),
    )
    text = graph.explain()
    assert how(text)["a"] == "kernel conv2d: a Graph computes layers one by one"
    assert [row["layers"] for row in parsed(text)[1]] == ["b.0 to b.1"]
    assert ends(text) == ["b is over"]


def test_a_graph_of_several_inputs_takes_several_shapes():
    graph = Graph({"sum": (xpcnn.Add(), "a", "b"), "act": (ReLU(), "sum")}, inputs=("a", "b"))
    assert list(how(graph.explain(((3, 4, 4), (3, 4, 4))))) == ["sum", "act"]


def test_without_kernels_all_is_generic_and_it_says_why(monkeypatch):
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    text = in_blocks().explain()
    assert text.splitlines()[0].endswith("; all is generic: XPCNN_KERNELS=generic turns kernels off")
    rows, runs = parsed(text)
    assert {row["how it is computed"] for row in rows} == {"generic", "the sum: generic"}
    assert ({row["run"] for row in rows}, runs) == ({""}, [])


def test_on_another_library_all_is_generic_and_it_says_why():
    model = in_blocks().to(like=strict.zeros(1))
    text = model.explain()
    assert text.splitlines()[0].endswith("; no tiles: arrays are array_api_strict's, and tiles are for NumPy's")
    rows, runs = parsed(text)
    assert {row["how it is computed"] for row in rows} == {"generic", "the sum: generic"}
    assert runs == []


def test_a_batch_that_is_too_small_is_said():
    model = Sequential(Conv2d(2, 2, 3), BatchNorm2d(2), input_shape=(2, 3, 3))
    assert how(model.explain(batch=1))["0"].endswith(": it takes batches of at least 2")
    assert "at least" not in model.explain(batch=2)


def test_layers_that_tiles_do_not_know_of():
    text = Sequential(Conv1d(2, 2, 3), ReLU(), input_shape=(2, 9)).explain()
    assert how(text)["0"] == "generic: no tiles for Conv1d"


def test_nothing_is_computed_or_changed(monkeypatch):
    model = small_vgg_like()
    for kind in (Conv2d, Linear, ReLU):
        monkeypatch.setattr(kind, "forward", lambda *a, **k: pytest.fail("computed"))
    before = {name: a.copy() for name, a in model.state_dict().items()}
    text = model.explain(batch=100_000)
    assert "batch of 100000" in text
    assert (model.step, model.free_memory()) == (0, 0)
    assert all(np.array_equal(a, before[name]) for name, a in model.state_dict().items())


def test_wrong_questions_are_refused():
    model = Sequential(Conv2d(1, 2, 3))
    with pytest.raises(ConfigError, match=r"Sequential\.explain: expected input_shape, got None"):
        model.explain()
    with pytest.raises(ShapeError, match=r"layer '0' of Sequential"):
        model.explain((3, 8, 8))
    with pytest.raises(ConfigError, match="batch"):
        model.explain((1, 8, 8), batch=0)
    with pytest.raises(ConfigError, match="train"):
        model.explain((1, 8, 8), train="no")


def test_a_network_without_layers_has_an_empty_table():
    assert parsed(Sequential(input_shape=(3,)).explain()) == [[], []]


def test_the_sum_of_a_residual_block_has_a_line_behind_its_layers():
    text = how(in_blocks().explain())
    assert list(text)[1:7] == ["1.body.0", "1.body.1", "1.body.2", "1.body.3", "1", "2.0.0"]
    assert text["1"] == "the sum: kernel add"
