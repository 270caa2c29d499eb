"""Every rule follows PyTorch's for 20 prescribed gradients, to 1e-12 in float64: as recorded, and live."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from xpcnn import optimizers

ANSWERS = Path(__file__).with_name("torch_answers.json")
STEPS = 20
RECORDED_STEPS = (1, 20)
SHAPES = {"0.weight": (2, 2, 2, 3), "0.bias": (2,), "1.weight": (3, 4), "1.bias": (5,), "scale": ()}

# name of the case: class and PyTorch's settings; "clip" and "spare" are the settings that PyTorch has elsewhere
CASES = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd default": ("SGD", {}),
    "sgd decay": ("SGD", {"lr": 0.1, "weight_decay": 0.3}),
    "sgd momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "sgd dampening": ("SGD", {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1}),
    "sgd nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.2}),
    "adagrad default": ("Adagrad", {}),
    "adagrad": (
        "Adagrad",
        {"lr": 0.2, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-3},
    ),
    "rmsprop default": ("RMSprop", {}),
    "rmsprop momentum": ("RMSprop", {"lr": 0.02, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.5}),
    "rmsprop centered": ("RMSprop", {"lr": 0.02, "alpha": 0.9, "centered": True}),
    "rmsprop all": ("RMSprop", {"lr": 0.01, "alpha": 0.8, "centered": True, "momentum": 0.9, "weight_decay": 0.1}),
    "adam default": ("Adam", {}),
    "adam": ("Adam", {"lr": 0.05, "betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.2}),
    "adam amsgrad": ("Adam", {"lr": 0.05, "betas": (0.7, 0.8), "amsgrad": True}),
    "adam betas 0": ("Adam", {"lr": 0.05, "betas": (0.0, 0.0), "eps": 0.1}),
    "adamw default": ("AdamW", {}),
    "adamw": ("AdamW", {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.3, "amsgrad": True}),
    "adamw spared": ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "decay_bias_and_norm": False}),
    "sgd spared": ("SGD", {"lr": 0.05, "weight_decay": 0.3, "decay_bias_and_norm": False}),
    "sgd clip norm": ("SGD", {"lr": 0.1, "clip_norm": 1.0, "weight_decay": 0.1}),
    "sgd clip value": ("SGD", {"lr": 0.1, "clip_value": 0.2, "weight_decay": 0.1}),
    "adam clip both": ("Adam", {"lr": 0.1, "clip_value": 0.3, "clip_norm": 0.9}),
    "sgd clip slack": ("SGD", {"lr": 0.1, "clip_value": 10.0, "clip_norm": 10.0}),
}
EXTRAS = ("clip_value", "clip_norm", "decay_bias_and_norm")


def numbers(shape: tuple[int, ...], k: int) -> np.ndarray:
    """Numbers in [-0.5, 0.5) by exact integer arithmetic: the same on every machine."""
    i = np.arange(np.prod(shape, dtype=int))
    return (((i * 2654435761 + k * 1640531527) % 2**32) / 2**32 - 0.5).reshape(shape)


def prescribed() -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """Initial parameters, and the gradients of all steps."""
    params = {name: numbers(shape, j) for j, (name, shape) in enumerate(SHAPES.items())}
    grads = [
        {name: numbers(shape, 101 + 13 * step + j) for j, (name, shape) in enumerate(SHAPES.items())}
        for step in range(STEPS)
    ]
    return params, grads


def our_run(case):
    """Parameters after every step, 0 to 20, and the state at the end."""
    name, settings = case
    optimizer = getattr(optimizers, name)(**settings)
    params, all_grads = prescribed()
    path = [{k: p.copy() for k, p in params.items()}]
    for grads in all_grads:
        optimizer.update(params, grads)
        path.append({k: p.copy() for k, p in params.items()})
    return path, optimizer.state


def torch_run(case):
    """The same of PyTorch."""
    import torch

    name, settings = case
    extras = {k: settings[k] for k in EXTRAS if k in settings}
    settings = {k: v for k, v in settings.items() if k not in EXTRAS}
    params, all_grads = prescribed()
    params = {k: torch.nn.Parameter(torch.asarray(p, copy=True)) for k, p in params.items()}
    groups = [{"params": list(params.values())}]
    if not extras.get("decay_bias_and_norm", True):
        groups = [
            {"params": [p for p in params.values() if p.ndim >= 2]},
            {"params": [p for p in params.values() if p.ndim < 2], "weight_decay": 0.0},
        ]
    optimizer = getattr(torch.optim, name)(groups, **settings)
    path = [{k: p.detach().numpy().copy() for k, p in params.items()}]
    for grads in all_grads:
        for k, p in params.items():
            p.grad = torch.asarray(grads[k], copy=True)
        if "clip_value" in extras:
            torch.nn.utils.clip_grad_value_(params.values(), extras["clip_value"])
        if "clip_norm" in extras:
            torch.nn.utils.clip_grad_norm_(params.values(), extras["clip_norm"])
        optimizer.step()
        path.append({k: p.detach().numpy().copy() for k, p in params.items()})
    state = {k: {slot: v.numpy() for slot, v in optimizer.state[p].items() if v is not None} for k, p in params.items()}
    return path, state


@pytest.mark.parametrize("name", CASES)
def test_follows_recorded_torch_for_20_gradients(name):
    answers = json.loads(ANSWERS.read_text())["answers"]
    assert answers.keys() == CASES.keys(), "run record_torch.py"
    path, _ = our_run(CASES[name])
    for step in RECORDED_STEPS:
        for k, p in path[step].items():
            recorded = np.asarray(answers[name][str(step)][k]).reshape(p.shape)
            np.testing.assert_allclose(p, recorded, rtol=0, atol=1e-12, err_msg=f"{k} after step {step}")


@pytest.mark.oracle
@pytest.mark.parametrize("name", CASES)
def test_follows_live_torch_for_20_gradients(name):
    pytest.importorskip("torch")
    (path, state), (expected_path, expected_state) = our_run(CASES[name]), torch_run(CASES[name])
    for step, (params, expected) in enumerate(zip(path, expected_path, strict=True)):
        for k, p in params.items():
            np.testing.assert_allclose(p, expected[k], rtol=0, atol=1e-12, err_msg=f"{k} after step {step}")
    for k, slots in state.items():
        assert slots.keys() <= expected_state[k].keys()
        assert slots.keys() >= expected_state[k].keys() - {"step"}
        for slot, value in slots.items():
            np.testing.assert_allclose(value, expected_state[k][slot], rtol=0, atol=1e-12, err_msg=f"{slot} of {k}")


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW"])
def test_arguments_are_torchs_in_name_order_and_default(name):
    torch = pytest.importorskip("torch")
    ours = [p for p in inspect.signature(getattr(optimizers, name)).parameters.values() if p.name not in EXTRAS]
    theirs = list(inspect.signature(getattr(torch.optim, name)).parameters.values())[1:]
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs[: len(ours)]]
