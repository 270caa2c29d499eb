"""Wrong gradients are found and named, right ones pass."""

import numpy as np
import pytest

from tests.namespaces import snapshot
from tests.testing.helpers import Affine
from xpcnn.backend import Key, normal
from xpcnn.errors import ConfigError, DtypeError, StateError, XpcnnError
from xpcnn.layers import MSE, Add, BatchNorm2d, Conv2d, Dropout, Linear, Loss, Merge
from xpcnn.models import Graph, Sequential
from xpcnn.testing import GradientError, check_gradients, check_loss_gradients

BUGS = {
    "bias as mean": "gradient of bias",
    "one weight": "gradient of weight",
    "one percent": "gradient of weight",
    "a millionth": "gradient of x",
    "nan": "gradient of x",
    "two arrays": "gradient of weight, .*; wrong too: bias$",
    "shape": r"gradient of bias: expected float64 of shape \(3,\) on cpu, got numpy.ndarray, float64 of shape \(3, 1\)",
    "dtype": "gradient of weight: expected float64 .* float32",
    "list": "gradient of x: expected float64 .* got builtins.list",
    "missing": r"expected gradients of \['bias', 'weight'\], got \['weight'\]",
    "other name": r"got \['b', 'weight'\]",
}


def test_a_right_layer_passes_and_is_left_as_it_was():
    layer = Affine()
    before = dict(layer.params)
    check_gradients(layer, normal((5, 4), Key(0)))
    assert layer.params["weight"].dtype == np.float32
    assert all(layer.params[name] is a for name, a in before.items())


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("seed", range(3))
def test_every_bug_is_found_and_named(bug, seed):
    layer = Affine(bug)
    before = dict(layer.params)
    with pytest.raises(GradientError, match=f"Affine: .*{BUGS[bug]}") as caught:
        check_gradients(layer, normal((5, 4), Key(seed)), key=Key(seed))
    assert isinstance(caught.value, AssertionError) and isinstance(caught.value, XpcnnError)
    assert all(layer.params[name] is a for name, a in before.items()), "given back after a failure, too"


def test_the_errors_of_all_arrays_are_returned():
    errors = check_gradients(Affine(), normal((5, 4), Key(0)))
    assert list(errors) == ["x", "weight", "bias"]
    assert all(0.0 <= error < 1e-8 for error in errors.values())


@pytest.mark.parametrize("factor", [1.01, 1.0 + 1e-5])
def test_the_error_is_the_share_by_which_a_gradient_is_off(factor):
    class Off(Affine):
        def backward(self, dy, cache):
            dx, grads = super().backward(dy, cache)
            return dx * factor, grads

    x = normal((1, 4), Key(0))  # where no terms cancel: one direction, one number
    errors = check_gradients(Off(), x, tolerance=1.0)
    assert 0.1 * (factor - 1.0) < errors["x"] < 1.001 * (factor - 1.0)
    with pytest.raises(GradientError, match=r"gradient of x, .* expected at most 1e-07$"):
        check_gradients(Off(), x)


@pytest.mark.parametrize("hidden", [0, 1])
def test_an_error_that_one_direction_does_not_see_is_seen_by_another(hidden):
    x, key = normal((5, 4), Key(0)), Key(0, "hidden")
    blind = normal((5, 4), key.child(f"x/{hidden}"))
    error = normal((5, 4), Key(1))
    error -= blind * (error * blind).sum() / (blind * blind).sum()

    class Off(Affine):
        def backward(self, dy, cache):
            dx, grads = super().backward(dy, cache)
            return dx + 0.01 * error, grads

    with pytest.raises(GradientError, match=f"along random direction [^{hidden}] "):
        check_gradients(Off(), x, key=key)
    if hidden == 0:
        check_gradients(Off(), x, key=key, directions=1)


