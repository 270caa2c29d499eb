"""Graph: the order of its nodes, gradients where ways part and meet, and the errors of its making."""

import copy

import numpy as np
import pytest

from tests.models.nets import branching
from tests.models.test_summary import arrays_in
from tests.namespaces import bits, snapshot
from xpcnn import load
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import ConfigError, NamespaceError, ShapeError, StateError, XpcnnError
from xpcnn.layers import (
    Add,
    BatchNorm2d,
    Concatenate,
    Conv2d,
    GlobalAvgPool2d,
    Linear,
    Merge,
    Multiply,
    ReLU,
    SoftmaxCrossEntropy,
    Tanh,
)
from xpcnn.models import Concat, Graph, Residual, Sequential, register
from xpcnn.optimizers import SGD
from xpcnn.testing import assert_close
from xpcnn.training import Trainer


def test_nodes_are_computed_behind_their_inputs_and_else_in_the_given_order():
    model = branching()
    assert model.order == ["stem", "norm", "a", "b", "body", "sum", "wide", "mean", "head"]
    assert list(model.children) == ["head", "stem", "norm", "a", "b", "body", "sum", "wide", "mean"]
    assert model.sources["sum"] == ("a", "body", "norm")
    assert len(model) == 9 and model["a"] is model["b"]
    assert list(model.params)[:4] == ["head.weight", "head.bias", "stem.weight", "stem.bias"]
    assert not any(name.startswith("b.") for name in model.params), "one layer, one set of parameters"


def test_a_graph_is_what_the_simple_containers_are(space):
    """The same layers as Sequential(Residual, Concat), bit for bit, gradients too."""
    conv, norm, left, right = Conv2d(2, 2, 3, padding=1), BatchNorm2d(2), Conv2d(2, 1, 1), Tanh()
    simple = Sequential(Residual(Sequential(conv, norm)), Concat(left, right), dtype="float64")
    graph = Graph(
        {
            "conv": (conv, "input"),
            "norm": (norm, "conv"),
            "sum": (Add(), "norm", "input"),
            "left": (left, "sum"),
            "right": (right, "sum"),
            "both": (Concatenate(), "left", "right"),
        },
        dtype="float64",
    )
    like = space.asarray(np.zeros(1))
    simple.to(like=like), graph.to(like=like)
    x, dy = space.asarray(normal((3, 2, 4, 4), Key(0))), space.asarray(normal((3, 3, 4, 4), Key(1)))
    names = {"0.body.0": "conv", "0.body.1": "norm", "1.0": "left"}
    answers = []
    for model in (simple, graph):
        y, cache = model.forward(x, train=True)
        dx, grads = model.backward(dy, cache)
        own = {f"{names.get(path, path)}.{last}": g for n, g in grads.items() for path, _, last in [n.rpartition(".")]}
        answers.append({"y": y, "dx": dx, **own})
    # not to the bit: a chain of layers may be computed in other pieces than single ones
    for name, value in answers[0].items():
        assert_close(answers[1][name], value, rtol=1e-13, atol=1e-13)


def test_gradients_add_up_where_an_output_is_used_twice():
    """y = x * x, by one node that names its input twice: dx = 2 x dy."""
    model = Graph({"square": (Multiply(), "input", "input")}, dtype="float64")
    x, dy = normal((2, 3), Key(0)), normal((2, 3), Key(1))
    y, cache = model.forward(x, train=True)
    np.testing.assert_allclose(y, x * x)
    np.testing.assert_allclose(model.backward(dy, cache)[0], 2.0 * x * dy)


def test_training_is_the_same_twice_and_learns(space):
    x = space.asarray(normal((8, 2, 6, 6), Key(0)), "float32")
    y = space.asarray([0, 1, 2, 0, 1, 2, 0, 1])
    runs = []
    for seed in (3, 3, 4):
        model = branching(seed=seed).to(like=space.asarray(np.zeros(1)))
        trainer = Trainer(model, optimizer=SGD(0.1, momentum=0.9))
        values = [float(trainer.step(x, y)) for _ in range(8)]
        assert values[-1] < values[0]
        assert model.step == 8
        runs.append(snapshot(model))
    assert runs[0] == runs[1] != runs[2]


