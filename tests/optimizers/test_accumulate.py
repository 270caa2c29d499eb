"""Gradient accumulation: k small batches are one large batch."""

import json

import numpy as np
import pytest

import xpcnn
from tests.optimizers.helpers import example, forbid_reading, hosted, placed
from xpcnn import layers as L
from xpcnn import optimizers
from xpcnn.errors import ConfigError, DtypeError, ShapeError
from xpcnn.optimizers import SGD, Accumulate, Adam, ParamGroups, StepLR
from xpcnn.training import Trainer

RULES = {
    "sgd": lambda: SGD(lr=0.1, momentum=0.9, clip_norm=0.5),
    "adam": lambda: Adam(lr=0.01, weight_decay=0.1),
    "groups": lambda: ParamGroups({"*.bias": Adam(lr=0.01)}, rest=SGD(lr=0.1), clip_norm=0.5),
}


def model():
    net = [L.Conv2d(1, 3, 3), L.ReLU(), L.Flatten(), L.Linear(48, 4)]
    return xpcnn.Sequential(*net, dtype="float64", seed=3)


def data(n):
    rng = np.random.Generator(np.random.Philox(5))
    return rng.standard_normal((n, 1, 6, 6)), rng.integers(0, 4, n)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_small_batches_are_one_large_batch(rule):
    x, y = data(24)
    small, large = model(), model()
    Trainer(small, optimizer=Accumulate(rule(), every=3)).fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    Trainer(large, optimizer=rule()).fit(x, y, epochs=2, batch_size=12, shuffle=False, verbose=0)
    for name, p in large.params.items():
        np.testing.assert_allclose(small.params[name], p, rtol=1e-10, atol=1e-13)
        assert not np.array_equal(p, model().params[name])


def test_sum_of_gradients_is_what_losses_that_are_sums_need(place):
    params, opt = placed(place, example()), Accumulate(SGD(lr=0.5), every=2, reduction="sum")
    for seed in (1, 2):
        opt.update(params, placed(place, example(seed=seed)))
    for name, p in hosted(params).items():
        expected = example()[name] - 0.5 * (example(seed=1)[name] + example(seed=2)[name])
        np.testing.assert_allclose(p, expected, rtol=1e-14, atol=1e-15)


def test_nothing_changes_until_the_last_of_them():
    params, opt = example(), Accumulate(SGD(lr=StepLR(0.5, 1)), every=3)
    for seed in (1, 2):
        opt.update(params, example(seed=seed))
        assert all(np.array_equal(params[name], p) for name, p in example().items())
        assert (opt.steps, opt.waiting, opt.current_lr()) == (0, seed, 0.5)
    opt.update(params, example(seed=3))
    assert (opt.steps, opt.waiting) == (1, 0)
    assert opt.current_lr() == pytest.approx(0.05)
    mean = sum(example(seed=seed)["0.bias"] for seed in (1, 2, 3)) / 3
    np.testing.assert_allclose(params["0.bias"], example()["0.bias"] - 0.5 * mean, rtol=1e-14)


def test_flush_takes_the_mean_of_what_there_is():
    params, opt = {"w": np.zeros(1)}, Accumulate(SGD(lr=1.0), every=4)
    opt.flush(params)
    assert opt.steps == 0
    for g in (1.0, 2.0, 6.0):
        opt.update(params, {"w": np.full(1, g)})
    opt.flush(params)
    assert params["w"].tolist() == [-3.0]
    opt.flush(params)
    assert (opt.steps, opt.waiting) == (1, 0)
    for _ in range(4):
        opt.update(params, {"w": np.ones(1)})
    assert params["w"].tolist() == [-4.0]


def test_what_waits_inside_of_groups_is_flushed_too():
    params = {"w": np.zeros((2, 2)), "b": np.zeros(2)}
    inner = Accumulate(SGD(lr=1.0), every=3)
    for opt in (
        ParamGroups({"b": inner}, rest=SGD(lr=1.0)),
        Accumulate(ParamGroups({"b": inner}, rest=SGD(lr=1.0)), every=1),
    ):
        params["b"][...] = 0.0
        opt.update(params, {"w": np.ones((2, 2)), "b": np.full(2, 3.0)})
        assert params["b"].tolist() == [0.0, 0.0] and inner.waiting == 1
        opt.flush(params)
        assert params["b"].tolist() == [-3.0, -3.0] and inner.waiting == 0
        opt.flush(params)
        assert params["b"].tolist() == [-3.0, -3.0]