class Weighted(Merge):
    """Sum of an input and twice the other, and wrong ones."""

    def __init__(self, bug=""):
        self.bug = bug

    def merge(self, xs):
        return xs[0] + 2.0 * xs[1], None

    def unmerge(self, dy, saved):
        match self.bug:
            case "swapped":
                return 2.0 * dy, dy
            case "second":
                return dy, 2.001 * dy
            case "one":
                return (dy,)
            case "no tuple":
                return dy
        return dy, 2.0 * dy


@pytest.mark.parametrize(
    ("bug", "words"),
    [
        ("swapped", r"gradient of x\[0\], .*; wrong too: x\[1\]"),
        ("second", r"gradient of x\[1\]"),
        ("one", "expected a tuple of 2 gradients of x, got 1"),
        ("no tuple", "expected a tuple of 2 gradients of x, got 1"),
    ],
)
def test_each_input_of_a_layer_that_merges_is_checked(bug, words):
    xs = tuple(normal((3, 4), Key(i)) for i in range(2))
    assert list(check_gradients(Weighted(), xs)) == ["x[0]", "x[1]"]
    with pytest.raises(GradientError, match=words):
        check_gradients(Weighted(bug), xs)


def test_a_graph_of_several_inputs_is_checked():
    graph = Graph({"a": (Linear(3, 2), "left"), "sum": (Add(), "a", "right")}, inputs=("left", "right"))
    errors = check_gradients(graph, (normal((4, 3), Key(0)), normal((4, 2), Key(1))))
    assert list(errors) == ["x[0]", "x[1]", "a.weight", "a.bias"]


def test_a_layer_that_forgets_the_cache_is_told():
    class Half(Affine):
        def forward(self, x, *, train=False):
            return super().forward(x, train=train)[0]

    with pytest.raises(StateError, match=r"Half: forward must return \(y, cache\)"):
        check_gradients(Half(), normal((5, 4), Key(0)))


def test_statistics_and_models_are_left_as_they_were(space):
    model = Sequential(Conv2d(2, 2, 3), BatchNorm2d(2), Dropout(0.3), dtype="float32")
    model.to(like=space.asarray(np.zeros(1)))
    before = snapshot(model)
    check_gradients(model, space.asarray(normal((2, 2, 4, 5), Key(0))))
    assert snapshot(model) == before


def test_settings_that_cannot_work_raise():
    with pytest.raises(DtypeError, match="Linear: expected float64"):
        check_gradients(Linear(4, 2), np.ones((1, 4), "float32"))
    for kwargs in ({"directions": 0}, {"tolerance": 0.0}, {"epsilon": -1.0}):
        with pytest.raises(ConfigError):
            check_gradients(Linear(4, 2), np.ones((1, 4)), **kwargs)
    for layer in (Linear, np.tanh, None):
        with pytest.raises(ConfigError, match=r"check_gradients: expected a layer such as Linear\(3, 2\), got "):
            check_gradients(layer, np.ones((1, 4)))


def test_wrong_losses_are_found():
    class Halved(Loss):
        def __call__(self, prediction, target):
            value, gradient = MSE()(prediction, target)
            return value, gradient * 0.5

    check_loss_gradients(MSE(), np.ones((2, 2)), np.zeros((2, 2)))
    with pytest.raises(GradientError, match="Halved: gradient of prediction"):
        check_loss_gradients(Halved(), np.ones((2, 2)), np.zeros((2, 2)))


def test_losses_are_checked_with_weights_of_samples_too():
    class Forgetful(Loss):
        """Weighs the value, not the gradient."""

        def __call__(self, prediction, target):
            return MSE()(prediction, target)

        def weighted(self, prediction, target, sample_weight):
            value, _ = MSE().weighted(prediction, target, sample_weight)
            return value, self(prediction, target)[1]

    arrays = normal((2, 3), Key(0)), normal((2, 3), Key(1))
    weights = np.asarray([0.5, 2.0])
    check_loss_gradients(Forgetful(), *arrays)
    check_loss_gradients(MSE(), *arrays, sample_weight=weights)
    with pytest.raises(GradientError, match="Forgetful: gradient of prediction"):
        check_loss_gradients(Forgetful(), *arrays, sample_weight=weights)
