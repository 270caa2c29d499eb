"""The laws that every layer keeps, on every array library, in both dtypes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.namespaces import bits, snapshot
from tests.strategies import LAYERS, LINEAR, LOSSES, USES_BATCH, seeds
from xpcnn import layers as L
from xpcnn.backend import Key, array_namespace, normal, to_numpy
from xpcnn.errors import (
    DeviceMismatchError,
    DtypeError,
    NamespaceError,
    ShapeError,
    StateError,
    XpcnnError,
)
from xpcnn.models import Container, Sequential
from xpcnn.optimizers import Adam
from xpcnn.testing import assert_close, check_gradients, check_loss_gradients

EPS = {"float64": 1e-12, "float32": 2e-5}

every_layer = pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
every_loss = pytest.mark.parametrize("cls", LOSSES, ids=lambda cls: cls.__name__)
both_dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])


def examples(cls, space=None, many=40, few=8):
    """Make a check run on cases of a layer: many on plain NumPy, few elsewhere, where the same code is slower."""

    def run(check):
        count = many if space is None or space.name == "numpy" else few
        return settings(max_examples=count)(given((LAYERS | LOSSES)[cls])(check))

    return run


def options(layer, seed):
    return {"key": Key(seed, "draw")} if layer.random else {}


def settled(case, space, dtype="float64"):
    return space.settle(case.layer(), dtype, case.seed), space.asarray(case.x(), dtype)


def gradient_for(y, space, seed):
    return space.asarray(normal(tuple(y.shape), Key(seed, "dy")), to_numpy(y).dtype)


def everything(case, space, dtype="float64"):
    """Output, all gradients and buffers of a training step, by name."""
    layer, x = settled(case, space, dtype)
    y, cache = layer.forward(x, train=True, **options(layer, case.seed))
    dx, grads = layer.backward(gradient_for(y, space, case.seed), cache)
    return {"y": y, "dx": dx, **grads, **layer.buffers}


def close(actual, desired, dtype="float64", factor=1.0):
    """Equal up to rounding, as a share of the largest entry."""
    actual, desired = to_numpy(actual), to_numpy(desired)
    assert actual.shape == desired.shape
    scale = max(1.0, float(np.max(np.abs(desired), initial=0.0)))
    np.testing.assert_allclose(actual, desired, rtol=0.0, atol=factor * EPS[dtype] * scale)


@every_layer
@both_dtypes
def test_types_shapes_and_purity(cls, dtype, space):
    """Laws 1, 2, 3, 4: what comes out is like what went in, and what went in is as it was."""

    @examples(cls, space, many=30)
    def check(case):
        layer, x = settled(case, space, dtype)
        before = bits({"x": x} | layer.params)
        y, none = layer.forward(x, **options(layer, case.seed))
        assert none is None, "inference keeps nothing"
        old_buffers = bits(layer.buffers)
        y, cache = layer.forward(x, train=True, **options(layer, case.seed))
        assert tuple(y.shape) == (x.shape[0], *layer.output_shape(tuple(x.shape[1:])))

        dy = gradient_for(y, space, case.seed)
        before_dy = bits({"dy": dy, "y": y})
        dx, grads = layer.backward(dy, cache)
        again_dx, again = layer.backward(dy, cache)

        for a, like in [(y, x), (dx, x), *((grads[name], p) for name, p in layer.params.items())]:
            assert space.device.owns(a)
            assert a.dtype == like.dtype == x.dtype
        for a in layer.buffers.values():
            assert space.device.owns(a)
            assert str(to_numpy(a).dtype) in (dtype, "int64")
        assert dx.shape == x.shape
        assert {name: g.shape for name, g in grads.items()} == {name: p.shape for name, p in layer.params.items()}
        assert bits({"x": x} | layer.params) == before
        assert bits({"dy": dy, "y": y}) == before_dy
        assert bits({"dx": dx} | grads) == bits({"dx": again_dx} | again), "the second backward gives the same bits"
        assert set(old_buffers) == set(layer.buffers)

        stale = snapshot(layer)
        layer.forward(x, **options(layer, case.seed))
        assert snapshot(layer) == stale, "inference changes nothing"

    check()


@every_layer
def test_wrong_calls_raise_before_anything_changes(cls, space):
    """Law 4: a wrong cache, shape, dtype, device or library."""

    @examples(cls, space, many=10, few=5)
    def check(case):
        layer, x = settled(case, space)
        stranger = space.settle(case.layer())
        keyed = options(layer, case.seed)
        y, cache = layer.forward(x, train=True, **keyed)
        dy = gradient_for(y, space, case.seed)
        foreign = stranger.forward(x, train=True, **keyed)[1]
        before = snapshot(layer)
        xp = space.xp

        wrong = [(dy, None, StateError), (dy, "cache", StateError), (dy, foreign, StateError)]
        wrong += [(space.asarray(np.zeros((*dy.shape, 2))), cache, ShapeError)]
        wrong += [(xp.astype(dy, xp.float32), cache, DtypeError), (to_numpy(dy).tolist(), cache, NamespaceError)]
        if space.xp is not np:
            wrong += [(to_numpy(dy), cache, NamespaceError)]
        if space.name == "strict":
            wrong += [(dy.to_device(xp.Device("CPU_DEVICE")), cache, DeviceMismatchError)]
        for bad, with_cache, error in wrong:
            with pytest.raises(error, match="expected") as caught:
                layer.backward(bad, with_cache)
            assert isinstance(caught.value, XpcnnError)

        inputs = [(to_numpy(x).tolist(), NamespaceError), (np.ma.masked_array(to_numpy(x)), NamespaceError)]
        inputs += [(xp.astype(x, xp.int64), DtypeError), (xp.astype(x, xp.complex128), DtypeError)]
        if layer.params:
            if space.xp is not np:
                inputs += [(to_numpy(x), NamespaceError)]
            inputs += [(xp.astype(x, xp.float32), DtypeError)]
            if space.name == "strict":
                inputs += [(x.to_device(xp.Device("CPU_DEVICE")), DeviceMismatchError)]
        for bad, error in inputs:
            for train in (False, True):
                with pytest.raises(error, match="expected") as caught:
                    layer.forward(bad, train=train, **keyed)
                assert isinstance(caught.value, XpcnnError)
        assert snapshot(layer) == before

    check()


@every_layer
@both_dtypes
def test_batched_equals_one_by_one(cls, dtype, space):
    """Law 5, inference and training; batch norm in training sees the batch, that is what it is for."""

    @examples(cls, space, few=5)
    def check(case):
        layer, x = settled(case, space, dtype)
        uses_batch = [
            leaf
            for _, leaf in (layer.leaves() if isinstance(layer, Container) else [("", layer)])
            if isinstance(leaf, tuple(USES_BATCH))
        ]
        if any(not leaf.track_running_stats for leaf in uses_batch):
            return
        whole = layer.forward(x)[0]
        singles = [layer.forward(x[i : i + 1, ...])[0] for i in range(x.shape[0])]
        close(array_namespace(x).concat(singles, axis=0), whole, dtype)
        if uses_batch:
            return

        key = Key(case.seed, "draw")
        y, cache = layer.forward(x, train=True, **({"key": key} if layer.random else {}))
        dy = gradient_for(y, space, case.seed)
        dx, grads = layer.backward(dy, cache)
        parts, summed = [], {}
        for i in range(x.shape[0]):
            part, own = layer.forward(x[i : i + 1, ...], train=True, **({"key": key.at(i)} if layer.random else {}))
            close(part, y[i : i + 1, ...], dtype)
            dx_i, g = layer.backward(dy[i : i + 1, ...], own)
            parts.append(dx_i)
            summed = {name: g[name] + summed.get(name, 0.0) for name in g}
        close(array_namespace(x).concat(parts, axis=0), dx, dtype)
        for name, g in grads.items():
            close(summed[name], g, dtype, factor=10.0)

    check()


@every_layer
def test_gradients(cls, space):
    """Law 6: central differences, every array on its own, three directions, 1e-7."""

    @examples(cls, space, few=4)
    def check(case):
        layer, x = settled(case, space)
        check_gradients(layer, x, key=Key(case.seed))

    check()


@every_loss
def test_gradients_of_losses(cls, space):
    @examples(cls, space, many=80, few=10)
    def check(case):
        check_loss_gradients(case.loss(), space.asarray(case.prediction), space.asarray(case.target))

    check()


@pytest.mark.parametrize("cls", sorted(LINEAR, key=lambda cls: cls.__name__), ids=lambda cls: cls.__name__)
@both_dtypes
def test_adjoint_identity(cls, dtype, space):
    """Law 7: <A x, dy> == <x, A' dy> for what is linear in x."""

    @examples(cls, space)
    def check(case):
        layer, x = settled(case, space, dtype)
        if "bias" in layer.params:
            layer.params["bias"] = space.asarray(np.zeros(tuple(layer.params["bias"].shape)), dtype)
        y, cache = layer.forward(x, train=True, **options(layer, case.seed))
        dy = gradient_for(y, space, case.seed)
        dx, _ = layer.backward(dy, cache)
        y, dy, x, dx = (to_numpy(a).astype("float64") for a in (y, dy, x, dx))
        assert abs((y * dy).sum() - (x * dx).sum()) <= EPS[dtype] * (1.0 + np.abs(y * dy).sum() + np.abs(x * dx).sum())

    check()


