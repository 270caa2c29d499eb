"""Squeeze and excitation: its formula by hand, its names, and what it refuses."""

import numpy as np
import pytest

from xpcnn.backend import Key, normal
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.layers import Conv2d, Linear, Sigmoid, Tanh
from xpcnn.models import Sequential, SqueezeExcite


def test_the_formula_written_out():
    block = SqueezeExcite(4, 3)
    model = Sequential(block, dtype="float64", seed=1)
    x = normal((2, 4, 3, 5), Key(0))
    w1, b1, w2, b2 = (model.params[f"0.fc{i}.{name}"] for i in (1, 2) for name in ("weight", "bias"))
    b1[...], b2[...] = normal((3,), Key(1)), normal((4,), Key(2))
    for n in range(2):
        z = [x[n, c].sum() / 15 for c in range(4)]
        hidden = [max(0.0, sum(w1[k, c, 0, 0] * z[c] for c in range(4)) + b1[k]) for k in range(3)]
        for c in range(4):
            s = 1.0 / (1.0 + np.exp(-sum(w2[c, k, 0, 0] * hidden[k] for k in range(3)) - b2[c]))
            np.testing.assert_allclose(model(x)[n, c], s * x[n, c], rtol=1e-12)


def test_names_and_shapes_are_torchvisions():
    shapes = {name: p.shape for name, p in SqueezeExcite(6, 2).params.items()}
    assert shapes == {
        "fc1.weight": (2, 6, 1, 1),
        "fc1.bias": (2,),
        "fc2.weight": (6, 2, 1, 1),
        "fc2.bias": (6,),
    }
    assert SqueezeExcite(64).params["fc1.weight"].shape == (4, 64, 1, 1)
    assert SqueezeExcite(3).params["fc1.weight"].shape == (1, 3, 1, 1)


def test_other_functions_and_what_the_text_says():
    block = SqueezeExcite(4, activation=Tanh(), scale_activation=Sigmoid())
    assert repr(block) == "SqueezeExcite(4, activation=Tanh(), scale_activation=Sigmoid())"
    assert repr(SqueezeExcite(4, 2)) == "SqueezeExcite(4, squeeze_channels=2)"


def test_settings_and_inputs_that_do_not_fit():
    for args in ((0,), (4, 0), (4, 1.5), ("4",)):
        with pytest.raises(ConfigError, match="SqueezeExcite: expected"):
            SqueezeExcite(*args)
    with pytest.raises(ConfigError, match="expected layers, got <class"):
        SqueezeExcite(4, activation=Tanh)
    with pytest.raises(ConfigError, match=r"expected scale_activation to keep the shape, got Conv2d\(4, 1, 1\)"):
        SqueezeExcite(4, scale_activation=Conv2d(4, 1, 1))
    with pytest.raises(ShapeError):
        SqueezeExcite(4, activation=Linear(1, 1))
    for shape in ((2, 3, 5, 5), (2, 4), (2, 5, 5, 4)):
        with pytest.raises(ShapeError, match=r"SqueezeExcite: expected x of shape \(N, 4, H, W\)"):
            SqueezeExcite(4)(np.ones(shape, "float32"))
        with pytest.raises(ShapeError, match=r"SqueezeExcite: expected x of shape \(N, 4, H, W\)"):
            SqueezeExcite(4).output_shape(shape[1:])


def test_without_input_gradient_the_parameters_gradients_are_the_same():
    block = SqueezeExcite(4, 2)
    x = normal((2, 4, 3, 3), Key(0)).astype("float32")
    y, cache = block.forward(x, train=True)
    dx, grads = block.backward(y, cache)
    none, same = block.backward(y, cache, input_grad=False)
    assert dx.shape == x.shape and none is None
    assert all(np.array_equal(grads[name], same[name]) for name in block.params)
