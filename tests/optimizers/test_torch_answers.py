"""
Every rule follows PyTorch's for 20 prescribed gradients, to 1e-12 in float64: as recorded, and live.

PyTorch has no Lion and no LARS; those are timm's.
"""

import contextlib
import inspect
import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from xpcnn import optimizers

ANSWERS = Path(__file__).with_name("torch_answers.json")
STEPS = 20
RECORDED_STEPS = (1, 20)
SHAPES = {"0.weight": (2, 2, 2, 3), "0.bias": (2,), "1.weight": (3, 4), "1.bias": (5,), "scale": ()}
MATRICES = {"0.weight": (2, 2, 2, 3), "1.weight": (3, 4), "2.weight": (6, 2), "3.weight": (3, 1, 2), "4.weight": (4, 4)}

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
    "adamw": ("AdamW", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.3, "amsgrad": True}),
    "adamw spared": ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "decay_bias_and_norm": False}),
    "sgd spared": ("SGD", {"lr": 0.05, "weight_decay": 0.3, "decay_bias_and_norm": False}),
    "sgd clip norm": ("SGD", {"lr": 0.1, "clip_norm": 1.0, "weight_decay": 0.1}),
    "sgd clip value": ("SGD", {"lr": 0.1, "clip_value": 0.2, "weight_decay": 0.1}),
    "adam clip both": ("Adam", {"lr": 0.1, "clip_value": 0.3, "clip_norm": 0.9}),
    "sgd clip slack": ("SGD", {"lr": 0.1, "clip_value": 10.0, "clip_norm": 10.0}),
    "adadelta default": ("Adadelta", {}),
    "adadelta": ("Adadelta", {"lr": 0.7, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.2}),
    "adadelta spared": ("Adadelta", {"eps": 1e-3, "weight_decay": 0.2, "decay_bias_and_norm": False}),
    "adadelta rho 0": ("Adadelta", {"rho": 0.0, "eps": 1e-2}),
    "adadelta rho 1": ("Adadelta", {"rho": 1.0}),
    "adamax default": ("Adamax", {}),
    "adamax": ("Adamax", {"lr": 0.05, "betas": (0.7, 0.9), "eps": 1e-2, "weight_decay": 0.2}),
    "adamax spared": ("Adamax", {"lr": 0.05, "weight_decay": 0.2, "decay_bias_and_norm": False}),
    "adamax betas 0": ("Adamax", {"lr": 0.05, "betas": (0.0, 0.0), "clip_norm": 0.9}),
    "nadam default": ("NAdam", {}),
    "nadam": (
        "NAdam",
        {"lr": 0.05, "betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.2, "momentum_decay": 0.3},
    ),
    "nadam decoupled": (
        "NAdam",
        {"lr": 0.05, "weight_decay": 0.3, "momentum_decay": 0.0, "decoupled_weight_decay": True},
    ),
    "nadam spared": (
        "NAdam",
        {"lr": 0.05, "weight_decay": 0.3, "decoupled_weight_decay": True, "decay_bias_and_norm": False},
    ),
    "nadam betas 0": ("NAdam", {"lr": 0.05, "betas": (0.0, 0.0), "eps": 0.1}),
    "radam default": ("RAdam", {}),
    "radam": ("RAdam", {"lr": 0.05, "betas": (0.7, 0.9), "eps": 1e-2, "weight_decay": 0.2}),
    "radam decoupled": (
        "RAdam",
        {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.3, "decoupled_weight_decay": True},
    ),
    "radam spared": ("RAdam", {"lr": 0.05, "weight_decay": 0.3, "decay_bias_and_norm": False, "clip_value": 0.3}),
    "radam never rectified": ("RAdam", {"lr": 0.05, "betas": (0.9, 0.6), "weight_decay": 0.1}),
    "radam betas 0": ("RAdam", {"lr": 0.05, "betas": (0.0, 0.0)}),
    "muon default": ("Muon", {}),
    "muon": (
        "Muon",
        {"lr": 0.05, "weight_decay": 0.3, "momentum": 0.8, "nesterov": False, "eps": 1e-3, "ns_steps": 3},
    ),
    "muon original": ("Muon", {"lr": 0.05, "adjust_lr_fn": "original", "clip_norm": 0.5}),
    "muon like adamw": (
        "Muon",
        {"lr": 0.05, "adjust_lr_fn": "match_rms_adamw", "ns_coefficients": (3.0, -3.2, 1.2), "weight_decay": 0.0},
    ),
    "muon least norm": ("Muon", {"lr": 0.05, "momentum": 0.0, "eps": 10.0}),
    "lion default": ("Lion", {}),
    "lion": ("Lion", {"lr": 0.05, "betas": (0.7, 0.8), "weight_decay": 0.3}),
    "lion spared": ("Lion", {"lr": 0.05, "betas": (0.0, 0.9), "weight_decay": 0.3, "decay_bias_and_norm": False}),
    "lars default": ("LARS", {}),
    "lars": (
        "LARS",
        {"lr": 2.0, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.3, "trust_coeff": 0.1, "eps": 0.1,
         "decay_bias_and_norm": False},
    ),
    "lars all": (
        "LARS",
        {"lr": 2.0, "weight_decay": 0.3, "nesterov": True, "trust_coeff": 0.1, "adapt_bias_and_norm": True},
    ),
    "lars spared": (
        "LARS",
        {"lr": 2.0, "momentum": 0.0, "weight_decay": 0.3, "trust_coeff": 0.1, "adapt_bias_and_norm": True,
         "decay_bias_and_norm": False, "clip_norm": 0.9},
    ),
}  # fmt: skip
EXTRAS = ("clip_value", "clip_norm", "decay_bias_and_norm", "adapt_bias_and_norm")
TIMM = {"Lion": "Lion", "LARS": "Lars"}
# every rule has these; that they work is test_base.py's affair, and the cases' above that have them
COMMON = EXTRAS[:3]


