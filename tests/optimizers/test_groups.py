"""Parameter groups: every parameter in exactly one, with its own settings, and one norm over all on request."""

import json
import math

import numpy as np
import pytest

from tests.optimizers.helpers import example, hosted, placed
from xpcnn import optimizers
from xpcnn.errors import ConfigError, DtypeError, ShapeError, StateDictError
from xpcnn.optimizers import SGD, Adam, AdamW, Muon, ParamGroups, StepLR


def torch_groups(rule, settings, groups, clip_norm=None, steps=5):
    """Parameters after some steps of PyTorch's optimizer with param_groups, as {name: array}."""
    torch = pytest.importorskip("torch")
    params = {name: torch.nn.Parameter(torch.asarray(p, copy=True)) for name, p in example().items()}
    param_groups = [{"params": [params[name] for name in names], **own} for names, own in groups]
    opt = getattr(torch.optim, rule)(param_groups, **settings)
    for step in range(steps):
        for name, g in example(seed=step + 1).items():
            params[name].grad = torch.asarray(g)
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(params.values(), clip_norm)
        opt.step()
    return {name: p.detach().numpy() for name, p in params.items()}


def run(opt, steps=5):
    params = example()
    for step in range(steps):
        opt.update(params, example(seed=step + 1))
    return params


@pytest.mark.oracle
@pytest.mark.parametrize("clip_norm", [None, 0.7])
@pytest.mark.parametrize(
    ("rule", "settings"),
    [("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3}), ("AdamW", {"lr": 0.05, "weight_decay": 0.3})],
)
def test_no_decay_of_biases_is_torchs_param_groups(rule, settings, clip_norm):
    groups = [(["0.bias"], {"weight_decay": 0.0}), (["0.weight", "1.weight"], {})]
    expected = torch_groups(rule, settings, groups, clip_norm)
    for pattern in ("*.bias", "ndim<2", "0.bias", ("*.bias",)):
        rest = getattr(optimizers, rule)(**settings)
        got = run(ParamGroups({pattern: {"weight_decay": 0.0}}, rest=rest, clip_norm=clip_norm))
        for name, p in expected.items():
            np.testing.assert_allclose(got[name], p, rtol=0, atol=1e-13)


@pytest.mark.oracle
def test_three_groups_with_three_rates_are_torchs():
    groups = [(["0.bias"], {"lr": 0.3}), (["1.weight"], {"lr": 0.01, "momentum": 0.5}), (["0.weight"], {})]
    expected = torch_groups("SGD", {"lr": 0.1, "momentum": 0.9}, groups)
    changes = {"*.bias": {"lr": 0.3}, "1.*": {"lr": 0.01, "momentum": 0.5}}
    got = run(ParamGroups(changes, rest=SGD(lr=0.1, momentum=0.9)))
    for name, p in expected.items():
        np.testing.assert_allclose(got[name], p, rtol=0, atol=1e-14)


def test_each_rule_does_what_it_does_alone(place):
    opt = ParamGroups({"0.*": Adam(lr=0.1)}, rest=SGD(lr=0.2, momentum=0.9))
    params, alone = placed(place, example()), example()
    adam, sgd = Adam(lr=0.1), SGD(lr=0.2, momentum=0.9)
    first, second = {k: p for k, p in alone.items() if k[0] == "0"}, {"1.weight": alone["1.weight"]}
    for seed in (1, 2, 3):
        grads = example(seed=seed)
        opt.update(params, placed(place, grads))
        adam.update(first, {k: grads[k] for k in first})
        sgd.update(second, {k: grads[k] for k in second})
    for name, p in hosted(params).items():
        np.testing.assert_allclose(p, alone[name], rtol=1e-14)
    assert opt.steps == 3
    assert {name: set(slots) for name, slots in opt.state.items()} == {
        **{name: set(slots) for name, slots in adam.state.items()},
        "1.weight": {"momentum_buffer"},
    }


def test_value_and_norm_are_clipped_over_all_groups_then_within_one():
    params = {"a": np.zeros(2), "b": np.zeros(1)}
    grads = {"a": np.asarray([-9.0, 0.0]), "b": np.asarray([4.0])}
    groups = {"a": SGD(lr=1.0, clip_norm=0.5)}
    ParamGroups(groups, rest=SGD(lr=1.0), clip_value=3.0, clip_norm=2.5).update(params, grads)
    scale = 2.5 / (math.sqrt(18.0) + 1e-6)
    np.testing.assert_allclose(params["b"], [-3.0 * scale], rtol=1e-15)
    np.testing.assert_allclose(params["a"], [3.0 * scale * 0.5 / (3.0 * scale + 1e-6), 0.0], rtol=1e-15)
    assert grads["a"].tolist() == [-9.0, 0.0]


@pytest.mark.parametrize(
    ("groups", "rest", "text"),
    [
        ({"2.*": {"lr": 1.0}}, True, r"'2.\*' to match a parameter, got only 0.weight, 0.bias, 1.weight"),
        ({("*.bias", "*.beta"): {"lr": 1.0}}, True, r"'\*.beta' to match a parameter"),
        ({"ndim>=5": {"lr": 1.0}}, True, r"'ndim>=5' to match"),
        ({"*.bias": {"lr": 1.0}, "0.*": {"lr": 2.0}}, True, r"one group for '0.bias', got '\*.bias' and '0.\*'"),
        ({"*.bias": SGD()}, False, r"a group for '0.weight', got no pattern that matches"),
    ],
)
def test_groups_that_do_not_part_the_parameters_are_refused_before_anything_changes(groups, rest, text):
    inner = SGD(lr=0.1, momentum=0.9)
    opt, params = ParamGroups(groups, rest=inner if rest else None), example()
    with pytest.raises(ConfigError, match="ParamGroups: expected " + text):
        opt.update(params, example(seed=1))
    assert opt.steps == 0
    assert opt.state == {}
    for name, p in example().items():
        np.testing.assert_array_equal(params[name], p)
    if rest:
        ParamGroups({"0.*": {"lr": 1.0}}, rest=inner).update(params, example(seed=1))


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda g: g.pop("1.weight"), StateDictError),
        (lambda g: g.update({"1.weight": np.zeros((4, 2))}), ShapeError),
        (lambda g: g.update({"1.weight": np.zeros((2, 4), "float32")}), DtypeError),
    ],
)
def test_bad_gradient_of_the_last_group_leaves_the_first_alone(spoil, error):
    opt, params, grads = ParamGroups({"0.*": Adam()}, rest=SGD()), example(), example(seed=1)
    spoil(grads)
    with pytest.raises(error, match=r"^ParamGroups: "):
        opt.update(params, grads)
    assert opt.state == {}
    np.testing.assert_array_equal(params["0.weight"], example()["0.weight"])


