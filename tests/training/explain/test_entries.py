"""Every number that is spelled out is the one that the layer computed: for all layers, losses and options."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings

from tests.strategies import LAYERS, LOSSES
from tests.strategies.merge import MergeCase
from xpcnn import layers as L
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import ConfigError
from xpcnn.models import Container, Graph, Sequential
from xpcnn.training.explain import explain_step
from xpcnn.training.explain.formulas import BACKWARD, FORWARD, LOSS, UPDATE
from xpcnn.training.explain.registry import BACKWARD as BACKWARD_FUNCTIONS
from xpcnn.training.explain.registry import FORWARD as FORWARD_FUNCTIONS

LETTERS = {"weight": "w", "bias": "b"}


class Cut(L.Layer):
    """Some features as an array of a shape: what feeds one input of a layer that merges."""

    def __init__(self, start, shape):
        self.start, self.shape = start, shape

    def forward(self, x, *, train=False):
        y = x[:, self.start : self.start + int(np.prod(self.shape))].reshape(-1, *self.shape)
        return y, self.keep(y, x.shape) if train else None

    def backward(self, dy, cache):
        (shape,) = self.recall(dy, cache)
        dx = np.zeros(shape, dtype=dy.dtype)
        dx[:, self.start : self.start + int(np.prod(self.shape))] = dy.reshape(len(dy), -1)
        return dx, {}

    def output_shape(self, input_shape):
        return self.shape


def model_of(case):
    """The case's layer in a model of float64, with random numbers in its parameters; and its name there."""
    if isinstance(case, MergeCase):
        nodes, start = {}, 0
        for i, shape in enumerate(case.shapes):
            nodes[f"in{i}"] = (Cut(start, shape), "input")
            start += int(np.prod(shape))
        model, path = Graph({**nodes, "it": (case.cls(**case.args), *nodes)}, dtype="float64"), "it"
    else:
        layer = case.layer()
        model, path = Sequential(layer, dtype="float64", seed=case.seed), "0"
    for i, (name, a) in enumerate(model.params.items()):
        model.params[name] = 0.1 + normal(tuple(a.shape), Key(case.seed, f"w{i}"))
    return model, path


def step(model, x, y):
    """The same step, without any recording."""
    twin = copy.deepcopy(model)
    out, cache = twin.forward(x, train=True)
    dx, grads = twin.backward(L.MSE()(out, y)[1], cache)
    return {"y": out, "dx": dx} | {f"d{name}": g for name, g in grads.items()}


def agree(entry):
    return abs(entry.said - entry.real) <= 1e-9 * max(1.0, abs(entry.real))


@pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
def test_spelled_out_entries_are_the_layers_own(cls):
    @settings(max_examples=8)
    @given(LAYERS[cls])
    def check(case):
        model, path = model_of(case)
        x = case.x()
        y = normal((x.shape[0], *model.output_shape(x.shape[1:])), Key(case.seed, "target"))
        explanation = explain_step(model, x, y, loss="mse", sample=x.shape[0] - 1)
        assert f"[{path}] " in str(explanation) or isinstance(model[path], Sequential)
        assert all(agree(e) for e in explanation.entries), [e for e in explanation.entries if not agree(e)]

        truth = step(model, x, y)
        own = [e for e in explanation.entries if e.path == path]
        for e in own:
            names = {"y": "y", "dx": "dx", "dw": f"d{path}.weight", "db": f"d{path}.bias"}
            if (e.array in names) and not (e.array == "dx" and path == "it"):
                assert e.real == pytest.approx(to_numpy(truth[names[e.array]])[e.place], rel=1e-12, abs=1e-15)
        if not isinstance(model[path], (Sequential, Graph)):
            assert "y" in {e.array for e in own}
            assert {"dx", "dx_0"} & {e.array for e in own}
        if not isinstance(model[path], Container):
            learned = {f"d{LETTERS.get(name, name)}" for name in model[path].params}
            missing = learned - {e.array for e in own}
            assert not missing or isinstance(model[path], (L.GroupNorm, L.InstanceNorm2d, L.LayerNorm))

    check()


