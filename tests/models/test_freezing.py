"""Freezing: what training leaves alone, in values, optimizer state, batch norm and work."""

import copy
import pickle
import re
from fnmatch import fnmatchcase

import numpy as np
import pytest

from tests.models.nets import branching, nested
from tests.namespaces import bits, snapshot
from xpcnn import load
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import CheckpointError, ConfigError, StateDictError
from xpcnn.layers import (
    L2,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    ReLU,
    SoftmaxCrossEntropy,
    Tanh,
)
from xpcnn.models import Concat, Graph, Residual, Sequential, SqueezeExcite, freezing
from xpcnn.optimizers import SGD, Adam
from xpcnn.testing import check_gradients
from xpcnn.training import Trainer


def body_and_head(**options) -> Sequential:
    body = Sequential(Conv2d(2, 3, 3), BatchNorm2d(3), ReLU(), ("more", Conv2d(3, 3, 1, bias=False)))
    return Sequential(("body", body), ("flat", Flatten()), ("head", Linear(48, 3)), **options)


X, Y = normal((6, 2, 6, 6), Key(0)), np.arange(6) % 3


def changed(model, trainer, steps=3):
    """Names of parameters and buffers that some steps of training change."""
    home = model.home
    before = snapshot(model)
    for _ in range(steps):
        trainer.step(home.asarray(X, model.dtype), home.asarray(Y))
    return {name for name, value in snapshot(model).items() if value != before[name]}


@pytest.mark.parametrize("make", [body_and_head, nested, branching], ids=lambda make: make.__name__)
def test_frozen_parameters_and_statistics_stay_as_they_are(make, space):
    """No gradient step, no weight decay, no penalty, no optimizer's state; all others go on."""
    model = make(seed=1).to(like=space.asarray(np.zeros(1)))
    last = list(model.children)[-1] if make is not branching else "head"
    model.freeze().unfreeze(last)
    optimizer = Adam(0.1, weight_decay=0.5)
    moved = changed(model, Trainer(model, optimizer=optimizer, penalty=L2(0.1)))
    assert moved == set(model.trainable) == {name for name in model.params if name.startswith(f"{last}.")}
    assert set(optimizer.state) == set(model.trainable)
    model.unfreeze()
    assert set(model.trainable) == set(model.params)
    moved = changed(model, Trainer(model, optimizer=SGD(0.1, weight_decay=0.1)))
    assert moved == {*model.params, *model.buffers}


def test_the_gradients_of_the_others_are_those_of_an_unfrozen_model(space):
    """Nothing but batch norm's mode may differ; here it has none."""

    def layers():
        return [Conv2d(2, 3, 3), Tanh(), Residual(Conv2d(3, 3, 1)), SqueezeExcite(3), Flatten(), Linear(48, 3)]

    free, frozen = (Sequential(*layers(), seed=2, dtype="float64") for _ in range(2))
    frozen.freeze("0", "2", "3.fc1", "5.bias")
    answers = []
    for model in (free, frozen):
        model.to(like=space.asarray(np.zeros(1)))
        y, cache = model.forward(space.asarray(X), train=True)
        dx, grads = model.backward(space.asarray(normal((6, 3), Key(3))), cache)
        none, same = model.backward(space.asarray(normal((6, 3), Key(3))), cache, input_grad=False)
        assert none is None
        assert bits(grads) == bits(same)
        answers.append(bits({"y": y, "dx": dx} | grads))
    assert set(answers[1]) == {"y", "dx", "3.fc2.weight", "3.fc2.bias", "5.weight"}
    assert answers[1].items() <= answers[0].items()


def test_names_of_layers_parameters_and_patterns():
    model = body_and_head()
    everything = set(model.params)
    cases = {
        ("body",): {"head.weight", "head.bias"},
        ("body.*",): {"head.weight", "head.bias"},
        ("body.more", "head"): {n for n in everything if n.startswith(("body.0", "body.1"))},
        ("*.bias",): {n for n in everything if n.endswith("weight")},
        ("body.[01]",): {"body.more.weight", "head.weight", "head.bias"},
        ("head.weight",): everything - {"head.weight"},
        ("flat",): everything,
        (): set(),
    }
    for names, left in cases.items():
        assert set(model.unfreeze().freeze(*names).trainable) == left, names
    assert model.freeze("body") is model
    model.unfreeze().freeze().unfreeze("*.more")
    assert list(model.trainable) == ["body.more.weight"]


