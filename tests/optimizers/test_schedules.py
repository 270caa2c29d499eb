"""Schedules: pure functions of the step, compared with PyTorch's schedulers where PyTorch is there."""

import math

import pytest

from xpcnn.errors import ConfigError
from xpcnn.optimizers import CosineAnnealingLR, LinearWarmup, StepLR


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