def test_what_only_a_rule_refuses_leaves_all_groups_alone():
    params = example()
    for opt in (
        ParamGroups({"0.weight": SGD()}, rest=Muon()),
        ParamGroups({"0.*": SGD()}, rest=SGD(lr=lambda step: math.nan)),
    ):
        with pytest.raises((ShapeError, ConfigError)):
            opt.update(params, example(seed=1))
        assert opt.steps == 0
    np.testing.assert_array_equal(params["0.weight"], example()["0.weight"])


@pytest.mark.parametrize(
    ("groups", "rest", "text"),
    [
        ({"*.bias": {"speed": 1}}, SGD(), "settings of SGD for '\\*.bias', got 'speed'"),
        ({"*.bias": {"momentun": 1}}, SGD(), "did you mean 'momentum'"),
        ({"*.bias": {"lr": -1}}, SGD(), "SGD: expected lr"),
        ({"*.bias": {"lr": 1}}, None, "expected an optimizer for '\\*.bias'"),
        (3, SGD(), "expected groups as {pattern: settings or optimizer}, or pairs of these, got 3"),
        ([("*.bias",)], SGD(), "expected groups as .*, or pairs of these, got \\[\\('\\*.bias',\\)\\]"),
        ("*.bias", SGD(), "expected groups as .*, got '\\*.bias'"),
        ({"*.bias": 0.1}, SGD(), "expected an optimizer for '\\*.bias'"),
        ({"*.bias": SGD}, SGD(), "expected an optimizer for '\\*.bias'"),
        ({3: SGD()}, None, "expected a pattern"),
        ({(): SGD()}, None, "expected a pattern"),
        ({}, None, "make one for each"),
        ({"*": SGD()}, "sgd", "rest to be an Optimizer"),
    ],
)
def test_bad_groups_are_refused_at_construction(groups, rest, text):
    with pytest.raises(ConfigError, match=text):
        ParamGroups(groups, rest=rest)