def test_names_that_fit_nothing_are_refused_before_anything_is_frozen():
    model = body_and_head()
    for names, text in (
        (("body", "haed"), "Sequential.freeze: .*got 'haed': did you mean 'head'"),
        (("zzz.*",), r"got 'zzz.\*': there are body, body.0, "),
        (("body", 3), "expected names of layers or parameters, got 3"),
    ):
        with pytest.raises(ConfigError, match=text):
            model.freeze(*names)
    with pytest.raises(ConfigError, match=r"Graph.unfreeze: .*got 'stam': did you mean 'stem'"):
        branching().unfreeze("stam")
    assert set(model.trainable) == set(model.params)


def test_a_frozen_batch_norm_normalizes_by_its_running_statistics(space):
    """As in Keras: in training it gives what it gives at inference, and its gradient is that of an affine map."""
    for norm, shape in ((BatchNorm2d(3, momentum=None), (4, 3, 2, 2)), (BatchNorm1d(3), (4, 3))):
        model = Sequential(norm, dtype="float64")
        space.settle(model, "float64", seed=5)
        model.freeze()
        x = space.asarray(normal(shape, Key(1)))
        before = snapshot(model)
        y, cache = model.forward(x, train=True)
        assert bits({"y": y}) == bits({"y": model(x)})
        dy = space.asarray(normal(shape, Key(2)))
        dx, grads = model.backward(dy, cache)
        assert grads == {} and snapshot(model) == before
        w, var = (to_numpy(a) for a in (norm.params["weight"], norm.buffers["running_var"]))
        scale = (w / np.sqrt(var + 1e-5)).reshape(-1, *(1,) * (len(shape) - 2))
        np.testing.assert_allclose(to_numpy(dx), to_numpy(dy) * scale, rtol=1e-12)


@pytest.mark.parametrize("names", [("1.running*",), ("1", "0.weight"), ("*.weight",), ()], ids=str)
def test_gradients_of_a_partly_frozen_model_are_right(names, cpu):
    model = Sequential(Conv2d(2, 3, 3), BatchNorm2d(3), Tanh(), Conv2d(3, 2, 1))
    cpu.settle(model, "float64", seed=3)
    model.freeze(*names)
    check_gradients(model, X)