def numbers(shape: tuple[int, ...], k: int) -> np.ndarray:
    """Numbers in [-0.5, 0.5) by exact integer arithmetic: the same on every machine."""
    i = np.arange(np.prod(shape, dtype=int))
    return (((i * 2654435761 + k * 1640531527) % 2**32) / 2**32 - 0.5).reshape(shape)


def prescribed(case) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """Initial parameters, and the gradients of all steps."""
    shapes = MATRICES if case[0] == "Muon" else SHAPES
    params = {name: numbers(shape, j) for j, (name, shape) in enumerate(shapes.items())}
    grads = [
        {name: numbers(shape, 101 + 13 * step + j) for j, (name, shape) in enumerate(shapes.items())}
        for step in range(STEPS)
    ]
    return params, grads


def our_run(case):
    """Parameters after every step, 0 to 20, and the state at the end."""
    name, settings = case
    optimizer = getattr(optimizers, name)(**settings)
    params, all_grads = prescribed(case)
    path = [{k: p.copy() for k, p in params.items()}]
    for grads in all_grads:
        optimizer.update(params, grads)
        path.append({k: p.copy() for k, p in params.items()})
    return path, optimizer.state


def torch_run(case):
    """The same of PyTorch."""
    import torch

    with contextlib.ExitStack() as stack:
        # scalars of the state have this dtype; and Muon would compute in bfloat16
        default = torch.get_default_dtype()
        stack.callback(torch.set_default_dtype, default)
        torch.set_default_dtype(torch.float64)
        stack.enter_context(mock.patch.object(torch.Tensor, "bfloat16", torch.Tensor.clone))
        return _torch_run(torch, case)


def _torch_run(torch, case):
    name, settings = case
    extras = {k: settings[k] for k in EXTRAS if k in settings}
    settings = {k: v for k, v in settings.items() if k not in EXTRAS}
    params, all_grads = prescribed(case)
    # Muon takes matrices only: kernels as one row for each filter
    flat = {k: (len(p), -1) if name == "Muon" else p.shape for k, p in params.items()}
    shapes = {k: p.shape for k, p in params.items()}
    params = {k: torch.nn.Parameter(torch.asarray(p, copy=True).reshape(flat[k])) for k, p in params.items()}
    large = {"params": [p for p in params.values() if p.ndim >= 2]}
    small = {"params": [p for p in params.values() if p.ndim < 2]}
    if name == "LARS":
        # timm adapts where there is decay, or where it is asked to
        large["always_adapt"] = True
        small["always_adapt"] = extras.get("adapt_bias_and_norm", False)
        settings = {"momentum": 0.9, **settings}
    if not extras.get("decay_bias_and_norm", True):
        small["weight_decay"] = 0.0
    groups = [group for group in (large, small) if group["params"]]
    library = pytest.importorskip("timm.optim") if name in TIMM else torch.optim
    optimizer = getattr(library, TIMM.get(name, name))(groups, **settings)

    def hosted():
        return {k: p.detach().numpy().reshape(shapes[k]).copy() for k, p in params.items()}

    path = [hosted()]
    for grads in all_grads:
        for k, p in params.items():
            p.grad = torch.asarray(grads[k], copy=True).reshape(flat[k])
        if "clip_value" in extras:
            torch.nn.utils.clip_grad_value_(params.values(), extras["clip_value"])
        if "clip_norm" in extras:
            torch.nn.utils.clip_grad_norm_(params.values(), extras["clip_norm"])
        optimizer.step()
        path.append(hosted())
    state = {
        k: {
            slot: v.numpy().reshape(shapes[k] if v.ndim else ())
            for slot, v in optimizer.state[p].items()
            if v is not None
        }
        for k, p in params.items()
    }
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
@pytest.mark.parametrize("name", sorted({name for name, _ in CASES.values()} - set(TIMM)))
def test_arguments_are_torchs_in_name_order_and_default(name):
    torch = pytest.importorskip("torch")
    ours = [p for p in inspect.signature(getattr(optimizers, name)).parameters.values() if p.name not in EXTRAS]
    theirs = list(inspect.signature(getattr(torch.optim, name)).parameters.values())[1:]
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs[: len(ours)]]


def test_every_option_of_every_rule_has_a_recorded_case():
    rules = {
        name
        for name, cls in vars(optimizers).items()
        if inspect.isclass(cls) and issubclass(cls, optimizers.Rule) and not inspect.isabstract(cls)
    }
    assert {name for name, _ in CASES.values()} == rules
    for rule in rules:
        for option in inspect.signature(getattr(optimizers, rule)).parameters.values():
            values = [
                settings[option.name] for name, settings in CASES.values() if name == rule and option.name in settings
            ]
            assert any(value != option.default for value in values) or option.name in COMMON, f"{rule}.{option.name}"
    for option in COMMON:
        assert any(option in settings for _, settings in CASES.values())
