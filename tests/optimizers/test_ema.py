"""Averages of the weights: PyTorch's AveragedModel, and a model that always gets its own weights back."""

import json

import numpy as np
import pytest

import xpcnn
from tests.optimizers.helpers import forbid_reading
from xpcnn import layers as L
from xpcnn import optimizers
from xpcnn.backend import device_like, to_numpy
from xpcnn.errors import ConfigError, ShapeError, StateDictError, StateError
from xpcnn.optimizers import EMA


def model(dtype="float64"):
    return xpcnn.Sequential(L.Linear(3, 4), L.BatchNorm1d(4), L.Linear(4, 2), dtype=dtype, seed=1)


def torch_model(torch):
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)).double()
    net.load_state_dict({name: torch.asarray(np.array(a)) for name, a in model().state_dict().items()})
    return net


def numbers(shape, seed):
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape)


def wander(net, steps=6):
    """Other weights and statistics at each step."""
    for step in range(steps):
        for arrays in (net.params, net.buffers):
            for i, (name, p) in enumerate(list(arrays.items())):
                if "tracked" in name:
                    arrays[name] = np.asarray(p + 1)
                else:
                    arrays[name] = device_like(p).asarray(np.abs(numbers(tuple(p.shape), 100 * step + i)), str(p.dtype))
        yield


@pytest.mark.oracle
@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("decay", [0.9, 0.0, 1.0])
def test_average_is_torchs(decay, use_buffers):
    torch = pytest.importorskip("torch")
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    ours, theirs, ema = model(), torch_model(torch), EMA(decay, use_buffers=use_buffers)
    averaged = AveragedModel(theirs, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=use_buffers)
    for _ in wander(ours):
        theirs.load_state_dict({name: torch.asarray(np.array(a)) for name, a in ours.state_dict().items()})
        ema.update(ours)
        averaged.update_parameters(theirs)
    with ema.applied(ours):
        got = {name: np.array(a) for name, a in ours.state_dict().items()}
    for name, a in averaged.module.state_dict().items():
        if "tracked" not in name:  # PyTorch averages this count and cuts it off
            np.testing.assert_allclose(got[name], a.numpy(), rtol=0, atol=1e-14)


def test_bias_corrected_average_is_the_weighted_mean_of_all():
    net, ema, seen = model(), EMA(0.8, bias_correction=True), []
    for _ in wander(net):
        ema.update(net)
        seen.append(np.array(net.params["0.weight"]))
        share = 0.8 ** np.arange(len(seen))[::-1]
        np.testing.assert_allclose(ema.state["0.weight"], np.tensordot(share / share.sum(), seen, 1), atol=1e-14)


@pytest.mark.parametrize("use_buffers", [False, True])
def test_applied_gives_the_weights_back_bit_by_bit(use_buffers):
    net, ema = model(), EMA(0.5, use_buffers=use_buffers)
    for _ in wander(net, 3):
        ema.update(net)
    before, held = {k: np.array(a) for k, a in net.state_dict().items()}, dict(net.params)
    with ema.applied(net):
        inside = net.state_dict()
        for name in net.params:
            np.testing.assert_array_equal(inside[name], ema.state[name])
            assert net.params[name] is held[name]
        assert np.array_equal(inside["1.running_var"], before["1.running_var"]) == (not use_buffers)
    for name, a in net.state_dict().items():
        np.testing.assert_array_equal(a, before[name])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_weights_come_back_after_an_error(error):
    net, ema = model(), EMA(0.5, use_buffers=True)
    for _ in wander(net, 3):
        ema.update(net)
    before = {k: np.array(a) for k, a in net.state_dict().items()}
    with pytest.raises(error), ema.applied(net):
        raise error
    for name, a in net.state_dict().items():
        np.testing.assert_array_equal(a, before[name])


def test_model_is_what_predicts_inside():
    net, ema, x = model(), EMA(0.5), numbers((5, 3), 1)
    for _ in wander(net, 3):
        ema.update(net)
    other = model()
    other.load_state_dict({**net.state_dict(), **ema.state})
    with ema.applied(net):
        np.testing.assert_array_equal(net(x), other(x))
    assert not np.array_equal(net(x), other(x))


