"""Loss scaling: PyTorch's scale step by step, and steps that are as if they had never been."""

import numpy as np
import pytest

from tests.optimizers.helpers import example, forbid_reading, hosted, placed
from tests.optimizers.test_base import MAKERS
from xpcnn.backend import to_numpy
from xpcnn.errors import ConfigError, DtypeError
from xpcnn.optimizers import SGD, Accumulate, Adam, LossScale, NAdam, ParamGroups, StepLR

SMALL = {"init_scale": 8.0, "growth_factor": 4.0, "backoff_factor": 0.25, "growth_interval": 3}


def gradients(seed, scale, bad=None, dtype="float32"):
    """Gradients as they come from a model, times the scale; `bad` stands at one place of one of them."""
    grads = {name: g * np.float32(scale) for name, g in example(dtype, seed).items()}
    if bad is not None:
        grads["1.weight"][1, 2] = bad
    return grads


def step(scale, optimizer, params, seed, bad=None, place=np.array):
    factor = scale.init_scale if scale.scale is None else float(to_numpy(scale.scale))
    grads = placed(place, gradients(seed, factor, bad))
    scale.update(optimizer, params, scale.unscaled(grads))


def test_settings_are_pytorchs():
    assert LossScale().config() == {
        "name": "LossScale",
        "init_scale": 2.0**16,
        "growth_factor": 2.0,
        "backoff_factor": 0.5,
        "growth_interval": 2000,
    }


def test_scaled_and_unscaled_are_the_scale_and_its_inverse(place):
    scale, grads = LossScale(), placed(place, example("float32"))
    for name, g in grads.items():
        product = scale.scaled(g)
        assert np.array_equal(hosted({name: product})[name], example("float32")[name] * 2.0**16)
        assert np.array_equal(hosted(scale.unscaled({name: product}))[name], example("float32")[name])
        assert product.dtype == g.dtype
    assert scale.unscaled({}) == {}


@pytest.mark.parametrize("bad", [-np.inf, np.nan])
@pytest.mark.parametrize("name", MAKERS)
def test_a_step_left_out_has_never_been(name, bad, place):
    """The first step of all, which makes the state, is left out too."""
    make = MAKERS[name]
    scale, optimizer, params = LossScale(), make(), placed(place, example("float32"))
    plain, theirs = make(), placed(place, example("float32"))
    before = dict(params)
    first = name == "dampening"  # which spares the first gradient
    for seed, good in enumerate([first, True, False, False, True, True]):
        step(scale, optimizer, params, seed, None if good else bad, place)
        if good:
            plain.update(theirs, placed(place, example("float32", seed)))
    for own, p in hosted(params).items():
        assert np.array_equal(p, hosted(theirs)[own]), own
        assert params[own] is before[own]
    for own, slots in plain.state.items():
        for slot, value in hosted(slots).items():
            assert np.array_equal(value, hosted(optimizer.state[own])[slot]), (own, slot)
    assert float(to_numpy(scale.scale)) == 2.0 ** (14 if first else 13)


@pytest.mark.parametrize("extras", [{}, {"clip_value": 0.4, "clip_norm": 0.8}], ids=["", "clipped"])
def test_groups_are_left_out_together(extras):
    """Only one group has a gradient that is not finite."""

    def make():
        accumulated = Accumulate(NAdam(lr=0.1), every=1)
        return ParamGroups({"0.w*": NAdam(lr=0.1), "0.b*": accumulated}, rest=SGD(lr=0.1, momentum=0.5), **extras)

    optimizer, params, scale = make(), example("float32"), LossScale()
    step(scale, optimizer, params, 1, np.inf)
    assert all(np.array_equal(p, example("float32")[name]) for name, p in params.items())
    step(scale, optimizer, params, 1)
    plain, theirs = make(), example("float32")
    plain.update(theirs, example("float32", 1))
    for name, p in params.items():
        assert np.array_equal(p, theirs[name])
        for slot, value in plain.state[name].items():
            assert np.array_equal(optimizer.state[name][slot], value), (name, slot)


def test_a_batch_left_out_counts_as_zeros_where_gradients_accumulate():
    params, scale, optimizer = {"w": np.zeros(2, dtype="float32")}, LossScale(), Accumulate(SGD(lr=1.0), every=3)
    for g in (np.inf, 3.0, 6.0):
        scale.update(optimizer, params, scale.unscaled({"w": scale.scaled(np.full(2, g, dtype="float32"))}))
    assert params["w"].tolist() == [-3.0, -3.0]
    assert optimizer.waiting == 0
    for g in (3.0, np.nan):
        scale.update(optimizer, params, scale.unscaled({"w": scale.scaled(np.full(2, g, dtype="float32"))}))
    optimizer.flush(params)
    assert params["w"].tolist() == [-4.5, -4.5]


