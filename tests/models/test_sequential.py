"""Sequential: how it takes layers over, moves them, and adds up what they share."""

import copy

import numpy as np
import pytest

from tests.models.nets import READY_MADE, nested, plain
from tests.namespaces import bits, snapshot
from xpcnn.backend import Key, normal, to_numpy
from xpcnn.errors import ConfigError, DtypeError, NamespaceError, ShapeError, StateDictError, StateError
from xpcnn.layers import BatchNorm1d, Conv2d, Dropout, Flatten, Layer, Linear, ReLU, SoftmaxCrossEntropy, Tanh
from xpcnn.models import Concat, Residual, Sequential
from xpcnn.optimizers import SGD


def train(model, x, target, steps=3):
    optimizer = SGD(0.1, momentum=0.9)
    for _ in range(steps):
        logits, cache = model.forward(x, train=True)
        _, dlogits = SoftmaxCrossEntropy()(logits, target)
        _, grads = model.backward(dlogits, cache)
        optimizer.update(model.params, grads)
    return snapshot(model)


def test_same_seed_same_bits_twice(space):
    x, target = space.asarray(normal((4, 2, 6, 6), Key(0)), "float32"), space.asarray([0, 1, 2, 0])
    like = space.asarray(np.zeros(1))
    first, second, other = (train(nested(seed=s).to(like=like), x, target) for s in (3, 3, 4))
    assert first == second
    assert first != other


def test_same_initial_weights_on_every_library(space):
    for make in (nested, plain, READY_MADE["deepnotes"][0]):
        assert snapshot(make(seed=2).to(like=space.asarray(np.zeros(1)))) == snapshot(make(seed=2))


def test_drawn_after_moving_or_before_makes_no_difference(space):
    late, early = plain(seed=2), plain(seed=2)
    assert early.params
    assert snapshot(late.to(like=space.asarray(np.zeros(1)))) == snapshot(early)


def test_every_layer_draws_its_own_weights():
    model = Sequential(Linear(4, 4), Linear(4, 4))
    assert not np.array_equal(model.params["0.weight"], model.params["1.weight"])


def test_seed_of_64_bits():
    assert snapshot(plain(seed=2**64 - 1)) != snapshot(plain(seed=2**63 - 1))


def test_moving_keeps_values_dtypes_and_the_layer_objects(space):
    model = plain(dtype="float64")
    layer, before = model[0], snapshot(model)
    assert model.to(like=space.asarray(np.zeros(1))) is model
    assert model.device == space.device.name
    assert snapshot(model) == before
    assert model[0] is layer and space.device.owns(layer.params["weight"])
    model.to("cpu")
    assert snapshot(model) == before
    assert all(type(p) is np.ndarray for p in model.params.values())


def test_to_wants_one_of_device_and_like():
    for kwargs in ({}, {"device": "cpu", "like": np.zeros(1)}):
        with pytest.raises(ConfigError, match="one of both"):
            plain().to(**kwargs)
    with pytest.raises(ConfigError, match="like=array"):
        plain().to(np.zeros(1))


def test_a_layer_is_taken_as_it_is():
    layer = Linear(3, 2)
    model = Sequential(layer, dtype="float64", seed=4)
    assert model[0] is layer
    assert layer.params["weight"].dtype == np.float64
    assert not np.array_equal(layer.params["weight"], Linear(3, 2).params["weight"]), "the model's seed"