def test_one_optimizer_for_two_groups_is_refused():
    sgd = SGD()
    with pytest.raises(ConfigError, match="make one for each"):
        ParamGroups({"*.bias": sgd}, rest=sgd)


@pytest.mark.parametrize("settings", [{"clip_norm": 0}, {"clip_value": -1}])
def test_bad_clipping_is_refused(settings):
    with pytest.raises(ConfigError, match="ParamGroups: expected clip"):
        ParamGroups({"*": SGD()}, **settings)


def test_learning_rate_is_the_rests_and_is_set_for_all():
    opt = ParamGroups({"*.bias": {"lr": 0.5}}, rest=SGD(lr=StepLR(0.1, 1)))
    assert opt.current_lr() == 0.1
    assert [inner.current_lr() for inner in opt.optimizers] == [0.5, 0.1]
    opt.lr = 0.25
    assert [inner.lr for inner in opt.optimizers] == [0.25, 0.25]
    assert opt.lr == ParamGroups({"*": SGD(lr=0.25)}).lr


def test_schedules_of_groups_without_a_parameter_go_on():
    opt = ParamGroups({"0.*": {"lr": StepLR(1.0, 2)}}, rest=SGD(lr=0.1))
    params, grads = example(), example(seed=1)
    opt.update(params, grads)
    opt.update({"1.weight": params["1.weight"]}, {"1.weight": grads["1.weight"]})  # 0 was frozen
    assert opt.optimizers[0].current_lr() == pytest.approx(0.1)
    opt.update(params, grads)
    assert [inner.steps for inner in opt.optimizers] == [3, 3]


def test_state_and_steps_can_be_put_into_another():
    def make():
        return ParamGroups({"ndim<2": {"lr": 0.2}, "1.*": Adam(lr=0.1)}, rest=AdamW(lr=StepLR(0.1, 2)))

    straight, params = make(), example()
    for seed in (1, 2, 3, 4):
        straight.update(params, example(seed=seed))
    first, again, half = make(), make(), example()
    for opt, seeds in ((first, (1, 2)), (again, (3, 4))):
        if opt is again:
            again.state, again.steps = first.state, first.steps
        for seed in seeds:
            opt.update(half, example(seed=seed))
    for name, p in params.items():
        np.testing.assert_array_equal(half[name], p)


def test_config_rebuilds_the_groups_through_json():
    groups = {("*.bias", "ndim<2"): {"lr": StepLR(0.1, 5)}, "1.*": Muon(lr=0.02)}
    opt = ParamGroups(groups, rest=AdamW(betas=(0.8, 0.9)), clip_norm=1.0)
    again = optimizers.from_config(json.loads(json.dumps(opt.config())))
    assert repr(again) == repr(opt)
    assert again.config() == opt.config()
    np.testing.assert_array_equal(run(again)["1.weight"], run(opt)["1.weight"])


def test_gradients_without_axes_are_clipped_together_with_others():
    params = {"scale": np.ones(()), "w": np.ones(2)}
    opt = ParamGroups({"scale": SGD(lr=1.0)}, rest=SGD(lr=1.0), clip_value=3.0, clip_norm=0.5)
    opt.update(params, {"scale": np.asarray(4.0), "w": np.asarray([0.0, -4.0])})
    np.testing.assert_allclose(params["scale"], 1.0 - 0.5 / math.sqrt(2.0), rtol=1e-6)
    np.testing.assert_allclose(params["w"], [1.0, 1.0 + 0.5 / math.sqrt(2.0)], rtol=1e-6)
