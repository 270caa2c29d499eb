"""Layers of runs that compute the same numbers as the ops: bit for bit, where no sum is rounded."""

import math
from contextlib import nullcontext

import numpy as np
import pytest

from tests.backend.cpu.compare import cache_of, generic, settled
from tests.backend.cpu.test_windows import numbers
from xpcnn import layers as L
from xpcnn import ops
from xpcnn.backend import Key
from xpcnn.models import Sequential

SHAPE = (7, 3, 9, 8)


def passes(layers, x, dy=None, mode=nullcontext, key=None):
    """Output of training, gradient at the input, output of inference."""
    model = settled(Sequential(*layers, dtype=str(x.dtype)))
    with mode(), cache_of(1 << 10):
        y, cache = model.forward(x, train=True, key=key)
        dx, _ = model.backward(numbers(y.shape, "dy", x.dtype) if dy is None else dy, cache)
        return y, dx, model(x)


def assert_bits(layers, x, dy=None):
    for a, b in zip(passes(layers, x, dy), passes(layers, x, dy, generic), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "layer",
    [
        L.ReLU(),
        L.MaxPool2d(2),
        L.MaxPool2d(3),
        L.MaxPool2d((1, 2)),
        L.MaxPool2d(1),
        L.MaxPool2d(1, 2),
        L.MaxPool2d(2, 3),
        L.MaxPool2d(2, (1, 3)),
        L.MaxPool2d(2, ceil_mode=True),
        L.MaxPool2d(3, padding=1),
        L.MaxPool2d(2, dilation=2),
        L.MaxPool2d((9, 8)),
        L.Dropout(0.0),
        L.Dropout(0.3),
        L.Dropout(1.0),
        L.Flatten(),
    ],
    ids=repr,
)
def test_bits_are_those_of_the_op(layer, dtype):
    assert_bits([layer], numbers(SHAPE, "x", dtype))


@pytest.mark.parametrize("value", [0.0, -0.0, math.nan, math.inf, -math.inf, 1e-45])
def test_rectifier_of_special_numbers(value):
    x = np.full((4, 2, 3, 3), value, "float32")
    with np.errstate(invalid="ignore"):
        assert_bits([L.ReLU()], x)
        assert_bits([L.ReLU()], np.ones_like(x), x)  # as gradient
        assert_bits([L.ReLU()], -np.ones_like(x), x)


@pytest.mark.parametrize("shape", [(7, 3, 9, 8), (9, 5), (1, 1, 1, 3)])
def test_dropout_draws_what_the_op_draws(shape):
    """Whatever the tiles, and whichever sample is the first of the key."""
    x = np.ones(shape)
    key = Key(3, "drop", step=5, first=11)
    model = Sequential(L.Dropout(0.4), dtype="float64")
    with cache_of(1 << 7):
        y, _ = model.forward(x, train=True, key=key)
        later, _ = model.forward(x[len(x) // 2 :], train=True, key=key.at(11 + len(x) // 2))
    expected, _ = ops.dropout(x, 0.4, key.child("0"))
    assert (y == expected).all()
    assert (later == y[len(x) // 2 :]).all()


def test_dropout_leaves_inference_alone():
    x = numbers(SHAPE, "x")
    model = Sequential(L.Dropout(0.9), L.Dropout(0.9), dtype="float64")
    y = model(x)
    assert (y == x).all()
    y[...] = 0.0
    assert (x != 0.0).any()


def test_norm_moves_its_statistics_as_the_generic_body_does():
    x = 3.0 + 5.0 * numbers((9, 4, 5, 6), "x", "float32")
    found = []
    for mode in (nullcontext, generic):
        model = Sequential(L.BatchNorm2d(4), L.ReLU())
        with mode(), cache_of(1 << 8):
            for _ in range(3):
                model.forward(x, train=True)
            model(x)  # inference moves nothing
        found.append(model.buffers)
    for name, a in found[1].items():
        np.testing.assert_allclose(found[0][name], a, rtol=3e-7)
    assert int(found[0]["0.num_batches_tracked"]) == 3
    expected = x.astype("float64").mean(axis=(0, 2, 3)) * (1 - 0.9**3)
    np.testing.assert_allclose(found[0]["0.running_mean"], expected, rtol=1e-6)


def test_norm_of_numbers_far_from_zero():
    """A mean that is ten thousand times the spread: the variance must not cancel away."""
    x = 1e4 + numbers((8, 3, 6, 6), "x").astype("float32")
    dy = numbers(x.shape, "dy", "float32")
    truth = x.astype("float64")
    truth = (truth - truth.mean(axis=(0, 2, 3), keepdims=True)) / truth.std(axis=(0, 2, 3), keepdims=True)
    errors = []
    for mode in (generic, nullcontext):
        with mode(), cache_of(1 << 8):
            model = Sequential(L.BatchNorm2d(3, eps=1e-12))
            y, cache = model.forward(x, train=True)
            dx, grads = model.backward(dy, cache)
        errors.append((np.abs(y - truth).max(), np.abs(grads["0.weight"] - (dy * truth).sum(axis=(0, 2, 3))).max()))
        assert np.abs(dx.sum(axis=(0, 2, 3))).max() < 1e-3  # moving all inputs moves nothing
    for usual, found in zip(*errors, strict=True):
        assert found <= 2.0 * usual + 1e-6
