"""Every layer, loss and option against PyTorch's recorded float64 answers, on every array library."""

from pathlib import Path

import numpy as np
import pytest

from tests.oracle import cases
from tests.oracle.trajectory import our_trajectory
from tests.strategies import LAYERS, LOSSES

FILE = Path(__file__).with_name("answers.npz")


@pytest.fixture(scope="module")
def answers():
    with np.load(FILE, allow_pickle=False) as file:
        return {name.replace("|", "/"): file[name] for name in file.files}


def recorded(answers, case):
    return {key.removeprefix(f"{case}/"): value for key, value in answers.items() if key.startswith(f"{case}/")}


def close(actual, desired, tolerance=1e-10):
    assert set(actual) == set(desired)
    for name, value in desired.items():
        assert actual[name].shape == value.shape, name
        assert actual[name].dtype == value.dtype, name
        np.testing.assert_allclose(actual[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("name", cases.LAYERS)
def test_layer(name, space, answers):
    case, said = cases.LAYERS[name], recorded(answers, name)
    inference = said.pop("inference")
    close(cases.ours(case, space), said)
    close(cases.ours(case, space, train=False), {"y": inference})


@pytest.mark.parametrize("name", cases.LOSSES)
def test_loss(name, space, answers):
    close(cases.ours_of_loss(cases.LOSSES[name], space), recorded(answers, name))


def test_trajectory_of_five_steps(space, answers):
    said = recorded(answers, "trajectory")
    close(our_trajectory(space), said, 1e-9)
    assert said["loss"][0] > said["loss"][-1], "it learns"


def test_every_layer_and_loss_is_recorded(answers):
    assert {case.cls for case in cases.LAYERS.values()} == set(LAYERS)
    assert {case.cls for case in cases.LOSSES.values()} == set(LOSSES)
    named = {key.rpartition("/")[0] for key in answers if "/" in key}
    assert named == {*cases.LAYERS, *cases.LOSSES, "trajectory"}


def test_the_recording_says_which_torch_it_was(answers):
    assert str(answers["torch version"]).count(".") == 2
    assert FILE.stat().st_size < 300_000
