"""L1 and L2 penalties: value and gradient, on every namespace, over weights only."""

import math

import numpy as np
import pytest

from xpcnn.backend import device_of, to_numpy
from xpcnn.errors import ConfigError, DtypeError, NamespaceError
from xpcnn.layers.penalties import L1, L2


@pytest.fixture(params=["numpy", "array_api_strict", "torch"])
def place(request):
    """A function that puts a NumPy array where the namespace keeps its own; NumPy's is read-only."""
    if request.param == "numpy":

        def read_only(x):
            x = np.array(x)
            x.flags.writeable = False
            return x

        yield read_only
        return
    library = pytest.importorskip(request.param)
    if request.param == "torch":
        yield lambda x: library.asarray(x, copy=True)
        return
    with library.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
        yield lambda x: library.asarray(x, device=library.Device("device1"), copy=True)


def example(dtype="float64"):
    rng = np.random.Generator(np.random.Philox(0))
    shapes = {"0.weight": (3, 2, 2, 2), "0.bias": (3,), "1.weight": (2, 4), "2.weight": (4,)}
    params = {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
    params["1.weight"][0, 1] = 0.0
    return params


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("penalty", [L1(0.01), L2(0.01)], ids=str)
def test_value_and_gradients_follow_the_formula(penalty, dtype, place):
    host = example(dtype)
    params = {name: place(p) for name, p in host.items()}
    value, grads = penalty(params)
    weights = {name: host[name].astype("float64") for name in ("0.weight", "1.weight")}
    if isinstance(penalty, L1):
        expected = math.fsum(0.01 * abs(x) for w in weights.values() for x in w.ravel().tolist())
        slopes = {name: 0.01 * np.where(w > 0, 1.0, np.where(w < 0, -1.0, 0.0)) for name, w in weights.items()}
    else:
        expected = math.fsum(0.01 / 2 * x * x for w in weights.values() for x in w.ravel().tolist())
        slopes = {name: 0.01 * w for name, w in weights.items()}
    rtol = 1e-13 if dtype == "float64" else 1e-6
    assert grads.keys() == weights.keys()
    assert value.shape == ()
    assert float(to_numpy(value)) == pytest.approx(expected, rel=rtol)
    for name, g in grads.items():
        np.testing.assert_allclose(to_numpy(g), slopes[name], rtol=rtol)
    for x in (value, *grads.values()):
        assert type(x) is type(params["0.weight"])
        assert x.dtype == params["0.weight"].dtype
        assert device_of(x) == device_of(params["0.weight"])
    for name, p in params.items():
        np.testing.assert_array_equal(to_numpy(p), host[name])


@pytest.mark.parametrize("penalty", [L1(0.3), L2(0.3)], ids=str)
def test_gradient_is_the_derivative_of_the_value(penalty):
    params = example()
    _, grads = penalty(params)
    for name, g in grads.items():
        direction = np.cos(np.arange(g.size)).reshape(g.shape) * (params[name] != 0)
        up = float(penalty({**params, name: params[name] + 1e-6 * direction})[0])
        down = float(penalty({**params, name: params[name] - 1e-6 * direction})[0])
        assert (up - down) / 2e-6 == pytest.approx(float((g * direction).sum()), rel=1e-7)


def test_l2_is_weight_decay_of_plain_sgd():
    from xpcnn.optimizers import SGD

    one, two = example(), example()
    zeros = {name: np.zeros_like(p) for name, p in one.items()}
    SGD(lr=0.1, weight_decay=0.3, decay_bias_and_norm=False).update(one, zeros)
    SGD(lr=0.1).update(two, {**zeros, **L2(0.3)(two)[1]})
    for name, p in one.items():
        np.testing.assert_allclose(p, two[name], rtol=1e-15)


@pytest.mark.parametrize("penalty", [L1(0.3), L2(0.3)], ids=str)
def test_model_without_weights_costs_nothing(penalty, place):
    value, grads = penalty({"bias": place(np.ones(3, dtype="float32"))})
    assert grads == {}
    assert value.shape == ()
    assert float(to_numpy(value)) == 0.0
    assert str(value.dtype).endswith("float32")


@pytest.mark.parametrize("kind", [L1, L2])
@pytest.mark.parametrize("lam", [-0.1, math.nan, math.inf, "0.1", None, True])
def test_bad_lambda_is_refused(kind, lam):
    with pytest.raises(ConfigError, match=f"{kind.__name__}: expected lam to be a finite number >= 0"):
        kind(lam)


def test_parameters_that_are_no_real_arrays_are_refused():
    with pytest.raises(ConfigError, match="L2: expected at least one parameter"):
        L2(0.1)({})
    with pytest.raises(DtypeError, match="L2: expected parameter 'w' of a real floating-point dtype, got int64"):
        L2(0.1)({"w": np.ones((2, 2), dtype="int64")})
    with pytest.raises(NamespaceError):
        L2(0.1)({"w": [[1.0, 2.0]]})
