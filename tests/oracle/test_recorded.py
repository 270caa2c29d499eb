"""Every layer, loss and option against PyTorch's recorded float64 answers, on every array library."""

import numpy as np
import pytest

from tests.oracle import cases
from tests.oracle.cases.common import ours, ours_of_loss
from tests.oracle.storage import FOLDER, NAMES, read
from tests.oracle.trajectory import TRAJECTORIES, condensed, our_trajectory
from tests.strategies import LAYERS, LOSSES


@pytest.fixture(scope="module")
def answers():
    return {family: read(family) for family in NAMES}


def recorded(answers, case):
    parts = ((name.rpartition("/"), value) for said in answers.values() for name, value in said.items())
    return {key: value for (owner, _, key), value in parts if owner == case}


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
    close(ours(case, space), said)
    close(ours(case, space, train=False), {"y": inference})


@pytest.mark.parametrize("name", cases.LOSSES)
def test_loss(name, space, answers):
    close(ours_of_loss(cases.LOSSES[name], space), recorded(answers, name))


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_five_steps_of_training(name, space, answers):
    said = recorded(answers, name)
    close(condensed(our_trajectory(TRAJECTORIES[name], space)), said, 1e-9)
    assert said["loss"][0] > said["loss"][-1], "it learns"


def test_every_layer_and_loss_is_recorded(answers):
    assert {case.cls for case in cases.LAYERS.values()} == set(LAYERS)
    assert {case.cls for case in cases.LOSSES.values()} == set(LOSSES)
    named = {key.rpartition("/")[0] for said in answers.values() for key in said if "/" in key}
    assert named == {*cases.LAYERS, *cases.LOSSES, *TRAJECTORIES}
    assert len(cases.LAYERS) == sum(len(getattr(f, "LAYERS", {})) for f in cases.FAMILIES.values()), "names differ"


def test_the_recordings_say_which_torch_it_was(answers):
    for said in answers.values():
        assert str(said["torch version"]).count(".") == 2
    assert {path.stem for path in FOLDER.iterdir()} == set(NAMES)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000
