"""What all optimizers share, on every namespace: checks first, clipping, decay, state by name."""

import json
import math
import sys

import numpy as np
import pytest

from tests.optimizers.helpers import example, forbid_reading, hosted, placed
from xpcnn import optimizers
from xpcnn.backend import device_of, to_numpy
from xpcnn.errors import (
    ConfigError,
    DeviceMismatchError,
    DtypeError,
    NamespaceError,
    ShapeError,
    StateDictError,
)
from xpcnn.optimizers import (
    LARS,
    SGD,
    Accumulate,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    CosineAnnealingLR,
    LinearWarmup,
    Lion,
    Muon,
    NAdam,
    Optimizer,
    ParamGroups,
    RAdam,
    RMSprop,
    Rule,
    StepLR,
)

# every option at least once; the rules that have state keep it in all their slots
MAKERS = {
    "sgd": lambda **kw: SGD(**{"lr": 0.1, **kw}),
    "nesterov": lambda **kw: SGD(**{"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1, **kw}),
    "dampening": lambda **kw: SGD(**{"lr": 0.1, "momentum": 0.9, "dampening": 0.5, **kw}),
    "adagrad": lambda **kw: Adagrad(**{"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, **kw}),
    "rmsprop": lambda **kw: RMSprop(**{"lr": 0.1, "momentum": 0.9, "centered": True, "weight_decay": 0.1, **kw}),
    "adam": lambda **kw: Adam(**{"lr": 0.1, "weight_decay": 0.1, "amsgrad": True, **kw}),
    "adamw": lambda **kw: AdamW(**{"lr": 0.1, "betas": (0.0, 0.9), **kw}),
    "adadelta": lambda **kw: Adadelta(**{"lr": 0.1, "eps": 1e-3, "weight_decay": 0.1, **kw}),
    "adamax": lambda **kw: Adamax(**{"lr": 0.1, "weight_decay": 0.1, **kw}),
    "nadam": lambda **kw: NAdam(**{"lr": 0.1, "weight_decay": 0.1, "momentum_decay": 0.1, **kw}),
    "nadam decoupled": lambda **kw: NAdam(
        **{"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "betas": (0.0, 0.5), **kw}
    ),
    "radam": lambda **kw: RAdam(**{"lr": 0.1, "betas": (0.9, 0.9), "weight_decay": 0.1, **kw}),
    "radam decoupled": lambda **kw: RAdam(
        **{"lr": 0.1, "betas": (0.5, 0.5), "weight_decay": 0.1, "decoupled_weight_decay": True, **kw}
    ),
    "lion": lambda **kw: Lion(**{"lr": 0.1, "weight_decay": 0.1, **kw}),
    "lars": lambda **kw: LARS(**{"lr": 0.1, "trust_coeff": 0.5, "nesterov": True, "weight_decay": 0.1, **kw}),
    "lars all": lambda **kw: LARS(**{"lr": 0.1, "trust_coeff": 0.5, "adapt_bias_and_norm": True, **kw}),
}
CLIPPING = {"clip_value": 0.4, "clip_norm": 0.8}
RULES = (SGD, Adadelta, Adagrad, RMSprop, Adam, AdamW, Adamax, NAdam, RAdam, Lion, LARS, Muon)
every_rule = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@every_rule
@pytest.mark.parametrize("extras", [{}, CLIPPING], ids=["", "clipped"])
def test_every_namespace_gives_the_same_numbers(make, extras, place):
    theirs, ours = placed(place, example()), example()
    opt, reference = make(**extras), make(**extras)
    for seed in (1, 2, 3):
        opt.update(theirs, placed(place, example(seed=seed)))
        reference.update(ours, example(seed=seed))
    for name, p in hosted(theirs).items():
        np.testing.assert_allclose(p, ours[name], rtol=1e-14, atol=1e-15)
        assert not np.array_equal(p, example()[name])


@every_rule
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_and_device_stay_in_parameters_and_every_slot(make, dtype, place):
    params = placed(place, example(dtype))
    before = dict(params)
    opt = make(**CLIPPING)
    for seed in (1, 2):
        opt.update(params, placed(place, example(dtype, seed)))
    for name, p in params.items():
        assert p is before[name]
        for x in (p, *opt.state.get(name, {}).values()):
            assert str(x.dtype).endswith(dtype)
            assert type(x) is type(p)
            assert device_of(x) == device_of(p)
            assert x.shape in ((), p.shape)


@every_rule
def test_numpy_float64_settings_do_not_promote_float32(make):
    params, opt = example("float32"), make(lr=np.float64(0.1), clip_norm=np.float64(1.0))
    assert type(opt.current_lr()) is type(opt.clip_norm) is float
    opt.update(params, example("float32", 1))
    assert {str(x.dtype) for x in params.values()} == {"float32"}
    assert all(x.dtype == np.float32 for slots in opt.state.values() for x in slots.values())


@every_rule
@pytest.mark.parametrize("extras", [{}, CLIPPING], ids=["", "clipped"])
def test_gradients_are_never_modified(make, extras):
    params, grads = example(), example(seed=1)
    for g in grads.values():
        g.flags.writeable = False
    opt = make(**extras)
    for _ in range(3):
        opt.update(params, grads)
    for name, g in example(seed=1).items():
        np.testing.assert_array_equal(grads[name], g)
    assert not any(np.shares_memory(x, grads[name]) for name in opt.state for x in opt.state[name].values())


@every_rule
def test_parameters_change_in_place_also_through_a_view(make):
    whole = {name: np.stack([p, p], axis=-1) for name, p in example().items()}
    params = {name: p[..., 0] for name, p in whole.items()}
    plain = example()
    make().update(params, example(seed=1))
    make().update(plain, example(seed=1))
    for name, p in plain.items():
        np.testing.assert_allclose(whole[name][..., 0], p, rtol=1e-15)
        np.testing.assert_array_equal(whole[name][..., 1], example()[name])


@every_rule
def test_update_never_reads_the_device(make, monkeypatch):
    strict = pytest.importorskip("array_api_strict")
    params = {k: strict.asarray(x, device=strict.Device("device1")) for k, x in example().items()}
    grads = {k: p + 1.0 for k, p in params.items()}
    opt = make(**CLIPPING)
    forbid_reading(monkeypatch, params["0.bias"])
    for _ in range(2):
        opt.update(params, grads)


@every_rule
def test_state_is_per_parameter(make):
    """deepnet's Adagrad and RMSprop indexed the state of the whole network where the layer's was meant."""
    together, alone = example(), example()
    opt = make()
    single = {name: make() for name in alone}
    for seed in (1, 2, 3):
        grads = example(seed=seed)
        opt.update(together, grads)
        for name, p in alone.items():
            single[name].update({name: p}, {name: grads[name]})
    for name, p in alone.items():
        np.testing.assert_array_equal(together[name], p)
    slots = [x for state in opt.state.values() for x in state.values()]
    assert len({id(x) for x in slots}) == len(slots)


@every_rule
def test_state_survives_epochs(make):
    """deepnet began every epoch with new state: here two epochs of two batches are four steps."""
    opt, params = make(), example()
    kept = None
    for epoch in range(2):
        for batch in range(2):
            opt.update(params, example(seed=1 + 2 * epoch + batch))
        arrays = {(n, s): x for n, slots in opt.state.items() for s, x in slots.items()}
        assert kept is None or all(arrays[key] is x for key, x in kept.items())
        kept = arrays
    assert opt.steps == 4
    forgetful, lost = make(), example()
    for seed in (1, 2, 3, 4):
        if seed == 3:
            forgetful.state.clear()
        forgetful.update(lost, example(seed=seed))
    same = all(np.array_equal(params[name], lost[name]) for name in params)
    assert same == (opt.state == {} or not any(opt.state.values()))


@every_rule
def test_a_parameter_that_joins_later_begins_with_its_own_first_step(make):
    opt, params = make(), example()
    late = params.pop("0.bias")
    for seed in (1, 2):
        grads = example(seed=seed)
        grads.pop("0.bias")
        opt.update(params, grads)
    fresh, alone = make(), {"0.bias": late.copy()}
    opt.update({**params, "0.bias": late}, example(seed=3))
    fresh.update(alone, {"0.bias": example(seed=3)["0.bias"]})
    np.testing.assert_array_equal(late, alone["0.bias"])


@every_rule
def test_state_moves_with_its_parameter(make, place):
    """What model.to does between two steps: same numbers, another library, device or dtype."""
    opt, straight = make(), make()
    params, reference = example(), example()
    opt.update(params, example(seed=1))
    straight.update(reference, example(seed=1))
    moved = placed(place, params)
    opt.update(moved, placed(place, example(seed=2)))
    straight.update(reference, example(seed=2))
    back = {name: p.astype("float32") for name, p in hosted(moved).items()}
    for name, p in reference.items():
        np.testing.assert_allclose(hosted(moved)[name], p, rtol=1e-14, atol=1e-15)
        for slot, x in opt.state[name].items():
            assert type(x) is type(moved[name]), slot
            np.testing.assert_allclose(to_numpy(x), straight.state[name][slot], rtol=1e-14, atol=1e-15)
    opt.update(back, example("float32", 3))
    assert all(x.dtype == np.float32 for slots in opt.state.values() for x in slots.values())
    assert opt.steps == 3


def test_state_moves_between_devices_of_one_library():
    strict = pytest.importorskip("array_api_strict")
    opt, reference = Adam(), Adam()
    params, expected = example(), example()
    for seed, device in ((1, "device1"), (2, "device2")):
        there = {k: strict.asarray(p, device=strict.Device(device)) for k, p in params.items()}
        opt.update(there, {k: strict.asarray(g, device=strict.Device(device)) for k, g in example(seed=seed).items()})
        assert {str(x.device) for slots in opt.state.values() for x in slots.values()} == {str(strict.Device(device))}
        params = hosted(there)
        reference.update(expected, example(seed=seed))
    for name, p in expected.items():
        np.testing.assert_allclose(params[name], p, rtol=1e-14)


def test_biases_and_norm_scales_are_spared_the_decay_on_request():
    params = {"weight": np.ones((2, 2)), "bias": np.ones(2), "scale": np.ones(())}
    zeros = {name: np.zeros_like(p) for name, p in params.items()}
    SGD(lr=0.5, weight_decay=0.5, decay_bias_and_norm=False).update(params, zeros)
    assert [p.ravel()[0] for p in params.values()] == [0.75, 1.0, 1.0]
    SGD(lr=0.5, weight_decay=1.0).update(params, zeros)
    assert [p.ravel()[0] for p in params.values()] == [0.375, 0.5, 0.5]


def test_value_is_clipped_before_the_common_norm(place):
    params = placed(place, {"a": np.zeros(2), "b": np.zeros(1)})
    grads = placed(place, {"a": np.asarray([-9.0, 0.0]), "b": np.asarray([4.0])})
    SGD(lr=1.0, clip_value=3.0, clip_norm=2.5).update(params, grads)
    scale = 2.5 / (math.sqrt(18.0) + 1e-6)
    np.testing.assert_allclose(to_numpy(params["a"]), [3.0 * scale, 0.0], rtol=1e-15)
    np.testing.assert_allclose(to_numpy(params["b"]), [-3.0 * scale], rtol=1e-15)


def test_small_gradients_are_not_scaled_up():
    params = {"a": np.zeros(2)}
    SGD(lr=1.0, clip_value=3.0, clip_norm=2.5).update(params, {"a": np.asarray([-1.0, 0.5])})
    assert params["a"].tolist() == [1.0, -0.5]


def test_schedule_is_asked_for_the_number_of_updates_done():
    asked = []
    opt = SGD(lr=lambda step: asked.append(step) or 1.0 / (step + 1))
    params = {"a": np.zeros(1)}
    for _ in range(3):
        opt.update(params, {"a": np.ones(1)})
    assert asked == [0, 1, 2]
    np.testing.assert_allclose(params["a"], [-(1 + 1 / 2 + 1 / 3)])


def test_schedule_may_end_at_zero():
    params = {"a": np.ones(1)}
    opt = SGD(lr=CosineAnnealingLR(1.0, T_max=1))
    opt.steps = 1
    opt.update(params, {"a": np.ones(1)})
    assert params["a"].tolist() == [1.0]


@pytest.mark.parametrize("lr", [math.nan, -0.1, math.inf, None, "fast"])
def test_schedule_that_returns_nonsense_is_refused_before_anything_changes(lr):
    params, opt = example(), SGD(lr=lambda step: lr, momentum=0.9)
    with pytest.raises(ConfigError, match="SGD: expected lr at step 0"):
        opt.update(params, example(seed=1))
    assert_untouched(params, opt)


def test_model_without_parameters_is_a_step():
    opt = Adam(**CLIPPING)
    opt.update({}, {})
    assert opt.steps == 1


def assert_untouched(params, opt):
    assert opt.steps == 0
    assert opt.state == {}
    for name, p in example().items():
        np.testing.assert_array_equal(params[name], p)


@pytest.mark.parametrize(
    ("spoil", "error", "text"),
    [
        (lambda p, g: g.pop("0.bias"), StateDictError, r"Adam: .*none for \['0.bias'\] and unexpected \[\]"),
        (
            lambda p, g: (g.pop("0.bias"), g.pop("1.weight"), g.update(x=g["0.weight"], y=g["0.weight"])),
            StateDictError,
            r"none for \['0.bias', '1.weight'\] and unexpected \['x', 'y'\]",
        ),
        (lambda p, g: g.update({"1.weight": np.zeros((4, 2))}), ShapeError, r"Adam: .*'1.weight'.*\(2, 4\).*\(4, 2\)"),
        (lambda p, g: g.update({"1.weight": np.zeros(())}), ShapeError, r"'1.weight'"),
        (lambda p, g: g.update({"1.weight": g["1.weight"].astype("float32")}), DtypeError, r"'1.weight'.*float32"),
        (lambda p, g: g.update({"1.weight": g["1.weight"].astype("int64")}), DtypeError, r"'1.weight'.*int64"),
        (lambda p, g: g.update({"1.weight": g["1.weight"].astype("complex128")}), DtypeError, r"complex128"),
        (lambda p, g: g.update({"1.weight": g["1.weight"].astype(object)}), DtypeError, r"object"),
        (lambda p, g: g.update({"1.weight": None}), NamespaceError, r"Adam: .*gradient of '1.weight'.*NoneType"),
        (lambda p, g: g.update({"1.weight": [[0.0] * 4] * 2}), NamespaceError, r"list"),
    ],
)
def test_gradients_that_do_not_fit_are_refused_before_anything_changes(spoil, error, text):
    params, grads, opt = example(), example(seed=1), Adam()
    spoil(params, grads)
    with pytest.raises(error, match=text):
        opt.update(params, grads)
    assert_untouched(params, opt)


def test_half_precision_and_integer_parameters_are_refused():
    for dtype in ("float16", "int32"):
        x = {"w": np.ones(2, dtype=dtype)}
        with pytest.raises(DtypeError, match=rf"Adam: expected parameter 'w' of dtype float32 or float64, got {dtype}"):
            Adam().update(x, {"w": x["w"].copy()})


def test_read_only_parameter_is_refused_before_anything_changes():
    params, opt = example(), Adam()
    params["1.weight"].flags.writeable = False
    with pytest.raises(ConfigError, match=r"Adam: expected parameter '1.weight' to be writable"):
        opt.update(params, example(seed=1))
    assert_untouched(params, opt)


def test_gradients_in_a_list_are_refused():
    with pytest.raises(NamespaceError, match="Adam: expected grads to be a dict"):
        Adam().update(example(), list(example().values()))


def test_mixed_libraries_and_devices_are_refused_by_name():
    strict = pytest.importorskip("array_api_strict")
    params, grads, opt = example(), example(seed=1), Adam()
    grads["1.weight"] = strict.asarray(grads["1.weight"])
    with pytest.raises(NamespaceError, match=r"Adam: .*gradient of '1.weight' on cpu.*array_api_strict"):
        opt.update(params, grads)
    assert_untouched(params, opt)
    there = {k: strict.asarray(p, device=strict.Device("device1")) for k, p in example().items()}
    elsewhere = {k: strict.asarray(p, device=strict.Device("device2")) for k, p in example().items()}
    with pytest.raises(DeviceMismatchError, match=r"Adam: .*gradient of '0.weight'.*device1.*device2"):
        opt.update(there, elsewhere)
    mixed = {**there, "1.weight": elsewhere["1.weight"]}
    with pytest.raises(DeviceMismatchError, match=r"Adam: expected parameter '1.weight'.*device1.*device2"):
        opt.update(mixed, mixed)


def test_optimizer_of_another_model_is_refused_when_its_state_has_other_shapes():
    opt = Adam()
    opt.update({"w": np.ones(3)}, {"w": np.ones(3)})
    params = {"w": np.ones((3, 3))}
    with pytest.raises(ShapeError, match=r"Adam: expected parameter 'w' of shape \(3,\) as its state 'exp_avg'"):
        opt.update(params, {"w": np.ones((3, 3))})
    assert opt.steps == 1
    assert params["w"].tolist() == np.ones((3, 3)).tolist()


@every_rule
@pytest.mark.parametrize("lr", [0, -1.0, math.nan, math.inf, "0.1", None, True, 1j, np.ones(1)])
def test_bad_learning_rate_is_refused_at_construction(make, lr):
    with pytest.raises(ConfigError, match=rf"{type(make()).__name__}: expected lr to be a finite number > 0"):
        make(lr=lr)


@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        *((rule, {name: value}) for rule in RULES for name, value in [
            ("weight_decay", -0.1), ("weight_decay", math.nan), ("clip_value", 0.0), ("clip_value", -1),
            ("clip_norm", 0.0), ("clip_norm", math.inf), ("decay_bias_and_norm", "no"),
        ]),
        *((rule, {"eps": value}) for rule in RULES if rule not in (SGD, Lion) for value in (0, -1e-8, math.nan)),
        *((rule, {"betas": value}) for rule in (Adam, AdamW, Adamax, NAdam, RAdam, Lion) for value in
          [(1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, math.nan), 0.9, (0.9,), (0.9, 0.99, 0.999)]),
        *((rule, {"amsgrad": 1}) for rule in (Adam, AdamW)),
        (SGD, {"momentum": -0.1}),
        (SGD, {"momentum": math.inf}),
        (SGD, {"dampening": -0.1}),
        (SGD, {"dampening": 1.1}),
        (SGD, {"nesterov": True}),
        (SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
        (SGD, {"nesterov": 1, "momentum": 0.9}),
        (RMSprop, {"momentum": -0.1}),
        (RMSprop, {"alpha": 1.0}),
        (RMSprop, {"alpha": -0.1}),
        (RMSprop, {"centered": None}),
        (Adagrad, {"lr_decay": -1}),
        (Adagrad, {"initial_accumulator_value": -1}),
        (Adadelta, {"rho": 1.1}),
        (Adadelta, {"rho": -0.1}),
        (NAdam, {"momentum_decay": -0.1}),
        (NAdam, {"decoupled_weight_decay": 1}),
        (RAdam, {"decoupled_weight_decay": None}),
        (LARS, {"momentum": -0.1}),
        (LARS, {"dampening": 1.1}),
        (LARS, {"trust_coeff": 0.0}),
        (LARS, {"nesterov": True, "momentum": 0.0}),
        (LARS, {"nesterov": True, "dampening": 0.1}),
        (LARS, {"adapt_bias_and_norm": 1}),
        (Muon, {"momentum": 1.0}),
        (Muon, {"nesterov": 1}),
        (Muon, {"ns_steps": 0}),
        (Muon, {"ns_steps": 100}),
        (Muon, {"ns_coefficients": (1.0, 2.0)}),
        (Muon, {"ns_coefficients": 3.0}),
        (Muon, {"ns_coefficients": (1.0, 2.0, math.nan)}),
        (Muon, {"adjust_lr_fn": "adamw"}),
    ],
)  # fmt: skip
def test_bad_settings_are_refused_at_construction_with_the_name_of_the_class(rule, settings):
    with pytest.raises(ConfigError, match=rf"^{rule.__name__}: expected {next(iter(settings))}") as caught:
        rule(**settings)
    assert isinstance(caught.value, ValueError)


def test_get_knows_the_names_and_passes_optimizers_through():
    kinds = {"momentum": SGD, "nesterov": SGD, **{rule.__name__.lower(): rule for rule in RULES}}
    kinds["muon"] = ParamGroups
    assert kinds.keys() == optimizers._NAMED.keys()
    for name, kind in kinds.items():
        opt = optimizers.get(name, lr=0.25)
        assert type(opt) is kind
        assert opt.lr == 0.25
        assert kind is ParamGroups or optimizers.get(name).lr == kind().lr
    assert optimizers.get("momentum").momentum == 0.9
    assert optimizers.get("nesterov").nesterov
    assert not optimizers.get("momentum").nesterov
    assert optimizers.get("sgd").momentum == 0
    opt = Adam()
    assert optimizers.get(opt) is opt


def test_get_lists_the_names_when_there_is_no_such_one():
    names = optimizers._NAMED
    for wrong in ("adamm", None, Adam, ["sgd"]):
        with pytest.raises(ConfigError) as caught:
            optimizers.get(wrong)
        assert all(repr(name) in str(caught.value) for name in names)


def test_get_refuses_a_learning_rate_beside_an_optimizer():
    with pytest.raises(ConfigError, match=r"optimizers.get: got lr=0.1"):
        optimizers.get(Adam(), lr=0.1)


@every_rule
def test_config_rebuilds_the_optimizer_through_json(make):
    opt = make(**CLIPPING, decay_bias_and_norm=False)
    config = json.loads(json.dumps(opt.config()))
    assert config["clip_norm"] == CLIPPING["clip_norm"]
    again = optimizers.from_config(config)
    assert type(again) is type(opt)
    assert again.config() == opt.config()
    assert repr(again) == repr(opt)
    assert repr(opt).startswith(f"{type(opt).__name__}(lr=0.1, ")


def test_config_holds_schedules_and_refuses_functions():
    opt = SGD(lr=LinearWarmup(StepLR(0.1, 10), 5))
    inner = {"name": "StepLR", "lr": 0.1, "step_size": 10, "gamma": 0.1}
    config = json.loads(json.dumps(opt.config()))["lr"]
    assert config == {"name": "LinearWarmup", "lr": inner, "steps": 5, "start_factor": 1 / 3}
    assert optimizers.from_config(opt.config()).config() == opt.config()
    with pytest.raises(ConfigError, match=r"SGD.config: lr=.*function"):
        SGD(lr=lambda step: 0.1).config()


def test_every_optimizer_is_abstract_or_final():
    kinds = {x for x in vars(optimizers).values() if isinstance(x, type) and issubclass(x, Optimizer)}
    assert kinds == {Optimizer, Rule, Accumulate, ParamGroups, *RULES}
    for kind in kinds:
        if sys.version_info >= (3, 11):  # before, typing.final left no mark
            assert bool(getattr(kind, "__final__", False)) != bool(kind.__abstractmethods__), kind


def test_name_muon_trains_matrices_by_muon_and_all_else_by_adamw():
    params, opt = example(), optimizers.get("muon", lr=0.1)
    opt.update(params, example(seed=1))
    assert {name: set(slots) - {"step"} for name, slots in opt.state.items()} == {
        "0.weight": {"momentum_buffer"},
        "1.weight": {"momentum_buffer"},
        "0.bias": {"exp_avg", "exp_avg_sq"},
    }
    by_adamw = example()["0.bias"]
    AdamW(lr=0.1).update({"0.bias": by_adamw}, {"0.bias": example(seed=1)["0.bias"]})
    np.testing.assert_array_equal(params["0.bias"], by_adamw)


@pytest.mark.parametrize(
    "config",
    [None, {}, {"name": "Adam2"}, {"name": "Optimizer"}, {"name": "Rule"}, {"name": "get"}, {"name": ["SGD"]},
     {"name": "SGD", "speed": 1}, {"name": "StepLR", "lr": 0.1}, {"name": "SGD", "lr": {"name": "os.system"}}, "SGD"],
    ids=str,
)  # fmt: skip
def test_config_that_is_none_is_refused(config):
    with pytest.raises(ConfigError, match=r"^optimizers.from_config"):
        optimizers.from_config(config)


@every_rule
def test_float32_steps_are_right_to_float32(make):
    """Lion's signs may flip where the momentum is a rounding error; it has none so small here."""
    single, one, two = example("float32"), make(lr=0.01), make(lr=0.01)
    double = {name: p.astype("float64") for name, p in single.items()}
    for seed in range(1, 11):
        one.update(single, example("float32", seed))
        two.update(double, {name: g.astype("float64") for name, g in example("float32", seed).items()})
    for name, p in double.items():
        np.testing.assert_allclose(single[name], p, rtol=0, atol=3e-6)