def test_model_and_averages_share_no_memory():
    net, ema = model(), EMA(0.5, use_buffers=True)
    ema.update(net)
    arrays = {**net.params, **net.buffers}
    with ema.applied(net):
        for name, a in ema.state.items():
            assert not np.shares_memory(a, arrays[name])
            assert not np.shares_memory(a, {**net.params, **net.buffers}[name])


def test_averages_move_with_the_model_also_inside(place):
    net, ema = model(), EMA(0.5)
    ema.update(net)
    first = {k: np.array(p) for k, p in net.params.items()}
    net.to(like=place(np.zeros(1)))
    ema.update(net)
    for name, a in ema.state.items():
        assert type(a) is type(net.params[name])
        np.testing.assert_allclose(to_numpy(a), first[name], rtol=1e-15)
    with ema.applied(net):
        net.to("cpu")
    for name, p in net.params.items():
        np.testing.assert_array_equal(p, first[name])


def test_float32_stays_float32_and_nothing_is_read(monkeypatch):
    strict = pytest.importorskip("array_api_strict")
    net, ema = model("float32"), EMA(0.9, use_buffers=True, bias_correction=True)
    net.to(like=strict.zeros(1, device=strict.Device("device1")))
    ema.update(net)
    with monkeypatch.context() as patch:
        forbid_reading(patch, net.params["0.bias"])
        ema.update(net)
        with ema.applied(net):
            pass
    assert {str(a.dtype) for name, a in ema.state.items() if "tracked" not in name} == {"array_api_strict.float32"}


def test_averages_are_put_in_without_asking_for_all_weights_again_for_each_of_them():
    class Counting:
        def __init__(self, net):
            self.net, self.asked, self.buffers = net, 0, net.buffers

        @property
        def params(self):
            self.asked += 1
            return self.net.params

    counting, ema = Counting(model()), EMA(0.5)
    ema.update(counting)
    counting.asked = 0
    with ema.applied(counting):
        pass
    assert counting.asked <= 3


def test_read_only_weights_are_replaced_and_come_back():
    net, ema = model(), EMA(0.5)
    ema.update(net)
    for p in net.params.values():
        p.flags.writeable = False
    before = {name: np.array(p) for name, p in net.params.items()}
    ema.state["0.bias"] += 1.0
    with ema.applied(net):
        np.testing.assert_array_equal(net.params["0.bias"], before["0.bias"] + 1.0)
    np.testing.assert_array_equal(net.params["0.bias"], before["0.bias"])


def test_averages_of_another_model_and_none_are_refused():
    net, ema = model(), EMA()
    with pytest.raises(StateError, match=r"EMA.applied: expected averages, got none yet"), ema.applied(net):
        pass
    ema.update(net)
    other = xpcnn.Sequential(L.Linear(3, 4), L.BatchNorm1d(4), L.Linear(4, 3), dtype="float64")
    fewer = xpcnn.Sequential(L.Linear(3, 4), dtype="float64")
    with pytest.raises(ShapeError, match=r"EMA: expected '2.weight' of shape \(2, 4\) as before, got \(3, 4\)"):
        ema.update(other)
    with pytest.raises(ShapeError), ema.applied(other):
        pass
    with pytest.raises(StateDictError, match=r"unexpected \['1.weight'"), ema.applied(fewer):
        pass
    with pytest.raises(ConfigError, match="EMA: expected a model or layer, got int"):
        ema.update(3)
    assert ema.steps == 1


@pytest.mark.parametrize("settings", [{"decay": 1.1}, {"decay": -0.1}, {"use_buffers": 1}, {"bias_correction": "yes"}])
def test_bad_settings_are_refused(settings):
    with pytest.raises(ConfigError, match=f"EMA: expected {next(iter(settings))}"):
        EMA(**settings)


def test_config_rebuilds_it_through_json():
    ema = EMA(0.99, bias_correction=True)
    assert repr(optimizers.from_config(json.loads(json.dumps(ema.config())))) == repr(ema)
