"""How exactly is to be computed: what a model says reaches the kernels, and nothing else."""

import numpy as np
import pytest

from xpcnn import Conv2d, Flatten, Linear, Sequential, Trainer
from xpcnn.backend.cuda import Options, computing, options
from xpcnn.errors import ConfigError


def test_options_hold_inside_and_not_outside():
    wanted = Options(allow_tf32=True, deterministic=True)
    with computing(wanted):
        assert options() is wanted
        with computing(Options()):
            assert options() == Options()
        assert options() is wanted
    assert options() == Options()


def test_options_end_with_an_error():
    with pytest.raises(ZeroDivisionError), computing(Options(True)):
        raise ZeroDivisionError
    assert options() == Options()


def notes(gpu):
    return [{note.name for note in graph.left_out} for graph in gpu.cudnn.graphs]


@pytest.mark.parametrize("allow_tf32", [False, True])
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_models_options_reach_convolutions_and_products(gpu, allow_tf32, deterministic):
    layers = Conv2d(1, 2, 2), Flatten(), Linear(8, 2)
    model = Sequential(*layers, device=gpu.device, allow_tf32=allow_tf32, deterministic=deterministic)
    Trainer(model).step(np.ones((2, 1, 3, 3), "float32"), np.asarray([0, 1]))
    expected = set() if allow_tf32 else {"TENSOR_CORE", "DOWN_CONVERT_INPUTS"}
    assert notes(gpu) == [expected | ({"NONDETERMINISTIC"} if deterministic else set())] * 2
    assert set(gpu.cublas.products) == {77 if allow_tf32 else 68}
    assert options() == Options()


def test_they_may_be_set_later_and_a_graph_follows(gpu):
    model = Sequential(Flatten(), Linear(9, 2), device=gpu.device)
    trainer = Trainer(model, optimizer="sgd")
    for i in range(8):
        model.allow_tf32 = i >= 4
        trainer.step(np.ones((2, 1, 3, 3), "float32"), np.asarray([0, 1]))
    # two eager steps and a capture each, of three products: one forward, two backward
    assert gpu.cublas.products == [68] * 9 + [77] * 9


@pytest.mark.parametrize("name", ["allow_tf32", "deterministic"])
def test_they_are_true_or_false(name):
    with pytest.raises(ConfigError, match=f"{name}.*True or False"):
        Sequential(**{name: "yes"})
