"""The public checks catch what they are for."""

import inspect

import numpy as np
import pytest

import xpcnn.layers
import xpcnn.models
from tests.namespaces import snapshot
from xpcnn.backend import Key, normal
from xpcnn.errors import ConfigError, DtypeError, StateError, XpcnnError
from xpcnn.layers import MSE, Add, BatchNorm2d, Conv2d, Dropout, Layer, Linear, Loss, Merge, Upsample
from xpcnn.models import Graph, Sequential
from xpcnn.testing import GradientError, assert_close, check_gradients, check_loss_gradients
from xpcnn.testing.cases import LayerCase, LossCase, cases
from xpcnn.testing.certificate import certificate
from xpcnn.testing.gradients import adjoint_error


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
            case "two arrays":
                dw, db = 2.0 * dw, 2.0 * db
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


def test_an_adjoint_that_is_off_by_a_billionth_is_found():
    class Off(Affine):
        def backward(self, dy, cache):
            dx, grads = super().backward(dy, cache)
            return dx * (1.0 + 1e-9), grads

    x = normal((2, 4), Key(0))
    check_gradients(Off(), x)
    assert adjoint_error(Affine(), x, Key(0)) < 1e-15, "whatever the bias"
    assert adjoint_error(Off(), x, Key(0)) > 1e-11


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


# The cases of the certificate.


def exported():
    for module in (xpcnn.layers, xpcnn.models):
        for name in module.__all__:
            cls = getattr(module, name)
            if inspect.isclass(cls) and issubclass(cls, (Layer, Loss)) and not inspect.isabstract(cls):
                yield cls


def missing(found):
    """Exported layers and losses in no case, and options that no case gives a value that is not the default."""
    for cls in dict.fromkeys(exported()):
        own = [case.arguments for case in found if case.cls is cls]
        if not own:
            yield cls.__name__
        for option in inspect.signature(cls).parameters.values() if own else ():
            # where a model lives, and in which dtype, is the certificate's own choice
            if option.name in ("device", "dtype") and issubclass(cls, xpcnn.models.Model):
                continue
            default = () if option.kind is option.VAR_POSITIONAL else option.default
            if all(arguments.get(option.name, default) == default for arguments in own):
                yield f"{cls.__name__}.{option.name}"


def test_every_layer_loss_and_option_is_in_a_case():
    assert list(missing(cases())) == [], "add a line to xpcnn/testing/cases.py"


def test_the_search_for_what_is_in_no_case_finds_it():
    found = cases()
    assert list(missing([case for case in found if case.cls is not Upsample])) == ["Upsample"]
    without = [case for case in found if "align_corners" not in case.arguments]
    assert list(missing(without)) == ["Upsample.align_corners"]
    assert "MSE.reduction" in missing([case for case in found if "reduction" not in case.arguments])
    assert "Sequential.layers" in missing([LayerCase(Sequential, (), {}, (1, 1))])


def test_the_cases_hold_every_public_layer_once_by_name():
    assert {case.cls for case in cases()} == set(exported())
    assert len({case.name for case in cases()}) == len(set(exported()))


def test_inputs_of_the_cases_have_no_ties_and_no_zeros(cpu):
    for case in cases():
        if isinstance(case, LossCase):
            x, target, _ = case.arrays(cpu.device, Key(0))
            arrays = [x - target] if case.target == "numbers" else [x]
        else:
            x = case.x(cpu.device, Key(0))
            arrays = x if isinstance(x, tuple) else [x]
        for a in arrays:
            assert np.abs(a).min() > 1e-3, str(case)
            assert np.diff(np.sort(a, axis=None)).min(initial=1.0) > 1e-3, str(case)


def test_parameters_of_the_cases_are_not_zeros_and_ones(cpu):
    for case in cases():
        if isinstance(case, LayerCase):
            layer = case.layer(cpu.device, Key(0))
            for name, a in layer.params.items():
                assert a.dtype == np.float64
                assert not np.isin(a, [0.0, 1.0, -1.0]).any(), f"{case}: {name}"


def test_layers_with_running_averages_are_checked_with_frozen_ones_too(cpu):
    layers = [(case, case.layer(cpu.device, Key(0))) for case in cases() if isinstance(case, LayerCase)]
    averaging = {case.cls for case, layer in layers if "running_mean" in layer.buffers}
    averages = {"running_mean", "running_var"}
    frozen = {case.cls for case, layer in layers if averages <= layer.frozen & set(layer.buffers)}
    assert frozen == averaging >= {BatchNorm2d}


def test_what_is_far_from_zero_is_reached(cpu):
    reached = set()
    for case in cases():
        if case.name in ("Hardswish", "Softplus"):
            beta, threshold = (case.arguments.get(name, default) for name, default in (("beta", 1), ("threshold", 20)))
            knee = 3.0 if case.name == "Hardswish" else threshold / beta
            x = case.x(cpu.device, Key(0))
            if (x < -knee).any() and (x > knee).any():
                reached.add(case.name)
    assert reached == {"Hardswish", "Softplus"}


def test_everything_passes_on_every_library(space):
    rows = list(certificate(space.device))
    assert [row.name for row in rows if not row.ok] == []
    assert all(row.error < 1e-7 and row.arrays >= row.settings for row in rows)
