"""PyTorch, asked now: whether it still says what was recorded, and what it says to cases that hypothesis makes up."""

import numpy as np
import pytest
from hypothesis import assume, given, settings

from tests.oracle.storage import NAMES, read
from tests.strategies import LAYERS, LOSSES
from xpcnn.backend import Key, normal, to_numpy

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'xpcnn[oracle]'")

from tests.oracle.record import record  # noqa: E402
from tests.oracle.torch_model import answer, expressible, loss_answer  # noqa: E402
from tests.oracle.trajectory import MORE, TRAJECTORIES, our_trajectory, torch_trajectory  # noqa: E402

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")]


@pytest.mark.parametrize("family", NAMES)
def test_the_recording_is_what_torch_says_now(family):
    now, recorded = record(family), read(family)
    recorded.pop("torch version"), now.pop("torch version")
    assert set(now) == set(recorded), f"run python -m tests.oracle.record {family}"
    for name, value in now.items():
        np.testing.assert_allclose(value, recorded[name], rtol=1e-11, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
def test_layers_agree_on_any_case(cls, cpu):
    @settings(max_examples=40)
    @given(LAYERS[cls])
    def check(case):
        assume(expressible(case))
        layer = cpu.settle(case.layer(), "float64", case.seed)
        params = {n: p.copy() for n, p in layer.params.items()}
        buffers = {n: b.copy() for n, b in layer.buffers.items()}
        x = case.x()
        inference = layer.forward(x)[0]
        y, cache = layer.forward(x, train=True)
        dy = normal(y.shape, Key(case.seed, "dy"))
        dx, grads = layer.backward(dy, cache)
        got = {"y": y, "dx": dx, **{f"d {n}": g for n, g in grads.items()}, **layer.buffers}
        said = answer(case, x, dy, params, buffers)
        assert set(got) == set(said)
        for name, value in said.items():
            np.testing.assert_allclose(to_numpy(got[name]), value, rtol=1e-10, atol=1e-10, err_msg=name)
        said = answer(case, x, dy, params, buffers, train=False)["y"]
        np.testing.assert_allclose(inference, said, rtol=1e-10, atol=1e-10)

    check()


@pytest.mark.parametrize("cls", LOSSES, ids=lambda cls: cls.__name__)
def test_losses_agree_on_any_case(cls):
    @settings(max_examples=100)
    @given(LOSSES[cls])
    def check(case):
        value, gradient = case.loss()(case.prediction, case.target)
        said = loss_answer(case)
        np.testing.assert_allclose(value, said["value"], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(gradient, said["gradient"], rtol=1e-10, atol=1e-10)

    check()


@pytest.mark.parametrize("name", [*TRAJECTORIES, *MORE])
def test_five_steps_of_training_agree_in_every_weight_and_buffer(name, cpu):
    trajectory = (TRAJECTORIES | MORE)[name]
    ours, said = our_trajectory(trajectory, cpu), torch_trajectory(trajectory)
    assert set(ours) == set(said)
    for array, value in said.items():
        np.testing.assert_allclose(ours[array], value, rtol=0.0, atol=1e-9, err_msg=array)