def test_values_set_before_are_kept():
    layer = Linear(3, 2)
    layer.params["weight"] = np.arange(6.0).reshape(2, 3)
    model = Sequential(layer, seed=4)
    assert model.params["0.weight"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert model.params["0.weight"].dtype == np.float32


def test_assignment_to_the_models_params_reaches_the_layer():
    model = plain()
    new = np.ones_like(model.params["4.weight"])
    model.params["4.weight"] = new
    assert model[4].params["weight"] is new
    params = model.params
    params["4.weight"] = 2.0 * new
    assert params["4.weight"] is model[4].params["weight"]
    params.update({"4.weight": 3.0 * new})
    assert model[4].params["weight"][0, 0] == 3.0
    params |= {"4.weight": 4.0 * new}
    assert model[4].params["weight"][0, 0] == 4.0


def test_wrong_assignment_raises_and_changes_nothing():
    model = plain()
    before = snapshot(model)
    with pytest.raises(StateDictError, match="got 'weight'"):
        model.params["weight"] = np.ones(3)
    with pytest.raises(ShapeError, match=r"4.bias: expected shape \(3,\), got \(4,\)"):
        model.params["4.bias"] = np.ones(4)
    with pytest.raises(NamespaceError, match=r"4.bias"):
        model.params["4.bias"] = [1.0, 2.0, 3.0]
    with pytest.raises(DtypeError, match=r"4.bias: expected dtype float32, got float64: convert it"):
        model.params["4.bias"] = np.ones(3)
    assert snapshot(model) == before


def test_gradients_of_a_shared_layer_add_up(space):
    """Equal to two layers of the same weights, whose gradients are added by hand."""
    like = space.asarray(np.zeros(1))
    shared = Linear(3, 3)
    once = Sequential(shared, Tanh(), shared, dtype="float64").to(like=like)
    twice = Sequential(Linear(3, 3), Tanh(), Linear(3, 3), dtype="float64").to(like=like)
    assert list(once.params) == ["0.weight", "0.bias"]
    for place in (0, 2):
        for name, p in shared.params.items():
            twice[place].params[name] = p
    x, dy = (space.asarray(normal((2, 3), Key(i))) for i in (0, 1))
    y, cache = once.forward(x, train=True)
    y2, cache2 = twice.forward(x, train=True)
    dx, grads = once.backward(dy, cache)
    dx2, grads2 = twice.backward(dy, cache2)
    assert bits({"y": y, "dx": dx}) == bits({"y": y2, "dx": dx2})
    assert set(grads) == {"0.weight", "0.bias"}
    for name in ("weight", "bias"):
        expected = to_numpy(grads2[f"0.{name}"]) + to_numpy(grads2[f"2.{name}"])
        np.testing.assert_allclose(to_numpy(grads[f"0.{name}"]), expected, rtol=1e-14)


def test_a_shared_container_and_a_layer_in_two_branches():
    block = Sequential(Linear(3, 3), Tanh())
    model = Sequential(block, block, Concat(block[0], Residual(block[0])), dtype="float64")
    assert list(model.params) == ["0.0.weight", "0.0.bias"]
    x = normal((2, 3), Key(0))
    y, cache = model.forward(x, train=True)
    _, grads = model.backward(np.ones_like(y), cache)
    assert set(grads) == set(model.params)


def test_input_gradient_may_be_left_out():
    model = plain(dtype="float64")
    x = normal((3, 1, 4, 4), Key(0))
    y, cache = model.forward(x, train=True)
    dx, grads = model.backward(np.ones_like(y), cache)
    none, same = model.backward(np.ones_like(y), cache, input_grad=False)
    assert dx.shape == x.shape
    assert none is None
    assert bits(grads) == bits(same)


def test_input_shape_is_checked_at_once():
    with pytest.raises(ShapeError, match=r"Linear: expected x of shape \(N, 9\).*layer '2' of Sequential"):
        Sequential(Conv2d(1, 1, 3), Flatten(), Linear(9, 2), input_shape=(1, 6, 6))
    inner = Sequential(("deep", Linear(9, 2)))
    with pytest.raises(ShapeError, match=r"layer 'deep' of Sequential.*layer '1' of Sequential"):
        Sequential(Flatten(), inner, input_shape=(1, 6, 6))


def test_branches_that_do_not_fit_raise():
    with pytest.raises(ShapeError, match=r"Residual: expected body and shortcut to give one shape.*1x1 convolution"):
        Sequential(Residual(Conv2d(2, 3, 1)), input_shape=(2, 4, 4))
    with pytest.raises(ShapeError, match="Residual: expected body and shortcut"):
        Residual(Conv2d(2, 3, 1))(np.ones((1, 2, 4, 4), "float32"))
    with pytest.raises(ShapeError, match="Concat: expected branches that differ in channels only"):
        Concat(Conv2d(2, 3, 1), Conv2d(2, 3, 3))(np.ones((1, 2, 4, 4), "float32"))


def test_inputs_of_another_library_device_or_dtype_raise(strict):
    model = plain()
    x = np.ones((2, 1, 4, 4), "float32")
    with pytest.raises(NamespaceError, match=r"array_api_strict and numpy|numpy and array_api_strict"):
        model(strict.asarray(x))
    with pytest.raises(DtypeError, match="float64"):
        model(x.astype("float64"))
    model.to(like=strict.asarray(x))
    with pytest.raises(NamespaceError, match=r"model.to"):
        model(x)


def test_names_and_positions():
    model = Sequential(("a", ReLU()), Tanh())
    assert len(model) == 2
    assert model["a"] is model[0]
    assert model[-1] is model["1"]


def test_repr_can_be_read():
    assert repr(Sequential(Linear(2, 3), ("act", ReLU()))) == "Sequential(\n  0: Linear(2, 3)\n  act: ReLU()\n)"


def test_a_copy_is_a_model_of_its_own():
    model = plain()
    twin = copy.deepcopy(model)
    before = snapshot(model)
    assert snapshot(twin) == before
    twin.params["4.weight"][...] = 0.0
    assert snapshot(model) == before
    x = np.ones((2, 1, 4, 4), "float32")
    y, cache = twin.forward(x, train=True)
    assert twin.backward(y, cache)[1]


def test_min_batch_knows_the_norms_inside():
    assert Sequential(Flatten(), BatchNorm1d(4)).min_batch((1, 2, 2)) == 2
    assert plain().min_batch((1, 4, 4)) == 1


def test_step_counts_training_steps_only():
    model = Sequential(Linear(2, 2), Dropout(0.5))
    x = np.ones((1, 2), "float32")
    model(x)
    y, cache = model.forward(x, train=True)
    assert model.step == 0
    model.backward(y, cache)
    model.backward(y, cache)
    assert model.step == 1


def test_layers_side_by_side_start_with_different_weights():
    branches = Concat(Linear(8, 8), Linear(8, 8))
    assert not np.array_equal(branches.params["0.weight"], branches.params["1.weight"])
    model = Sequential(Concat(Linear(8, 8), Linear(8, 8)), Linear(16, 8), seed=3)
    again = Sequential(Concat(Linear(8, 8), Linear(8, 8)), Linear(16, 8), seed=3)
    assert snapshot(model) == snapshot(again)
    assert not np.array_equal(model.params["0.0.weight"], model.params["0.1.weight"])


def test_parameters_taken_before_loading_are_those_loaded(space):
    """An optimizer may hold the dict that it was given."""
    model, other = plain(), plain()
    for m in (model, other):
        m.to(like=space.asarray([0.0], "float32"))
    held = model.params
    model.load_state_dict({name: a * 2.0 for name, a in other.state_dict().items() if "num" not in name}, strict=False)
    for name, a in held.items():
        assert a is model.params[name], name


def test_names_of_a_shared_layer_in_a_torch_file_are_taken():
    shared = Linear(3, 3)
    model = Sequential(shared, Tanh(), shared)
    state = {f"{i}.{name}": p * 2.0 for i in (0, 2) for name, p in shared.params.items()}
    assert model.load_state_dict(state) == ([], [])
    assert np.array_equal(model.params["0.weight"], state["0.weight"])


def test_an_older_cache_does_not_bring_older_masks_back():
    model = Sequential(Linear(3, 3), Dropout(0.5))
    x = np.ones((2, 3), "float32")
    caches = [model.forward(x, train=True)[1]]
    model.backward(x, caches[0])
    caches.append(model.forward(x, train=True)[1])
    model.backward(x, caches[1])
    model.backward(x, caches[0])
    assert model.step == 2


class Forgetful(Layer):
    """A layer as beginners write it."""

    def __init__(self, k, pairs=True):
        self.factor, self.pairs = k, pairs

    def forward(self, x, *, train=False):
        return (x, self.keep(x)) if self.pairs else x

    def backward(self, dy, cache):
        return dy


def test_a_layer_of_ones_own_that_forgets_something_is_told_what():
    x = np.ones((2, 2), "float32")
    model = Sequential(Forgetful(2))
    for use in (lambda: repr(model), lambda: model.summary((2,)), lambda: Forgetful(2).config()):
        with pytest.raises(ConfigError, match=r"Forgetful: store the argument k as self\.k"):
            use()
    for use in (lambda: Forgetful(2, pairs=False)(x), lambda: Sequential(Forgetful(2, pairs=False))(x)):
        with pytest.raises(StateError, match=r"Forgetful: forward must return \(y, cache\), got ndarray"):
            use()
    with pytest.raises(StateError, match=r"Forgetful: backward must return \(dx, grads\), got ndarray"):
        model.backward(x, model.forward(x, train=True)[1])


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Sequential([ReLU(), ReLU()]), r"unpack it, Sequential\(\*layers\)"),
        (lambda: Sequential((ReLU(), ReLU())), r"unpack it, Sequential\(\*layers\)"),
        (lambda: Sequential({"a": ReLU()}), r"name layers by tuples \(name, layer\)"),
        (lambda: Sequential(input_shape="ab"), "expected input_shape to be a tuple of integers .*'ab'"),
        (lambda: Sequential(input_shape=4), "expected input_shape to be a tuple"),
        (lambda: Sequential(ReLU()).summary(4), "summary: expected input_shape to be a tuple"),
        (lambda: Sequential(ReLU()).output_shape((1, 5.5)), "expected input_shape to be a tuple"),
    ],
)
def test_layers_and_shapes_in_the_wrong_form(build, text):
    with pytest.raises(ConfigError, match=text):
        build()


def test_only_a_mapping_can_be_loaded():
    for state in (None, [], "weights.pt"):
        with pytest.raises(StateDictError, match="load_state_dict: expected a mapping of names to arrays, got"):
            Sequential(Linear(2, 2)).load_state_dict(state)


def test_blocks_leave_values_alone_that_a_layer_already_has():
    layer = Linear(3, 3, bias=False)
    layer.params["weight"] = weight = normal((3, 3), Key(1))  # digits that float32 has no room for
    model = Sequential(Residual(Concat(layer)), dtype="float64")
    assert np.array_equal(model.params["0.body.0.weight"], weight)


def test_equal_blocks_side_by_side_start_with_different_weights():
    blocks = Concat(Residual(Linear(4, 4)), Residual(Linear(4, 4)))
    assert not np.array_equal(blocks.params["0.body.weight"], blocks.params["1.body.weight"])


def test_a_trained_layer_keeps_its_values_and_key_in_a_new_block():
    model = Sequential(Linear(3, 3), seed=5)
    expected = Sequential(Linear(3, 3), seed=5).params["0.weight"]
    block = Residual(model[0])  # nothing was drawn yet: the model's seed still decides
    assert np.array_equal(block.params["body.weight"], expected)