@every_layer
@both_dtypes
def test_every_library_gives_the_same_numbers(cls, dtype, space, cpu):
    @examples(cls, space, many=5)
    def check(case):
        truth = everything(case, cpu)
        for name, a in everything(case, space, dtype).items():
            # batch norm divides by the spread, which enlarges what float32 has lost before
            close(a, truth[name], dtype, factor=1.0 if dtype == "float64" else 50.0)

    check()


@every_layer
def test_strided_windows_equal_the_generic_ones(cls, space, monkeypatch):
    """Law 9: XPCNN_KERNELS=generic turns the fast windows off."""

    @examples(cls, space, many=20, few=5)
    def check(case):
        monkeypatch.delenv("XPCNN_KERNELS", raising=False)
        fast = everything(case, space)
        monkeypatch.setenv("XPCNN_KERNELS", "generic")
        for name, a in everything(case, space).items():
            close(a, fast[name])

    check()


@every_layer
def test_memory_layout_changes_nothing(cls, cpu):
    """Channels-last, reversed and strided inputs, gradients and parameters give what contiguous ones give."""

    @examples(cls, many=20)
    def check(case):
        truth = everything(case, cpu)
        for layout in LAYOUTS.values():
            layer, x = settled(case, cpu)
            for name, a in dict(layer.params).items():
                layer.params[name] = layout(a)
            y, cache = layer.forward(layout(x), train=True, **options(layer, case.seed))
            dx, grads = layer.backward(layout(gradient_for(y, cpu, case.seed)), cache)
            for name, a in {"y": y, "dx": dx, **grads, **layer.buffers}.items():
                close(a, truth[name])

    check()


