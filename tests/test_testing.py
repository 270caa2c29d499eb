"""The public checks catch what they are for."""

import numpy as np
import pytest

from tests.namespaces import snapshot
from xpcnn.backend import Key, normal
from xpcnn.errors import ConfigError, DtypeError, XpcnnError
from xpcnn.layers import MSE, BatchNorm2d, Conv2d, Dropout, Layer, Linear, Loss
from xpcnn.models import Sequential
from xpcnn.testing import GradientError, assert_close, check_gradients, check_loss_gradients


class Affine(Layer):
    """A right layer, and a number of wrong ones."""

    def __init__(self, bug=""):
        self.bug = bug

    def init_params(self, key):
        return {"weight": normal((3, 4), key.child("weight")), "bias": normal((3,), key.child("bias"))}

    def forward(self, x, *, train=False):
        return x @ self.params["weight"].T + self.params["bias"], self.keep(x[:, :3], x) if train else None

    def backward(self, dy, cache):
        (x,) = self.recall(dy, cache)
        dx, dw, db = dy @ self.params["weight"], dy.T @ x, dy.sum(axis=0)
        match self.bug:
            case "bias as mean":
                db = dy.mean(axis=0)
            case "one weight":
                dw[1, 2] = 0.0
            case "one percent":
                dw = dw * 1.01
            case "a millionth":
                dx = dx * (1 + 1e-6)
            case "shape":
                db = db[:, None]
            case "dtype":
                dw = dw.astype("float32")
            case "list":
                dx = dx.tolist()
            case "missing":
                return dx, {"weight": dw}
            case "other name":
                return dx, {"weight": dw, "b": db}
            case "nan":
                dx[0, 0] = np.nan
        return dx, {"weight": dw, "bias": db}


BUGS = {
    "bias as mean": "gradient of bias",
    "one weight": "gradient of weight",
    "one percent": "gradient of weight",
    "a millionth": "gradient of x",
    "nan": "gradient of x",
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


def test_wrong_losses_are_found():
    class Halved(Loss):
        def __call__(self, prediction, target):
            value, gradient = MSE()(prediction, target)
            return value, gradient * 0.5

    check_loss_gradients(MSE(), np.ones((2, 2)), np.zeros((2, 2)))
    with pytest.raises(GradientError, match="Halved: gradient of prediction"):
        check_loss_gradients(Halved(), np.ones((2, 2)), np.zeros((2, 2)))


def test_assert_close_looks_at_everything(space, strict):
    x = space.asarray([1.0, np.nan, np.inf])
    assert_close(x, space.asarray([1.0 + 1e-9, np.nan, np.inf]))
    wrong = {
        "library": np.asarray([1.0, np.nan, np.inf]) if space.xp is not np else strict.asarray([1.0, np.nan, np.inf]),
        "dtype": space.asarray([1.0, np.nan, np.inf], "float32"),
        "shape": space.asarray([1.0, np.nan]),
        "1 of 3": space.asarray([1.0 + 1e-6, np.nan, np.inf]),
        "2 of 3": space.asarray([1.0, 0.0, -np.inf]),
    }
    for text, y in wrong.items():
        with pytest.raises(AssertionError, match=text):
            assert_close(x, y)
    with pytest.raises(AssertionError, match=r"expected arrays, got builtins.list"):
        assert_close(x, [1.0])
    if space.name == "strict":
        with pytest.raises(AssertionError, match="expected device"):
            assert_close(x, x.to_device(space.xp.Device("CPU_DEVICE")))


def test_assert_close_of_numbers_that_are_not_floats(space):
    assert_close(space.asarray([1, 2]), space.asarray([1, 2]))
    assert_close(space.asarray([True]), space.asarray([True]))
    with pytest.raises(AssertionError, match="1 of 2 entries"):
        assert_close(space.asarray([1, 2]), space.asarray([1, 3]))
    with pytest.raises(AssertionError, match="1 of 1 entries"):
        assert_close(space.asarray([True]), space.asarray([False]))
    assert_close(space.asarray(1.0), space.asarray(1.5), rtol=0.0, atol=0.5)