def test_fit_evaluate_and_predict():
    x, y = normal((30, 2, 6, 6), Key(0)).astype("float32"), np.arange(30) % 3
    x[:, 0] += y[:, None, None]
    model = branching(seed=1)
    history = model.fit(x, y, epochs=15, batch_size=10, optimizer="adam", validation_data=(x, y), verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert model.evaluate(x, y)["accuracy"] == (model.predict(x) == y).mean()
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1.0, rtol=1e-5)


@register
class Mean(Merge):
    """A merging layer of somebody's own."""

    def merge(self, xs):
        return sum(xs) / len(xs), len(xs)

    def unmerge(self, dy, saved):
        return (dy / saved,) * saved


def two_inputs(**options) -> Graph:
    return Graph(
        {
            "l": (Conv2d(1, 3, 1), "left"),
            "r": (Conv2d(2, 3, 1), "right"),
            "mean": (Mean(), "l", "r"),
            "gate": (Multiply(), "mean", "gates"),
        },
        inputs=("left", "right", "gates"),
        **options,
    )


MODELS = {
    "branching": branching,
    "several inputs": lambda **o: two_inputs(input_shape=[(1, 4, 4), (2, 4, 4), (3, 1, 1)], **o),
    "inside of Sequential": lambda **o: Sequential(Tanh(), branching(), ("more", Linear(3, 2)), **o),
    "inside of a Graph": lambda **o: Graph(
        {
            "a": (Conv2d(2, 1, 1), "x"),
            "g": (Conv2d(2, 3, 1), "x"),
            "inner": (two_inputs(), "a", "x", "g"),
            "out": (GlobalAvgPool2d(), "inner"),
        },
        inputs="x",
        **o,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_round_trip_through_a_file(name, tmp_path):
    model = MODELS[name](seed=5, dtype="float64")
    for p in model.params.values():
        p += 0.5
    model.step = 4
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert type(again) is type(model)
    assert repr(again) == repr(model)
    assert snapshot(again) == snapshot(model)
    assert again.aliases == model.aliases
    assert (again.seed, again.step, again.dtype, again.input_shape) == (5, 4, "float64", model.input_shape)
    x = normal((2, 2, 6, 6), Key(0))
    if name == "several inputs":
        x = (x[:, :1], x, x[:, :1].mean(axis=(2, 3), keepdims=True) + np.zeros((2, 3, 1, 1)))
    assert np.array_equal(again(x), model(x))


def test_several_inputs_give_several_gradients(space):
    model = two_inputs(dtype="float64").to(like=space.asarray(np.zeros(1)))
    shapes = ((2, 1, 4, 4), (2, 2, 4, 4), (2, 3, 1, 1))
    xs = tuple(space.asarray(normal(shape, Key(i))) for i, shape in enumerate(shapes))
    y, cache = model.forward(xs, train=True)
    assert tuple(y.shape[1:]) == model.output_shape([(1, 4, 4), (2, 4, 4), (3, 1, 1)])
    dy = space.asarray(normal((2, 3, 4, 4), Key(7)))
    dxs, grads = model.backward(dy, cache)
    assert [tuple(dx.shape) for dx in dxs] == list(shapes)
    assert set(grads) == set(model.params)
    for i, dx in enumerate(dxs):  # differences of <dy, y> along the gradient's own direction
        d = to_numpy(dx)
        ends = []
        for sign in (1.0, -1.0):
            moved = [*xs[:i], space.asarray(to_numpy(xs[i]) + sign * 1e-6 * d), *xs[i + 1 :]]
            ends.append((to_numpy(model(tuple(moved))) * to_numpy(dy)).sum())
        np.testing.assert_allclose((ends[0] - ends[1]) / 2e-6, (d * d).sum(), rtol=1e-7)
    assert model.backward(dy, cache, input_grad=False)[0] is None


def test_several_inputs_are_asked_for():
    model = two_inputs()
    x = np.zeros((2, 1, 4, 4), "float32")
    for wrong in (x, (x, x), "x", None):
        with pytest.raises(NamespaceError, match=r"tuple of 3 arrays, \(left, right, gates\), got"):
            model(wrong)
    for wrong in ((1, 4, 4), [(1, 4, 4)]):
        with pytest.raises(ShapeError, match=r"tuple of 3 shapes, \(left, right, gates\), got"):
            model.output_shape(wrong)
    with pytest.raises(ConfigError, match="a Graph of several: train it by hand"):
        model.fit(x, np.zeros(2, int), verbose=0)


def test_a_merging_layer_outside_of_a_graph_is_told_where_it_belongs():
    with pytest.raises(NamespaceError, match="expected a tuple of arrays, got one array: it joins branches in a Graph"):
        Sequential(Add())(np.ones((2, 2), "float32"))
    with pytest.raises(ShapeError, match="Add: expected a tuple of shapes"):
        Sequential(Add(), input_shape=(2, 2))


L = Linear(2, 2)
BAD = {
    "no nodes": (lambda: Graph({}), "at least one, got {}"),
    "no mapping": (lambda: Graph([L]), r'expected nodes as {"name": \(layer'),
    "no inputs named": (lambda: Graph({"a": (L,)}), r"expected node 'a' as \(layer"),
    "layer alone": (lambda: Graph({"a": L}), r"expected node 'a' as \(layer"),
    "number as input": (lambda: Graph({"a": (L, 3)}), "expected node 'a' as"),
    "no layer": (lambda: Graph({"a": ("input", "input")}), "expected layers, got 'input' as 'a'"),
    "class for layer": (lambda: Graph({"a": (ReLU, "input")}), r"did you mean ReLU\(...\)"),
    "unknown input": (lambda: Graph({"stem": (L, "inptu")}), "for node 'stem', got 'inptu': did you mean 'input'"),
    "unknown output": (lambda: Graph({"stem": (L, "input")}, "stm"), "for the output, got 'stm': did you mean 'stem'"),
    "input as output": (lambda: Graph({"stem": (L, "input")}, "input"), "for the output, got 'input'"),
    "cycle": (
        lambda: Graph({"a": (Add(), "input", "c"), "b": (L, "a"), "c": (L, "b"), "d": (L, "c")}),
        "no cycle, got a -> b -> c -> a",
    ),
    "own input": (lambda: Graph({"a": (Add(), "input", "a")}), "no cycle, got a -> a"),
    "unused node": (lambda: Graph({"a": (L, "input"), "b": (L, "input")}), "lead to the output 'b', got 'a' unused"),
    "behind the output": (lambda: Graph({"a": (L, "input"), "b": (L, "a")}, "a"), "output 'a', got 'b' unused"),
    "unused input": (lambda: Graph({"a": (L, "x")}, inputs=("x", "z")), "got 'z' unused"),
    "two inputs": (
        lambda: Graph({"a": (L, "input"), "b": (L, "a", "input")}),
        "one input for Linear at node 'b', got a, input",
    ),
    "name twice": (lambda: Graph({"input": (L, "input")}), "names that differ, for inputs and nodes, got 'input'"),
    "inputs twice": (lambda: Graph({"a": (Add(), "x", "x")}, inputs=("x", "x")), "names that differ.*'x'"),
    "no inputs": (lambda: Graph({"a": (L, "a")}, inputs=()), "at least one input"),
    "inputs a number": (lambda: Graph({"a": (L, "input")}, inputs=3), "inputs to be a name or several, got 3"),
    "one shape for two": (
        lambda: Graph({"a": (Add(), "x", "z")}, inputs=("x", "z"), input_shape=3),
        r"a tuple of 2 shapes, \(x, z\), got 3",
    ),
    "dotted": (lambda: Graph({"a.b": (L, "input")}), "expected a name of at most 60 letters"),
    "shapes": (
        lambda: Graph({"a": (Conv2d(1, 2, 1), "input"), "s": (Add(), "a", "input")}, input_shape=(1, 4, 4)),
        r"Add: expected inputs of one shape, got \(1, 2, 4, 4\), \(1, 1, 4, 4\) \(layer 's' of Graph\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_graphs_that_make_no_sense_are_refused_by_name(name):
    build, text = BAD[name]
    with pytest.raises((ConfigError, ShapeError), match=text) as caught:
        build()
    assert isinstance(caught.value, XpcnnError)


def test_a_long_cycle_is_found_from_a_node_behind_it():
    nodes = {"tail": (L, "n0"), "n0": (Add(), "input", "n19"), **{f"n{i}": (L, f"n{i - 1}") for i in range(1, 20)}}
    with pytest.raises(ConfigError, match=r"n0 -> n1 -> .* -> n19 -> n0|n19 -> n0 -> .* -> n19"):
        Graph(nodes, "tail")


def test_a_copy_is_a_graph_of_its_own():
    model = branching()
    twin, before = copy.deepcopy(model), snapshot(model)
    assert snapshot(twin) == before and twin["a"] is twin["b"] is not model["a"]
    twin.params["stem.weight"][...] = 0.0
    assert snapshot(model) == before


def test_inference_lets_go_of_what_nobody_needs_any_more(monkeypatch):
    """A chain of twenty nodes holds one value at a time."""
    most = []

    class Watched(dict):
        def __setitem__(self, key, value):
            super().__setitem__(key, value)
            most.append(len(self))

    model = Graph({f"n{i}": (Tanh(), f"n{i - 1}" if i else "input") for i in range(20)})
    monkeypatch.setattr("xpcnn.models.graph.dict", Watched, raising=False)
    model(np.ones((1, 2), "float32"))
    assert most and max(most) <= 2


def test_the_cost_counts_what_a_product_keeps_once():
    """x, kept by the square, and tanh's output, which the square keeps too."""
    nodes = {"t": (Tanh(), "input"), "p": (Multiply(), "t", "input"), "q": (Multiply(), "p", "t")}
    model = Graph(nodes, dtype="float64")
    x = normal((1, 5), Key(0))
    cache = model.forward(x, train=True)[1]
    assert model.cost((5,), 8).extra == sum({a.ctypes.data: a.nbytes for a in arrays_in(cache)}.values()) == 3 * 5 * 8


def test_summary_says_where_each_node_takes_its_input():
    lines = {line.split()[0]: line for line in branching().summary().splitlines() if line}
    assert lines["name"].endswith("inputs")
    assert lines["sum"].endswith("a, body, norm")
    assert lines["body.0"].endswith("  norm"), "a block's stands beside its first layer"
    assert lines["b"].endswith("  a") and "(shared)" in lines["b"]
    assert "inputs" not in Sequential(Tanh()).summary((2,))


def test_errors_name_the_node():
    with pytest.raises(ShapeError, match=r"layer 'stem' of Graph"):
        branching()(np.ones((1, 3, 6, 6), "float32"))
    y, _ = branching().forward(np.ones((1, 2, 6, 6), "float32"), train=True)
    with pytest.raises(StateError, match="Graph: backward expected the cache of its own"):
        branching().backward(y, None)


def test_a_step_by_hand_needs_no_gradient_at_the_input():
    model = branching(dtype="float64")
    x = normal((2, 2, 6, 6), Key(0))
    scores, cache = model.forward(x, train=True)
    _, dscores = SoftmaxCrossEntropy()(scores, np.asarray([0, 1]))
    dx, grads = model.backward(dscores, cache)
    none, same = model.backward(dscores, cache, input_grad=False)
    assert dx.shape == x.shape and none is None
    assert bits(grads) == bits(same)
