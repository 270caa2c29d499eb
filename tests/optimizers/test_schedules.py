"""Schedules: pure functions of the step, compared with PyTorch's schedulers where PyTorch is there."""

import inspect
import json
import math

import numpy as np
import pytest

from xpcnn import optimizers
from xpcnn.errors import ConfigError
from xpcnn.optimizers import (
    SGD,
    ChainedScheduler,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearWarmup,
    OneCycleLR,
    ReduceLROnPlateau,
    Schedule,
    SequentialLR,
    StepLR,
)


def torch_values(make, lr, steps):
    """Learning rates that a scheduler of PyTorch sets for the steps 0, 1, ..."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, values = make(torch.optim.lr_scheduler, optimizer), []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


@pytest.mark.oracle
def test_step_is_torchs():
    expected = torch_values(lambda torch, opt: torch.StepLR(opt, step_size=3, gamma=0.5), 0.2, 20)
    schedule = StepLR(0.2, step_size=3, gamma=0.5)
    assert [schedule(t) for t in range(20)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("eta_min", [0.0, 0.03])
def test_cosine_is_torchs_up_to_its_end(eta_min):
    expected = torch_values(lambda torch, opt: torch.CosineAnnealingLR(opt, T_max=12, eta_min=eta_min), 0.2, 13)
    schedule = CosineAnnealingLR(0.2, T_max=12, eta_min=eta_min)
    assert [schedule(t) for t in range(13)] == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.oracle
@pytest.mark.parametrize("start_factor", [1 / 3, 0.01, 1.0])
def test_warmup_is_torchs(start_factor):
    expected = torch_values(lambda torch, opt: torch.LinearLR(opt, start_factor, total_iters=5), 0.2, 12)
    schedule = LinearWarmup(0.2, steps=5, start_factor=start_factor)
    assert [schedule(t) for t in range(12)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.oracle
def test_warmup_and_cosine_are_torchs_sequence():
    def make(torch, opt):
        parts = [torch.LinearLR(opt, 0.1, total_iters=5), torch.CosineAnnealingLR(opt, T_max=10)]
        return torch.SequentialLR(opt, parts, milestones=[5])

    expected = torch_values(make, 0.2, 16)
    schedule = LinearWarmup(CosineAnnealingLR(0.2, T_max=10), steps=5, start_factor=0.1)
    assert [schedule(t) for t in range(16)] == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_step_by_hand():
    schedule = StepLR(1.0, step_size=2, gamma=0.1)
    assert [schedule(t) for t in range(5)] == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01])


def test_cosine_holds_its_lowest_value():
    schedule = CosineAnnealingLR(1.0, T_max=4, eta_min=0.5)
    root = math.sqrt(0.5)
    expected = [1.0, 0.75 + 0.25 * root, 0.75, 0.75 - 0.25 * root, 0.5, 0.5]
    assert [schedule(t) for t in range(6)] == pytest.approx(expected, rel=1e-15)
    assert schedule(10**9) == 0.5


def test_warmup_follows_its_schedule_from_the_beginning():
    schedule = LinearWarmup(StepLR(1.0, step_size=2, gamma=0.5), steps=2, start_factor=0.5)
    assert [schedule(t) for t in range(6)] == [0.5, 0.75, 1.0, 1.0, 0.5, 0.5]


def test_warmup_takes_a_function():
    assert LinearWarmup(lambda step: 1.0 + step, steps=2, start_factor=0.5)(5) == 4.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: StepLR(0.0, 1),
        lambda: StepLR(math.nan, 1),
        lambda: StepLR(0.1, 0),
        lambda: StepLR(0.1, 1.5),
        lambda: StepLR(0.1, True),
        lambda: StepLR(0.1, 1, gamma=0.0),
        lambda: StepLR(0.1, 1, gamma=-1),
    ],
)
def test_bad_step_settings_are_refused(make):
    with pytest.raises(ConfigError, match=r"^StepLR: expected"):
        make()


@pytest.mark.parametrize(
    "settings",
    [{"lr": math.inf}, {"lr": -1}, {"T_max": 0}, {"T_max": "10"}, {"eta_min": -0.1}, {"eta_min": 0.2}, {"lr": None}],
)
def test_bad_cosine_settings_are_refused(settings):
    with pytest.raises(ConfigError, match=f"^CosineAnnealingLR: expected {next(iter(settings))}"):
        CosineAnnealingLR(**{"lr": 0.1, "T_max": 10, **settings})


@pytest.mark.parametrize("settings", [{"lr": 0}, {"steps": 0}, {"start_factor": 0.0}, {"start_factor": 1.1}])
def test_bad_warmup_settings_are_refused(settings):
    with pytest.raises(ConfigError, match=f"^LinearWarmup: expected {next(iter(settings))}"):
        LinearWarmup(**{"lr": 0.1, "steps": 10, **settings})


@pytest.mark.oracle
@pytest.mark.parametrize("gamma", [0.9, 1.0, 1.1])
def test_exponential_is_torchs(gamma):
    expected = torch_values(lambda torch, opt: torch.ExponentialLR(opt, gamma=gamma), 0.2, 30)
    assert [ExponentialLR(0.2, gamma)(t) for t in range(30)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("eta_min", [0.0, 0.03])
@pytest.mark.parametrize(("first", "times"), [(1, 1), (5, 1), (3, 2), (1, 3), (4, 3)])
def test_restarts_are_torchs(first, times, eta_min):
    def make(torch, opt):
        return torch.CosineAnnealingWarmRestarts(opt, T_0=first, T_mult=times, eta_min=eta_min)

    schedule = CosineAnnealingWarmRestarts(0.2, first, times, eta_min)
    expected = torch_values(make, 0.2, 60)
    assert [schedule(t) for t in range(60)] == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_restarts_are_exact_far_out():
    schedule = CosineAnnealingWarmRestarts(1.0, T_0=10, T_mult=3)
    starts = [10 * (3**i - 1) // 2 for i in range(30)]
    assert [schedule(t) for t in starts] == [1.0] * 30
    assert max(schedule(t - 1) for t in starts[1:]) < 0.03


@pytest.mark.oracle
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize(("total", "start"), [(20, 0.3), (21, 0.25), (10, 0.5), (7, 0.4), (50, 0.123)])
def test_one_cycle_is_torchs(total, start, strategy, three_phase):
    def make(torch, opt):
        return torch.OneCycleLR(
            opt, 0.7, total_steps=total + 1, pct_start=start, anneal_strategy=strategy, cycle_momentum=False,
            div_factor=10.0, final_div_factor=50.0, three_phase=three_phase,
        )  # fmt: skip

    # one step more, because PyTorch's is asked once more after the last
    schedule = OneCycleLR(0.7, total + 1, start, strategy, 10.0, 50.0, three_phase)
    expected = torch_values(make, 0.2, total + 1 - 1)
    assert [schedule(t) for t in range(total)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("start", [0.0, 1.0])
def test_one_cycle_that_only_falls_or_only_rises_is_torchs(start):
    expected = torch_values(lambda torch, opt: torch.OneCycleLR(opt, 0.7, 12, pct_start=start), 0.2, 11)
    assert [OneCycleLR(0.7, 12, pct_start=start)(t) for t in range(11)] == pytest.approx(expected, rel=1e-12)


def test_one_cycle_ends_at_its_lowest_value_and_holds_it():
    schedule = OneCycleLR(1.0, total_steps=10, div_factor=10.0, final_div_factor=100.0)
    assert [schedule(t) for t in (9, 10, 10**9)] == pytest.approx([1e-3] * 3, rel=1e-15)
    assert max(schedule(t) for t in range(10)) == schedule(2) == 1.0
    for steps in (1, 2, 3):  # where two points fall on one step
        for start in (0.0, 0.3, 0.5, 1.0):
            assert all(math.isfinite(OneCycleLR(1.0, steps, start)(t)) for t in range(5))


@pytest.mark.oracle
def test_sequence_is_torchs():
    def make(torch, opt):
        parts = [torch.ConstantLR(opt, 1.0), torch.ExponentialLR(opt, 0.9), torch.StepLR(opt, 2, 0.5)]
        return torch.SequentialLR(opt, parts, milestones=[3, 9])

    expected = torch_values(make, 0.2, 18)
    schedule = SequentialLR([0.2, ExponentialLR(0.2, 0.9), StepLR(0.2, 2, 0.5)], milestones=[3, 9])
    assert [schedule(t) for t in range(18)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.oracle
def test_chain_is_torchs():
    def make(torch, opt):
        cosine = torch.CosineAnnealingLR(opt, T_max=20)
        return torch.ChainedScheduler([torch.LinearLR(opt, 0.1, total_iters=5), cosine, torch.StepLR(opt, 4, 0.5)])

    expected = torch_values(make, 0.2, 20)
    schedule = ChainedScheduler([LinearWarmup(0.2, 5, 0.1), CosineAnnealingLR(1.0, T_max=20), StepLR(1.0, 4, 0.5)])
    assert [schedule(t) for t in range(20)] == pytest.approx(expected, rel=1e-12, abs=1e-15)


def metrics(n=60):
    """A loss that falls, stays, jumps and falls again, the same on every machine."""
    noise = [((i * 2654435761) % 2**32) / 2**32 for i in range(n)]
    return [1.0 / (1 + i % 25) + 0.05 * noise[i] - 0.2 * (i > 30) for i in range(n)]


@pytest.mark.oracle
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"patience": 2},
        {"patience": 0, "factor": 0.5, "min_lr": 0.01},
        {"patience": 1, "factor": 0.5, "cooldown": 3},
        {"patience": 1, "mode": "max", "factor": 0.7},
        {"patience": 1, "threshold": 0.1, "factor": 0.7},
        {"patience": 1, "threshold": 0.1, "threshold_mode": "abs", "factor": 0.7},
        {"patience": 1, "threshold": 0.1, "threshold_mode": "abs", "mode": "max", "factor": 0.7},
        {"patience": 1, "threshold": 0.2, "mode": "max", "factor": 0.7},
        {"patience": 0, "factor": 0.5, "eps": 0.02},
        {"patience": 0, "factor": 0.0},
    ],
    ids=str,
)
def test_plateau_is_torchs(settings):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    theirs, ours = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **settings), ReduceLROnPlateau(0.2, **settings)
    for value in metrics():
        before = ours.current
        theirs.step(value)
        assert ours.observe(value) == (ours.current < before)
        assert ours(0) == optimizer.param_groups[0]["lr"]


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "first"), [("ReduceLROnPlateau", 1), ("ExponentialLR", 1), ("StepLR", 1),
    ("CosineAnnealingLR", 1), ("CosineAnnealingWarmRestarts", 1)])  # fmt: skip
def test_arguments_are_torchs_in_name_order_and_default(name, first):
    torch = pytest.importorskip("torch")
    ours = list(inspect.signature(getattr(optimizers, name)).parameters.values())[first:]
    theirs = list(inspect.signature(getattr(torch.optim.lr_scheduler, name)).parameters.values())[1:]
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs[: len(ours)]]


def test_plateau_reads_arrays_and_takes_nothing_for_better_that_is_not_finite():
    plateau = ReduceLROnPlateau(1.0, factor=0.5, patience=0)
    values = [math.nan, np.asarray(2.0), math.inf, math.nan, -math.inf, np.float32(1.0)]
    assert [plateau.observe(value) for value in values] == [True, False, True, True, True, False]
    assert plateau.current == 0.5**4


def test_plateau_counts_nothing_as_bad_while_it_cools_down():
    # two bad ones reduce; then two are free, and only the third and fourth after them are bad again
    plateau = ReduceLROnPlateau(1.0, factor=0.5, patience=1, cooldown=2)
    assert [plateau.observe(1.0) for _ in range(9)] == [False, False, True, False, False, False, True, False, False]


def test_plateau_goes_on_from_its_state():
    straight, first, again = (ReduceLROnPlateau(0.2, factor=0.5, patience=1, cooldown=2) for _ in range(3))
    for value in metrics()[:40]:
        straight.observe(value)
        first.observe(value)
    again.state = json.loads(json.dumps(first.state))
    for value in metrics()[40:]:
        assert straight.observe(value) == again.observe(value)
        assert straight.state == again.state
    for wrong in (None, {}, {**first.state, "lr": "high"}, {**first.state, "bad": -1}):
        with pytest.raises(ConfigError, match="ReduceLROnPlateau: expected state"):
            again.state = wrong
    assert again.state == straight.state


def test_plateau_lowers_the_rate_of_an_optimizer_also_behind_a_warmup():
    plateau = ReduceLROnPlateau(0.5, factor=0.1, patience=0)
    opt, warm, params = SGD(lr=plateau), SGD(lr=LinearWarmup(plateau, 2, 0.5)), {"w": np.zeros(1)}
    for value in (1.0, 2.0):
        opt.update(params, {"w": np.ones(1)})
        plateau.observe(value)
    assert opt.current_lr() == 0.05
    assert [warm.lr(t) for t in (0, 2)] == pytest.approx([0.025, 0.05])


SCHEDULES = [
    StepLR(0.1, 3),
    ExponentialLR(0.1, 0.9),
    CosineAnnealingLR(0.1, 9),
    CosineAnnealingWarmRestarts(0.1, 3, 2),
    OneCycleLR(0.1, 9, three_phase=True, anneal_strategy="linear"),
    ReduceLROnPlateau(0.1, cooldown=3),
    LinearWarmup(StepLR(0.1, 3), 2),
    SequentialLR([0.1, LinearWarmup(StepLR(0.1, 3), 2)], [4]),
    ChainedScheduler([0.5, SequentialLR([0.1, ExponentialLR(0.1, 0.9)], [4])]),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_config_rebuilds_the_schedule_through_json(schedule):
    again = optimizers.from_config(json.loads(json.dumps(schedule.config())))
    assert repr(again) == repr(schedule)
    assert [again(t) for t in range(12)] == [schedule(t) for t in range(12)]
    assert all(type(schedule(t)) is float for t in range(12))


def test_every_schedule_is_among_them():
    kinds = {x for x in vars(optimizers).values() if inspect.isclass(x) and issubclass(x, Schedule)}
    assert kinds - {Schedule} == {type(schedule) for schedule in SCHEDULES}


@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        *((ExponentialLR, {"lr": 0.1, "gamma": 0.9, **bad}) for bad in ({"lr": 0}, {"gamma": 0.0})),
        *((CosineAnnealingWarmRestarts, {"lr": 0.1, "T_0": 3, **bad}) for bad in
          ({"lr": -1}, {"T_0": 0}, {"T_mult": 0}, {"T_mult": 1.5}, {"eta_min": 0.2}, {"eta_min": -0.1})),
        *((OneCycleLR, {"max_lr": 0.1, "total_steps": 3, **bad}) for bad in
          ({"max_lr": 0}, {"total_steps": 0}, {"pct_start": 1.1}, {"pct_start": -0.1}, {"anneal_strategy": "exp"},
           {"div_factor": 0}, {"final_div_factor": -1}, {"three_phase": 1}, {"pct_start": 0.6, "three_phase": True})),
        *((ReduceLROnPlateau, {"lr": 0.1, **bad}) for bad in
          ({"lr": StepLR(0.1, 1)}, {"mode": "less"}, {"factor": 1.0}, {"factor": -0.1}, {"patience": -1},
           {"threshold": -1}, {"threshold_mode": None}, {"cooldown": -1}, {"min_lr": 0.2}, {"eps": -1})),
        *((SequentialLR, {"schedulers": [0.1, 0.2], "milestones": [3], **bad}) for bad in
          ({"milestones": []}, {"milestones": [0]}, {"milestones": [1.5]}, {"milestones": 3}, {"milestones": [1, 2]})),
        (SequentialLR, {"schedulers": [], "milestones": []}),
        (SequentialLR, {"schedulers": 0.1, "milestones": []}),
        (ChainedScheduler, {"schedulers": []}),
        (ChainedScheduler, {"schedulers": StepLR(0.1, 1)}),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(rule, settings):
    with pytest.raises(ConfigError, match=f"^{rule.__name__}: expected "):
        rule(**settings)


def test_milestones_that_do_not_rise_and_a_part_that_is_none_are_refused():
    with pytest.raises(ConfigError, match=r"SequentialLR: expected milestones\[1\] to be an integer of at least 4"):
        SequentialLR([0.1, 0.2, 0.3], milestones=[3, 3])
    for rule in (lambda parts: SequentialLR(parts, [3]), ChainedScheduler):
        with pytest.raises(ConfigError, match=r"expected lr to be a finite number > 0, got 'adam'"):
            rule([0.1, "adam"])