@pytest.mark.parametrize("layer", [L.MaxPool2d(3, stride=1), L.AvgPool2d(3, 2, padding=1), L.AdaptiveMaxPool2d(4)])
def test_where_windows_overlap_each_gives_to_its_own_winner(layer):
    model, x = Sequential(layer, dtype="float64"), normal((3, 2, 7, 7), Key(8))
    y = normal((3, *model.output_shape((2, 7, 7))), Key(9))
    for sample in range(3):
        explanation = explain_step(model, x, y, loss="mse", sample=sample)
        assert all(agree(e) for e in explanation.entries)


@pytest.mark.parametrize("cls", LOSSES, ids=lambda cls: cls.__name__)
def test_spelled_out_losses_are_their_own(cls):
    @settings(max_examples=20)
    @given(LOSSES[cls])
    def check(case):
        model = Sequential(L.Dropout(0.0), dtype="float64")
        if case.args.get("reduction") == "none" or case.prediction.ndim < 2:
            return
        explanation = explain_step(model, case.prediction, case.target, loss=case.loss())
        value, gradient = case.loss()(case.prediction, case.target)
        own = {e.array: e for e in explanation.entries if e.path == "loss"}
        assert set(own) == {"L", "dx"}
        assert own["L"].said == pytest.approx(float(value), rel=1e-9, abs=1e-12, nan_ok=True)
        assert own["dx"].said == pytest.approx(float(gradient[own["dx"].place]), rel=1e-9, abs=1e-12)

    check()


def test_a_loss_with_a_value_for_each_sample_is_refused():
    with pytest.raises(ConfigError, match="reduction"):
        explain_step(Sequential(L.Linear(2, 2)), np.ones((1, 2), "float32"), np.asarray([1]), loss=L.MSE("none"))


@pytest.mark.parametrize(("optimizer", "steps"), [("sgd", 0), ("momentum", 2), ("adam", 0), ("adam", 3), ("lion", 1)])
def test_the_update_is_the_optimizers(optimizer, steps):
    from xpcnn.optimizers import get

    rule, model = get(optimizer), Sequential(L.Linear(3, 2), dtype="float64")
    x, y = normal((2, 3), Key(1)), np.asarray([0, 1])
    for _ in range(steps):
        model.fit(x, y, optimizer=rule, verbose=0)
    explanation = explain_step(model, x, y, optimizer=rule)
    assert rule.steps == steps
    found = [e for e in explanation.entries if e.path == "update"]
    if optimizer == "lion":
        assert not found
        assert "becomes" in str(explanation)
        return
    (entry,) = found
    model.fit(x, y, optimizer=rule, verbose=0, shuffle=False)
    assert entry.said == pytest.approx(float(model.params[entry.array][entry.place]), rel=1e-12)
    assert entry.real == float(model.params[entry.array][entry.place])


def test_every_class_has_its_functions_and_formulas():
    assert set(FORWARD) == set(BACKWARD) == set(FORWARD_FUNCTIONS) == set(BACKWARD_FUNCTIONS) == set(LAYERS)
    assert set(LOSS) == set(LOSSES)


def test_formulas_fit_into_a_line():
    for table in (FORWARD, BACKWARD, LOSS, UPDATE):
        for cls, lines in table.items():
            assert all(len(line) <= 96 for line in lines), cls


def test_a_pixel_gets_nothing_from_the_windows_that_it_lost():
    model, x = Sequential(L.MaxPool2d((1, 2), stride=1), dtype="float64"), np.arange(4.0).reshape(1, 1, 1, 4)
    explanation = explain_step(model, x, np.asarray([[[[0.0, 9.0, 3.5]]]]), loss="mse")  # pixel 2 lost to pixel 3
    assert all(agree(e) for e in explanation.entries)
    assert "x[0, 0, 0, 2] won 1 window(s)" in str(explanation)