def test_parameters_frozen_by_name_leave_the_statistics_moving():
    """What PyTorch's requires_grad=False does."""
    model = body_and_head().freeze("*.weight", "*.bias")
    moved = changed(model, Trainer(model, optimizer="sgd"))
    assert moved == {f"body.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}


def test_a_frozen_batch_norm_takes_single_samples():
    model = Sequential(Linear(2, 3), BatchNorm1d(3), Linear(3, 3))
    assert model.min_batch((2,)) == 2
    assert model.freeze("1").min_batch((2,)) == 1
    model.fit(np.ones((1, 2), "float32"), np.zeros(1, "int64"), batch_size=1, verbose=0)


class Counting(Layer):
    """Says when it is asked for a gradient."""

    calls = 0

    def forward(self, x, *, train=False):
        return x, self.keep(x) if train else None

    def backward(self, dy, cache):
        self.calls += 1
        return dy, {}


def test_nothing_is_computed_below_the_lowest_layer_that_learns():
    x = X.astype("float32")

    def counted(model, *inside):
        for layer in inside:
            layer.calls = 0
        y, cache = model.forward(x, train=True)
        model.backward(y, cache, input_grad=False)
        return [layer.calls for layer in inside]

    low, high = Counting(), Counting()
    model = Sequential(low, Conv2d(2, 2, 1), high, Conv2d(2, 2, 1))
    assert counted(model, low, high) == [0, 1]
    assert counted(model.freeze("1"), low, high) == [0, 0]
    y, cache = model.forward(x, train=True)
    model.backward(y, cache)
    assert [low.calls, high.calls] == [1, 1], "the gradient at the input was asked for"
    assert counted(model.freeze(), low, high) == [0, 0]

    graph = Graph(
        {
            "low": (low, "input"),
            "stem": (Conv2d(2, 2, 1), "low"),
            "high": (high, "stem"),
            "both": (Concat(Conv2d(2, 1, 1), Residual(Conv2d(2, 2, 1))), "high"),
        }
    )
    assert counted(graph, low, high) == [0, 1]
    assert counted(graph.freeze("stem"), low, high) == [0, 0]
    assert next(iter(graph.trainable)) == "both.0.weight"

    for block in (Residual(Sequential(low, Conv2d(2, 2, 1)), Conv2d(2, 2, 1)), Concat(low, Conv2d(2, 2, 1))):
        assert counted(Sequential(block), low) == [0]
    inner = Sequential(low, Conv2d(2, 2, 1))
    assert counted(Sequential(inner, Conv2d(2, 2, 1)).freeze("0"), low) == [0]


def test_freezing_outlives_moves_copies_pickles_and_files(space, tmp_path):
    model = nested(seed=3).freeze("2", "stem.bias").to(like=space.asarray(np.zeros(1)))
    left = list(model.trainable)
    assert 0 < len(left) < len(model.params)
    assert list(copy.deepcopy(model).trainable) == left
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert list(again.trainable) == left
    assert list(pickle.loads(pickle.dumps(again)).trainable) == left
    again.unfreeze().save(tmp_path / "m")
    assert list(load(tmp_path / "m").trainable) == list(model.params)


def test_names_without_a_star_are_looked_up_and_not_matched_with_everything(tmp_path, monkeypatch):
    """A deep frozen network has hundreds of names: each with each would take minutes."""
    matched = []

    def noted(name, pattern):
        matched.append(name)
        return fnmatchcase(name, pattern)

    monkeypatch.setattr(freezing, "fnmatchcase", noted)
    model = body_and_head().freeze("head", "body.0.weight")
    model.save(tmp_path / "m")
    assert list(load(tmp_path / "m").trainable) == list(model.trainable)
    assert not matched
    model.freeze("*.bias")
    assert matched


def test_frozen_names_of_a_file_that_fit_nothing_are_refused(tmp_path):
    from tests.models.test_files import rewritten

    body_and_head().freeze("head").save(tmp_path / "m")
    for wrong in (["nothing"], "abc", [3]):
        rewritten(tmp_path / "m", lambda header, wrong=wrong: header.update(frozen=wrong))
        with pytest.raises(CheckpointError):
            load(tmp_path / "m")


def test_a_copy_can_be_frozen_alone_and_a_shared_layer_is_frozen_at_both_places():
    model = branching()
    copy.deepcopy(model).freeze()
    assert set(model.trainable) == set(model.params)
    assert "a.weight" not in model.freeze("b").trainable
    assert "a.weight" in model.unfreeze("a").trainable


def test_loading_writes_frozen_parameters_too():
    model, other = body_and_head(seed=1).freeze(), body_and_head(seed=2)
    model.load_state_dict(other.state_dict())
    assert snapshot(model) == snapshot(other)


def test_a_step_by_hand_updates_the_trainable_ones():
    model, optimizer = body_and_head().freeze("body"), SGD(0.1)
    before = snapshot(model)
    scores, cache = model.forward(X.astype("float32"), train=True)
    _, dscores = SoftmaxCrossEntropy()(scores, Y)
    _, grads = model.backward(dscores, cache)
    with pytest.raises(StateDictError, match=r"none for \['body.0.weight', .*with model.trainable if some are frozen"):
        optimizer.update(model.params, grads)
    optimizer.update(model.trainable, grads)
    assert {n for n, v in snapshot(model).items() if v != before[n]} == {"head.weight", "head.bias"}


def test_everything_frozen_trains_nothing_but_runs():
    model = body_and_head().freeze()
    assert changed(model, Trainer(model, penalty=L2(0.1))) == set()
    assert model.step == 3


def test_summary_counts_both():
    model = body_and_head()
    assert "frozen" not in model.summary((2, 6, 6))
    text = model.freeze("body").summary((2, 6, 6))
    total = sum(p.size for p in model.params.values())
    assert re.search(rf"trainable +147\n+frozen +{total - 147}", text)
