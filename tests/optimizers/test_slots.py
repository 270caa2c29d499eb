"""All that an optimizer holds, by paths: another one that gets it goes on as if it were the first."""

import json

import numpy as np
import pytest

from tests.optimizers.helpers import example, hosted, placed
from tests.optimizers.test_base import CLIPPING, MAKERS
from xpcnn import Linear
from xpcnn.backend import to_numpy
from xpcnn.errors import ConfigError, StateDictError
from xpcnn.optimizers import (
    EMA,
    SGD,
    Accumulate,
    Adam,
    ChainedScheduler,
    LinearWarmup,
    LossScale,
    Muon,
    NAdam,
    ParamGroups,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)


def plateaus(optimizer):
    """All plateaus inside."""
    inside = [one for part in optimizer.parts().values() for one in plateaus(part)]
    return inside + ([optimizer] if isinstance(optimizer, ReduceLROnPlateau) else [])


def watching(patience):
    return ReduceLROnPlateau(0.2, factor=0.5, patience=patience)


WRAPPED = {
    "accumulated": lambda: Accumulate(Adam(lr=0.1, **CLIPPING), every=3),
    "groups": lambda: ParamGroups(
        {"0.w*": Accumulate(NAdam(lr=0.1), every=2), "ndim<2": {"lr": 0.5}}, rest=SGD(lr=0.1, momentum=0.5)
    ),
    "groups inside": lambda: Accumulate(ParamGroups({"ndim>=2": Muon(lr=0.1)}, rest=Adam()), every=2),
    "plateau": lambda: SGD(lr=watching(1), momentum=0.5),
    "warm plateau": lambda: Adam(lr=LinearWarmup(watching(0), steps=2)),
    "plateaus in a row": lambda: SGD(lr=SequentialLR([0.5, watching(0), watching(2)], milestones=[1, 6])),
    "plateau times steps": lambda: SGD(lr=ChainedScheduler([StepLR(1.0, step_size=2), watching(0)])),
}
EVERY = {**MAKERS, **WRAPPED}


def run(optimizer, params, seeds, place):
    for seed in seeds:
        optimizer.update(params, placed(place, example("float32", seed)))
        for plateau in plateaus(optimizer):
            plateau.observe(1.0 + seed)


@pytest.mark.parametrize("stop", [0, 1, 4])
@pytest.mark.parametrize("name", EVERY)
def test_another_one_goes_on_with_the_bits_of_the_first(name, stop, place):
    make = EVERY[name]
    first, params = make(), placed(place, example("float32"))
    run(first, params, range(stop), place)
    # as a file would keep it
    slots, counts = hosted(first.slots()), json.loads(json.dumps(first.counts()))
    second, theirs = make(), placed(place, hosted(params))
    second.load_slots(slots, counts)
    assert second.counts() == first.counts()
    assert second.current_lr() == first.current_lr()
    for optimizer, arrays in ((first, params), (second, theirs)):
        run(optimizer, arrays, range(stop, stop + 6), place)
        optimizer.flush(arrays)
    for own, p in hosted(params).items():
        assert np.array_equal(p, hosted(theirs)[own]), own
    found, expected = hosted(second.slots()), hosted(first.slots())
    assert found.keys() == expected.keys()
    assert all(np.array_equal(a, found[path]) for path, a in expected.items())
    assert (second.counts(), second.current_lr()) == (first.counts(), first.current_lr())


@pytest.mark.parametrize("name", EVERY)
def test_every_array_that_a_step_changes_is_among_them_and_no_other(name):
    """By looking at all that is held, wherever it is."""

    def found(value, seen):
        if isinstance(value, np.ndarray):
            return {id(value)}
        if id(value) in seen:
            return set()
        seen.add(id(value))
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
        inside = vars(value).values() if hasattr(value, "__dict__") and not callable(value) else inside
        return {i for one in inside for i in found(one, seen)}

    optimizer, params = EVERY[name](), example("float32")
    run(optimizer, params, range(4), np.array)
    assert {id(a) for a in optimizer.slots().values()} == found(optimizer, set())