def test_infinity_of_one_step_is_gone_in_the_next():
    params, opt = {"w": np.zeros(1)}, Accumulate(SGD(lr=1.0, clip_value=1.0), every=2)
    for g in (np.inf, 1.0, 2.0, 4.0):
        opt.update(params, {"w": np.full(1, g)})
    assert params["w"].tolist() == [-2.0]


def test_gradients_are_never_modified_and_never_kept():
    params, opt, grads = example(), Accumulate(SGD(), every=3), example(seed=1)
    for g in grads.values():
        g.flags.writeable = False
    for _ in range(4):
        opt.update(params, grads)
    assert not any(np.shares_memory(opt._sums[name], g) for name, g in grads.items())


def test_parameters_that_are_frozen_or_join_between_do_not_mix():
    params, opt = {"a": np.zeros(1), "b": np.zeros(1)}, Accumulate(SGD(lr=1.0), every=2)
    one = {"a": np.full(1, 2.0), "b": np.full(1, 100.0)}
    opt.update(params, one)
    opt.update({"a": params["a"]}, {"a": one["a"]})  # b was frozen: its gradient is lost
    assert [p.tolist() for p in params.values()] == [[-2.0], [0.0]]
    opt.update({"a": params["a"]}, {"a": one["a"]})
    opt.update(params, {"a": one["a"], "b": np.full(1, 4.0)})  # and joins again
    assert [p.tolist() for p in params.values()] == [[-4.0], [-2.0]]


@pytest.mark.parametrize("flush", [False, True])
def test_gradients_that_wait_move_with_the_parameters(flush, place):
    params, opt = {"w": np.zeros(2)}, Accumulate(SGD(lr=1.0), every=3)
    opt.update(params, {"w": np.asarray([1.0, 2.0])})
    moved = placed(place, {"w": params["w"].astype("float32")})
    opt.update(moved, placed(place, {"w": np.asarray([3.0, 4.0], "float32")}))
    if flush:
        back = placed(place, hosted({"w": params["w"]}))
        opt.flush(back)
        np.testing.assert_array_equal(hosted(back)["w"], [-2.0, -3.0])
    else:
        opt.update(moved, placed(place, {"w": np.asarray([2.0, 0.0], "float32")}))
        np.testing.assert_array_equal(hosted(moved)["w"], [-2.0, -2.0])


def test_update_never_reads_the_device(monkeypatch):
    strict = pytest.importorskip("array_api_strict")
    params = {k: strict.asarray(x, device=strict.Device("device1")) for k, x in example().items()}
    grads = {k: p + 1.0 for k, p in params.items()}
    forbid_reading(monkeypatch, params["0.bias"])
    opt = Accumulate(Adam(), every=2)
    for _ in range(5):
        opt.update(params, grads)
    opt.flush(params)


def test_bad_gradients_are_refused_before_they_are_added():
    params, opt = example(), Accumulate(SGD(lr=1.0), every=2)
    opt.update(params, example(seed=1))
    with pytest.raises(DtypeError):
        opt.update(params, example("float32", seed=2))
    with pytest.raises(ShapeError, match=r"Accumulate: expected parameter '0.bias' of shape \(3,\) as the"):
        opt.update({"0.bias": np.zeros(2)}, {"0.bias": np.zeros(2)})
    assert opt.waiting == 1
    opt.update(params, example(seed=1))
    np.testing.assert_allclose(params["0.bias"], example()["0.bias"] - example(seed=1)["0.bias"], rtol=1e-15)


def test_rate_state_and_steps_are_those_inside():
    inner = Adam()
    opt = Accumulate(inner, every=1)
    opt.update(example(), example(seed=1))
    assert opt.state is inner.state
    opt.lr, opt.steps, opt.state = 0.5, 7, {}
    assert (inner.lr, inner.steps, inner.state) == (opt.lr, opt.steps, {}) == (0.5, 7, {})


def test_config_rebuilds_it_through_json():
    opt = Accumulate(Adam(lr=StepLR(0.1, 5)), every=4, reduction="sum")
    assert repr(optimizers.from_config(json.loads(json.dumps(opt.config())))) == repr(opt)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("sgd", 2), r"optimizer .*got 'sgd': give an object, such as SGD\(lr=0.1\)"),
        ((SGD, 2), "optimizer .*: give an object"),
        ((SGD(), 0), "every"),
        ((SGD(), 1.5), "every"),
        ((SGD(), 2, "max"), "reduction"),
    ],
)
def test_bad_settings_are_refused(args, text):
    with pytest.raises(ConfigError, match=f"Accumulate: expected {text}"):
        Accumulate(*args)