def _strided(a):
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]))
    wide[..., ::2] = a
    return wide[..., ::2]


LAYOUTS = {
    "channels last": lambda a: np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1) if a.ndim > 1 else a,
    "fortran": np.asfortranarray,
    "reversed": lambda a: a[::-1].copy()[::-1],
    "strided": _strided,
}


@every_layer
def test_a_cache_outlives_other_calls(cls, cpu):
    """Caches are values: two forward passes, then their backward passes in any order."""

    @examples(cls, many=15)
    def check(case):
        layer, x = settled(case, cpu)
        keyed = options(layer, case.seed)
        y, first = layer.forward(x, train=True, **keyed)
        dy = gradient_for(y, cpu, case.seed)
        expected = bits({"dx": layer.backward(dy, first)[0]} | layer.backward(dy, first)[1])
        _, second = layer.forward(cpu.asarray(-2.0 * case.x()), train=True, **keyed)
        layer.backward(dy, second)
        dx, grads = layer.backward(dy, first)
        assert bits({"dx": dx} | grads) == expected

    check()


@every_loss
@both_dtypes
def test_losses_keep_types_and_arguments(cls, dtype, space):
    @examples(cls, space)
    def check(case):
        floats = case.target.dtype.kind == "f"
        prediction = space.asarray(case.prediction, dtype)
        target = space.asarray(case.target, dtype if floats else None)
        before = bits({"prediction": prediction, "target": target})
        value, gradient = case.loss()(prediction, target)
        assert space.device.owns(value) and space.device.owns(gradient)
        assert value.dtype == prediction.dtype
        some = prediction.shape[: 1 if case.loss().classifies else None] if case.args.get("reduction") == "none" else ()
        assert tuple(value.shape) == tuple(some)
        assert gradient.shape == prediction.shape and gradient.dtype == prediction.dtype
        assert bits({"prediction": prediction, "target": target}) == before

        exact, exact_gradient = case.loss()(case.prediction, case.target)
        close(value, exact, dtype)
        close(gradient, exact_gradient, dtype)

    check()