def test_paths_name_the_part_the_parameter_and_the_slot():
    params, grads = ({"0.weight": np.ones((2, 2)), "0.bias": np.ones(2)} for _ in range(2))
    optimizer = ParamGroups({"ndim<2": SGD(momentum=0.5)}, rest=Accumulate(Adam(lr=watching(0)), every=2))
    optimizer.update(params, grads)
    optimizer.update(params, grads)
    adam = ("step", "exp_avg", "exp_avg_sq")
    assert set(optimizer.slots()) == {
        "0/state/0.bias/momentum_buffer",
        "1/sums/0.weight",
        *(f"1/optimizer/state/0.weight/{slot}" for slot in adam),
    }
    assert optimizer.counts() == {
        "0/steps": 2,
        "1/waiting": 0,
        "1/optimizer/steps": 1,
        "1/optimizer/lr/lr": 0.2,
        "1/optimizer/lr/best": None,
        "1/optimizer/lr/bad": 0,
        "1/optimizer/lr/cooling": 0,
    }


def test_a_name_may_hold_slashes():
    one, other = SGD(momentum=0.5), SGD(momentum=0.5)
    one.update({"a/b/c": np.ones(2)}, {"a/b/c": np.ones(2)})
    other.load_slots(one.slots(), one.counts())
    assert other.state["a/b/c"]["momentum_buffer"].tolist() == [1.0, 1.0]


def test_what_is_loaded_is_a_copy_and_what_is_given_is_not():
    one, other = (Adam() for _ in range(2))
    one.update(example(), example(seed=1))
    assert one.slots()["state/0.bias/exp_avg"] is one.state["0.bias"]["exp_avg"]
    other.load_slots(one.slots(), one.counts())
    assert not np.shares_memory(other.state["0.bias"]["exp_avg"], one.state["0.bias"]["exp_avg"])


def test_averages_and_the_scale_of_losses_have_them_too():
    model, ema, scale, optimizer = Linear(2, 2), EMA(0.5, bias_correction=True), LossScale(init_scale=8.0), SGD()
    for _ in range(2):
        ema.update(model)
        scale.update(optimizer, model.params, scale.unscaled({n: p * 0.0 for n, p in model.params.items()}))
    assert set(ema.slots()) == {"state/weight", "state/bias"}
    assert {name: float(to_numpy(a)) for name, a in scale.slots().items()} == {"scale": 8.0, "good": 2.0}
    again, factor = EMA(0.5, bias_correction=True), LossScale()
    again.load_slots(ema.slots(), ema.counts())
    factor.load_slots(scale.slots(), scale.counts())
    assert again.steps == 2
    assert np.array_equal(again.state["weight"], ema.state["weight"])
    assert (float(factor.scale), int(factor.good)) == (8.0, 2)
    factor.load_slots({}, {})
    assert factor.scale is None


@pytest.mark.parametrize(
    ("slots", "counts", "error", "match"),
    [
        ({}, {}, StateDictError, r"none of \['0/steps'"),
        ({}, {"extra": 1}, StateDictError, r"unexpected \['extra'\]"),
        ({"2/state/w/v": np.ones(1)}, None, StateDictError, r"unexpected \['2/state/w/v'\]"),
        ({"0/stat/w/v": np.ones(1)}, None, StateDictError, r"unexpected \['0/stat/w/v'\]"),
        ({}, {"1/optimizer/steps": -1}, ConfigError, "steps"),
        ({}, {"1/waiting": 2}, ConfigError, "waiting"),
        ({}, {"0/steps": 1.5}, ConfigError, "steps"),
    ],
)
def test_what_has_no_place_is_refused_and_nothing_changes(slots, counts, error, match):
    optimizer = ParamGroups({"0.*": SGD(momentum=0.5)}, rest=Accumulate(Adam(), every=2))
    optimizer.update(example(), example(seed=1))
    before, numbers = optimizer.slots(), optimizer.counts()
    given = numbers if counts is None else {**numbers, **counts} if counts and "extra" not in counts else counts
    with pytest.raises(error, match=match):
        optimizer.load_slots(slots, given)
    now = optimizer.slots()
    assert optimizer.counts() == numbers
    assert now.keys() == before.keys()
    assert all(now[path] is a for path, a in before.items())


def test_what_a_plateau_has_seen_is_counted_inside_of_a_warm_up_too():
    optimizer = SGD(lr=LinearWarmup(watching(0), steps=2))
    assert {"lr/lr/best", "lr/lr/bad", "lr/lr/cooling", "lr/lr/lr", "steps"} == set(optimizer.counts())