def test_schedules_count_steps_that_are_left_out():
    params, scale, optimizer = example("float32"), LossScale(), SGD(lr=StepLR(1.0, step_size=2))
    for seed in range(2):
        step(scale, optimizer, params, seed, np.inf)
    assert (optimizer.steps, optimizer.current_lr()) == (2, 0.1)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "bad", [{}, {0}, {0, 1, 2}, {3}, {4, 9}, {7, 8, 13}, set(range(24))], ids=lambda bad: str(sorted(bad))
)
@pytest.mark.parametrize("settings", [SMALL, {**SMALL, "init_scale": 2.0**126}], ids=["", "at the end of float32"])
def test_scale_count_and_weights_are_those_of_torchs_grad_scaler(bad, settings):
    torch = pytest.importorskip("torch")
    theirs = torch.amp.GradScaler("cpu", **settings)
    p = torch.nn.Parameter(torch.from_numpy(example("float32")["0.weight"]).clone())
    optimizer = torch.optim.Adam([p], lr=0.1)
    ours, params, adam = LossScale(**settings), {"w": example("float32")["0.weight"]}, Adam(lr=0.1)
    for i in range(24):
        g = example("float32", i)["0.weight"] * np.float32(0.01)
        if i in bad:
            g[1, 0, 1, 0] = np.inf
        optimizer.zero_grad()
        theirs.scale((p * torch.from_numpy(g)).sum()).backward()
        theirs.step(optimizer)
        theirs.update()
        with np.errstate(over="ignore"):
            grads = {"w": ours.scaled(np.float32(1.0) * g)}
        ours.update(adam, params, ours.unscaled(grads))
        assert float(ours.scale) == theirs.get_scale()
        assert int(ours.good) == theirs._get_growth_tracker()
        np.testing.assert_allclose(params["w"], p.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_nothing_is_read_and_the_state_stays_in_its_arrays(monkeypatch):
    """So that a captured step can be replayed."""
    strict = pytest.importorskip("array_api_strict")

    def place(x):
        return strict.asarray(x, device=strict.Device("device1"), copy=True)

    scale, optimizer, params = LossScale(**SMALL), Adam(lr=0.1, clip_norm=1.0), placed(place, example("float32"))
    steps = [placed(place, gradients(seed, 8.0, bad)) for seed, bad in enumerate((None, np.inf, None))]
    scale.update(optimizer, params, scale.unscaled(steps[0]))
    held = [scale.scale, scale.good, *params.values(), *(a for s in optimizer.state.values() for a in s.values())]
    with monkeypatch.context() as patch:
        forbid_reading(patch, steps[0]["0.bias"])
        for grads in steps[1:]:
            scale.update(optimizer, params, scale.unscaled(grads))
    now = [scale.scale, scale.good, *params.values(), *(a for s in optimizer.state.values() for a in s.values())]
    assert all(a is b for a, b in zip(held, now, strict=True))
    assert float(scale.scale) == 2.0
    assert int(scale.good) == 1


def test_the_scale_follows_its_gradients_to_another_device():
    strict = pytest.importorskip("array_api_strict")
    scale = LossScale()
    for device in ("device1", "device2"):
        g = strict.ones(2, dtype=strict.float32, device=strict.Device(device))
        assert scale.scaled(g).device == scale.scale.device == strict.Device(device)


def test_what_does_not_fit_is_refused_before_anything_changes():
    scale, optimizer, params = LossScale(), Adam(lr=0.1), example("float32")
    with pytest.raises(DtypeError):
        scale.update(optimizer, params, example("float64"))
    with pytest.raises(ConfigError, match="expected an Optimizer"):
        scale.update("adam", params, example("float32"))
    assert optimizer.state == {}
    assert optimizer.steps == 0
    assert scale.scale is None
    scale.update(optimizer, {}, {})
    assert optimizer.steps == 1


@pytest.mark.parametrize(
    "settings",
    [{"init_scale": 0.0}, {"growth_factor": 1.0}, {"backoff_factor": 1.0}, {"growth_interval": 0}, {"init_scale": "x"}],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError):
        LossScale(**settings)


def test_the_scale_grows_after_so_many_good_steps_in_a_row_and_never_to_infinity():
    scale, optimizer = LossScale(**SMALL), SGD(0.1)
    params = {name: np.array(p) for name, p in example("float32").items()}
    found = []
    for i, bad in enumerate([None, None, np.inf, None, None, None, None]):
        step(scale, optimizer, params, i, bad)
        found.append((float(scale.scale), int(scale.good)))
    # two good steps, one bad, three good in a row, and one more
    assert found == [(8.0, 1), (8.0, 2), (2.0, 0), (2.0, 1), (2.0, 2), (8.0, 0), (8.0, 1)]
    high = LossScale(init_scale=2.0**127, growth_factor=4.0, growth_interval=1)
    high.update(optimizer, params, {name: g * 0.0 for name, g in params.items()})
    assert float(high.scale) == 2.0**127