def test_float32_stays_float32_after_two_steps(space):
    model = Sequential(
        L.Conv2d(1, 2, 3, padding=1),
        L.BatchNorm2d(2, momentum=None),
        L.LeakyReLU(),
        L.MaxPool2d(2),
        L.Conv2d(2, 2, 3, groups=2),
        L.BatchNorm2d(2),
        L.Dropout(0.3),
        L.AvgPool2d(2, ceil_mode=True, padding=1, count_include_pad=False),
        L.Flatten(),
        L.Linear(8, 3),
    )
    model.to(like=space.asarray(np.zeros(1)))
    loss, optimizer = L.SoftmaxCrossEntropy(weight=[1.0, 2.0, 3.0], label_smoothing=0.1), Adam(1e-2, weight_decay=1e-3)
    x = space.asarray(normal((3, 1, 8, 8), Key(0)), "float32")
    target = space.asarray([0, 2, 1])
    for _ in range(2):
        logits, cache = model.forward(x, train=True)
        value, dlogits = loss(logits, target)
        dx, grads = model.backward(dlogits, cache)
        optimizer.update(model.params, grads)
        state = [*model.params.values(), *model.buffers.values(), *slots(optimizer)]
        for a in [value, dlogits, dx, *grads.values(), *state]:
            assert space.device.owns(a)
            assert str(to_numpy(a).dtype) in ("float32", "int64"), a.dtype
    kinds = {name.rpartition(".")[2]: str(to_numpy(a).dtype) for name, a in model.buffers.items()}
    assert kinds == {"running_mean": "float32", "running_var": "float32", "num_batches_tracked": "int64"}
    assert len(list(slots(optimizer))) >= 2 * len(model.params)


def slots(optimizer):
    """All arrays that an optimizer holds, wherever it holds them."""
    pending = [vars(optimizer)]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, (list, tuple)):
            pending += value
        elif hasattr(value, "dtype") and hasattr(value, "shape"):
            yield value



@given(seeds, st.sampled_from([0.1, 0.5]))
@settings(max_examples=10)
def test_same_key_same_bits_twice(seed, p):
    x = normal((2, 3, 4, 5), Key(seed))
    first, second = (L.Dropout(p).forward(x, train=True, key=Key(seed, "d", step=3))[0] for _ in range(2))
    assert_close(first, second, rtol=0.0)
    assert not np.array_equal(first, L.Dropout(p).forward(x, train=True, key=Key(seed, "d", step=4))[0])
