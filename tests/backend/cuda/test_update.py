"""Updates of all parameters in one launch: what the rules themselves make of arrays, for every rule and setting."""

import copy
import logging

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.namespaces import bits
from xpcnn import optimizers
from xpcnn.backend import Key, normal, registry, to_numpy
from xpcnn.backend.cuda import launch, update
from xpcnn.layers import BatchNorm2d
from xpcnn.optimizers import (
    EMA,
    LARS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    NAdam,
    ParamGroups,
    RAdam,
    RMSprop,
    Rule,
)

SHAPES = {"turned": (4, 3, 5, 2), "bias": (7,), "matrix": (300, 7), "scalar": (), "none": (0, 3), "row": (1, 257)}
unit = st.sampled_from([0.0, 0.5, 0.9, 0.999])
decay = st.sampled_from([0.0, 0.03])
common = {"weight_decay": decay, "decay_bias_and_norm": st.booleans()}
betas = st.tuples(unit, unit)
RULES = {
    SGD: {"momentum": unit, "dampening": st.just(0.25)},
    Adagrad: {"lr_decay": decay, "initial_accumulator_value": unit},
    RMSprop: {"alpha": unit, "momentum": unit, "centered": st.booleans()},
    Adam: {"betas": betas, "amsgrad": st.booleans(), "eps": st.sampled_from([1e-8, 0.1])},
    AdamW: {"betas": betas, "amsgrad": st.booleans()},
    Adadelta: {"rho": unit},
    Adamax: {"betas": betas},
    NAdam: {"betas": betas, "decoupled_weight_decay": st.booleans(), "momentum_decay": decay},
    RAdam: {"betas": betas, "decoupled_weight_decay": st.booleans()},
    Lion: {"betas": betas},
}
EXACT = (SGD, Adagrad, RMSprop, Adadelta, Lion)  # + - * / and roots only; the others take exp and expm1
fixtures = settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def on(cupy, monkeypatch):
    """The kernels for CuPy's arrays answer for NumPy's, which stand in for them."""
    for op in ("update", "clipped"):
        monkeypatch.setitem(registry._kernels, (op, "numpy"), registry._kernels[op, "cupy"])
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    return cupy


def laid_out(x, order):
    return np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))


def arrays(seed, dtype, order=(0, 1, 2, 3), matrix=(0, 1)):
    made = {name: np.asarray(normal(shape, Key(seed, name)).astype(dtype)) for name, shape in SHAPES.items()}
    return {**made, "turned": laid_out(made["turned"], order), "matrix": laid_out(made["matrix"], matrix)}


def trained(optimizer, dtype="float32", steps=20, late="bias", p_order=(0, 1, 2, 3), g_order=(0, 1, 2, 3)):
    params = arrays(0, dtype, p_order)
    del params["scalar"]  # a kernel of its own, and it takes long to compile them
    for step in range(steps):
        grads = arrays(step + 1, dtype, g_order, (1, 0))
        del grads["scalar"]
        waits = {late} if step == 0 else set()  # joins when it is thawed
        kept = {name: g.tobytes() for name, g in grads.items()}
        optimizer.update(
            {name: p for name, p in params.items() if name not in waits},
            {name: g for name, g in grads.items() if name not in waits},
        )
        assert kept == {name: g.tobytes() for name, g in grads.items()}
    return params


def generic(optimizer, *args, **kwargs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPCNN_KERNELS", "generic")
        return trained(optimizer, *args, **kwargs)


def same(one, other, tolerance=0.0):
    assert one.keys() == other.keys()
    for name, a in one.items():
        b = other[name]
        if isinstance(a, dict):
            same(a, b, tolerance)
            continue
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        eps = tolerance * np.finfo(a.dtype).eps
        np.testing.assert_allclose(a, b, rtol=eps, atol=eps, err_msg=name)


def test_every_rule_for_single_numbers_is_here():
    rules = [x for x in vars(optimizers).values() if isinstance(x, type) and issubclass(x, Rule)]
    assert {rule for rule in rules if vars(rule).get("elementwise")} == RULES.keys()


@fixtures
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@given(data=st.data())
def test_a_rule_gives_what_it_says(on, rule, data):
    chosen = data.draw(st.fixed_dictionaries({**common, **RULES[rule]}))
    dtype, order = data.draw(st.tuples(st.sampled_from(["float32", "float64"]), st.permutations(range(4))))
    on.launched.clear()
    makers = [lambda: rule(lr=optimizers.StepLR(0.01, step_size=7, gamma=0.3), **chosen) for _ in range(2)]
    one, other = (make() for make in makers)
    params = trained(one, dtype, p_order=order)
    expected = generic(other, dtype, p_order=order)
    # of numbers near 1, after 20 steps of 0.01 that are off by some roundings each
    tolerance = 0.0 if rule in EXACT else 16.0
    same(params, expected, tolerance)
    same(one.state, other.state, tolerance)
    assert on.launched
    assert params["turned"].transpose(order).flags.c_contiguous


@pytest.mark.parametrize("make", [lambda: AdamW(lr=0.1, weight_decay=0.3), lambda: NAdam(decoupled_weight_decay=True)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_learning_rate_on_the_device_gives_the_bits_of_one_by_value(on, make, dtype):
    results = []
    for wrap in (float, lambda lr: np.asarray([lr])):
        rule, params = make(), arrays(0, dtype)
        state = {name: rule.init_state(p) for name, p in params.items()}
        for step in range(4):
            grads = arrays(step + 1, dtype)
            update.update(rule.apply, [(p, grads[n], state[n]) for n, p in params.items()], wrap(0.1 / 3.0**step))
        results.append(bits(params))
    assert results[0] == results[1]


def test_a_replay_takes_the_learning_rate_of_its_time(on, monkeypatch):
    """As a captured graph does: the launches of one step again, with the same arguments."""
    launches = []
    compiled = launch.compiled

    def recorded(*which):
        def call(*args):
            launches.append((compiled(*which), args))
            compiled(*which)(*args)

        return call

    rule, params, lr = Adam(), arrays(0, "float32"), np.asarray([0.1])
    expected = arrays(0, "float32")
    state, others = ({n: rule.init_state(p) for n, p in some.items()} for some in (params, expected))
    grads = arrays(1, "float32")
    monkeypatch.setattr(launch, "compiled", recorded)
    update.update(rule.apply, [(p, grads[n], state[n]) for n, p in params.items()], lr)
    monkeypatch.setattr(launch, "compiled", compiled)
    lr[...] = 0.025
    for kernel, args in launches:
        kernel(*args)
    for value in (0.1, 0.025):
        update.update(rule.apply, [(p, grads[n], others[n]) for n, p in expected.items()], value)
    assert bits(params) == bits(expected)
    assert {n: bits(s) for n, s in state.items()} == {n: bits(s) for n, s in others.items()}


def test_all_parameters_are_one_launch_and_their_counts_of_steps_another(on):
    adam = Adam()
    for step in range(2):
        on.launched.clear()
        adam.update(arrays(0, "float32"), arrays(step + 1, "float32"))
        # parameters without axes are a formula of their own
        assert sorted(on.launched) == ["xpcnn_Adam_apply", "xpcnn_Adam_apply", "xpcnn_Adam_apply_once"]


@pytest.mark.parametrize("rule", [Adam, NAdam, RMSprop])
def test_a_parameter_of_no_axes_is_one_entry(on, rule):
    one, other = rule(weight_decay=0.1), rule(weight_decay=0.1)
    found, expected = ({"p": np.asarray(2.0), "q": np.asarray(-1.0)} for _ in range(2))
    for step in range(3):
        grads = {name: np.asarray(normal((), Key(step, name))) for name in found}
        one.update(found, grads)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XPCNN_KERNELS", "generic")
            other.update(expected, grads)
    assert set(on.launched) == {f"xpcnn_{rule.__name__}_apply"}
    same(found, expected, 4.0)
    same(one.state, other.state, 4.0)


def test_many_parameters_take_some_launches(on):
    sizes = [5, 0, 1200, *[3] * 90, 2050]
    params, other = ({str(i): normal((n,), Key(i)) for i, n in enumerate(sizes)} for _ in range(2))
    grads = {name: normal(p.shape, Key(1, name)) for name, p in params.items()}
    one, two = Adam(), Adam()
    one.update(params, grads)
    assert len(on.launched) == 4  # 76 rows of five arrays are all that 4 KB hold
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPCNN_KERNELS", "generic")
        two.update(other, grads)
    same(params, other, 4.0)
    same(one.state, two.state, 4.0)


def test_settings_that_change_count_from_the_next_step(on):
    def run():
        rule, params = SGD(lr=0.1, momentum=0.5, weight_decay=0.1), arrays(0, "float32")
        for step, momentum in enumerate([0.5, 0.9, 0.0, 0.5]):
            rule.momentum = momentum
            rule.weight_decay = 0.1 * step
            rule.update(params, arrays(step + 1, "float32"))
        return params

    found = run()
    assert on.launched
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPCNN_KERNELS", "generic")
        same(found, run())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_and_state_in_pieces_of_memory_are_put_together_and_back(on, dtype):
    def run():
        whole = normal((9, 8), Key(0)).astype(dtype)
        params = {"p": whole[::2, 1::3], "back": normal((6,), Key(1)).astype(dtype)[::-1]}
        adam = Adam(lr=0.1, amsgrad=True)
        adam.update(params, {name: normal(p.shape, Key(2, name)).astype(dtype) for name, p in params.items()})
        adam.state["p"]["exp_avg"] = np.asfortranarray(adam.state["p"]["exp_avg"])
        adam.update(params, {name: normal(p.shape, Key(3, name)).astype(dtype) for name, p in params.items()})
        return {"whole": whole, **params, **adam.state["p"]}

    found = run()
    assert on.launched
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPCNN_KERNELS", "generic")
        same(found, run(), 4.0)


def test_of_arrays_that_share_memory_it_counts_who_comes_first(on):
    def run():
        p = np.arange(6.0)
        SGD(lr=0.5).update({"a": p, "b": p[2:]}, {"a": p[::-1], "b": np.ones(4)})
        return {"p": p}

    found = run()
    assert not on.launched
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPCNN_KERNELS", "generic")
        same(found, run())


def test_one_gradient_may_be_that_of_two(on):
    g = np.ones(3)
    params = {"a": np.zeros(3), "b": np.zeros(3)}
    SGD(lr=0.5).update(params, {"a": g, "b": g})
    assert on.launched == ["xpcnn_SGD_apply"]
    assert params["a"].tolist() == params["b"].tolist() == [-0.5] * 3


class Mine(SGD.__mro__[1]):
    """A user's rule, which makes its slots as it goes, in place of others and without."""

    elementwise = True

    def __init__(self, body, lr=0.1):
        super().__init__(lr, 0.0, None, None, True)
        self.body = body

    def init_state(self, p):
        return {"step": np.zeros((), p.dtype), "old": np.zeros_like(p)}

    def apply(self, p, g, state, lr):
        self.body(p, g, state, lr)


def slots(p, g, state, lr):
    state["step"] = state["step"] + 1.0
    state["old"] = state["old"] * 0.5 + g
    state["last"] = g
    state["ten"] = 10.0 * state["step"]
    p -= lr / state["step"] * state["old"]


def means(p, g, state, lr):
    p -= lr * (g - np.mean(g))


def branches(p, g, state, lr):
    p -= lr * g if state["step"] < 3.0 else 2.0 * lr * g
    state["step"] += 1.0


def mixes(p, g, state, lr):
    state["step"] = g * 2.0
    p -= lr * g


@pytest.mark.parametrize(("body", "traced"), [(slots, True), (means, False), (branches, False)])
def test_a_rule_of_the_users_own_is_traced_where_it_can_be(on, body, traced, caplog):
    def run():
        rule, params = Mine(body), {"w": normal((30,), Key(0)), "v": normal((2, 3), Key(1))}
        for step in range(4):
            rule.update(params, {name: normal(p.shape, Key(2, name, step)) for name, p in params.items()})
        return {**params, **rule.state}

    with caplog.at_level(logging.DEBUG, "xpcnn"):
        found = run()
    assert bool(on.launched) == traced
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (not traced)
    assert all(text.startswith("Mine.apply: computed by CuPy's operations") for text in said)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPCNN_KERNELS", "generic")
        same(found, run())


def test_a_number_for_all_cannot_come_from_one_entry(on):
    kind = (np.dtype("float32"), 1, (("step", False), ("old", True)))
    assert update._kernels(Mine(mixes).apply, kind, False) is None
    assert update._kernels(Mine(slots).apply, kind, False) is not None


def test_a_rule_that_changes_its_gradient_or_drops_a_slot_is_not_traced():
    def doubles(p, g, state, lr):
        g *= 2.0

    def drops(p, g, state, lr):
        del state["old"]

    kind = (np.dtype("float32"), 1, (("step", False), ("old", True)))
    for body in (doubles, drops):
        assert update._kernels(Mine(body).apply, kind, False) is None
        assert update._kernels(body, kind, False) is None


def test_a_function_of_what_surrounds_it_is_traced_each_time():
    kind, slope = (np.dtype("float32"), 1, ()), 2.0

    def around(p, g, state, lr):
        p -= slope * g

    first = update._kernels(around, kind, False)
    slope = 3.0
    assert update._kernels(around, kind, False) != first


def test_lars_sees_whole_arrays(on):
    LARS().update(arrays(0, "float32"), arrays(1, "float32"))
    assert not on.launched


class Watched(np.ndarray):
    """Numbers that nobody may look at on the host."""

    def refuse(self, *_):
        pytest.fail("a number was read")

    __bool__ = __float__ = __int__ = __index__ = item = tolist = refuse


@pytest.mark.parametrize("clip", [{}, {"clip_value": 0.5, "clip_norm": 1.0}])
def test_no_number_is_read_on_the_host(on, clip):
    rule, params, grads = AdamW(weight_decay=0.1), *(arrays(seed, "float32") for seed in (0, 1))
    state = {name: rule.init_state(p) for name, p in params.items()}

    def watched(some):
        return {name: watched(a) if isinstance(a, dict) else a.view(Watched) for name, a in some.items()}

    limited = optimizers.clipping.partial(optimizers.clipping._limited, 0.5) if clip else None
    scaled = optimizers.clipping.partial(optimizers.clipping._scaled, 1.0) if clip else None
    grads = watched(grads)
    if clip:
        grads = update.clipped(grads, limited, scaled)
        assert grads is not None
    params, state = watched(params), watched(state)
    update.update(rule.apply, [(p, grads[n], state[n]) for n, p in params.items()], np.asarray([0.1]))
    assert on.launched


# Clipping.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("clip_value", "clip_norm"), [(0.4, None), (None, 0.8), (0.4, 0.8), (None, 1e6), (0.0001, 2.0)]
)
def test_clipping_is_that_of_the_generic_body(on, dtype, clip_value, clip_norm):
    grads = {**arrays(1, dtype, (0, 2, 3, 1)), "long": normal((3, 7000), Key(5)).astype(dtype)}
    before = bits(grads)
    found = optimizers.clipping.clipped(grads, clip_value, clip_norm)
    assert on.launched == ["xpcnn_clipping_squares"] * (clip_norm is not None) + ["xpcnn_clipping"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPCNN_KERNELS", "generic")
        expected = optimizers.clipping.clipped(grads, clip_value, clip_norm)
    assert bits(grads) == before
    eps = 0.0 if clip_norm is None else 8 * np.finfo(dtype).eps
    for name, g in expected.items():
        assert found[name].dtype == g.dtype
        np.testing.assert_allclose(found[name], g, rtol=eps)
    assert found["turned"].strides == grads["turned"].strides
    again = optimizers.clipping.clipped(grads, clip_value, clip_norm)
    assert bits(again) == bits(found)


def test_one_norm_is_for_all_of_many_gradients(on):
    found = optimizers.clipping.clipped({str(i): np.full(1, 2.0) for i in range(400)}, None, 1.0)
    np.testing.assert_allclose([g.item() for g in found.values()], 1 / 20, rtol=1e-6)
    assert on.launched.count("xpcnn_clipping_squares") == 3


def test_one_norm_is_for_gradients_of_two_dtypes(on):
    grads = {"a": np.full(4, 3.0, "float32"), "b": np.full(4, 4.0)}
    found = optimizers.clipping.clipped(grads, None, 1.0)
    for name, value in (("a", 0.3), ("b", 0.4)):
        assert found[name].dtype == grads[name].dtype
        np.testing.assert_allclose(found[name], value, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_no_number_is_so_everywhere(on, bad):
    grads = {"a": np.asarray([1.0, bad]), "b": np.ones(3)}
    found = optimizers.clipping.clipped(grads, None, 1.0)
    with pytest.MonkeyPatch.context() as patch, np.errstate(invalid="ignore"):
        patch.setenv("XPCNN_KERNELS", "generic")
        for name, g in optimizers.clipping.clipped(grads, None, 1.0).items():
            np.testing.assert_array_equal(found[name], g)
    limited = optimizers.clipping.clipped(grads, 0.5, None)
    np.testing.assert_array_equal(limited["a"], [0.5, 0.5 if bad == np.inf else np.nan])


def test_squares_of_float32_do_not_overflow(on):
    found = optimizers.clipping.clipped({"a": np.asarray([3e25, 4e25], "float32")}, None, 1.0)
    np.testing.assert_allclose(found["a"], [0.6, 0.8], rtol=1e-6)


def test_groups_and_rules_clip_with_the_same_kernels(on):
    optimizer = ParamGroups({"bias": SGD(lr=0.5)}, rest=Adam(lr=0.1, clip_value=0.1), clip_norm=1.0)
    other = copy.deepcopy(optimizer)
    same(trained(optimizer, steps=3, late=None), generic(other, steps=3, late=None), 64.0)
    assert {"xpcnn_clipping_squares", "xpcnn_SGD_apply", "xpcnn_Adam_apply"} <= set(on.launched)


# Averages.


@pytest.mark.parametrize("bias_correction", [False, True])
def test_averages_are_those_of_the_generic_body(on, bias_correction, monkeypatch):
    def run():
        model, ema = BatchNorm2d(5), EMA(0.9, use_buffers=True, bias_correction=bias_correction)
        for step in range(4):
            for name, p in [*model.params.items(), *model.buffers.items()]:
                p[...] = step if p.dtype == np.int64 else normal(p.shape, Key(step, name))
            ema.update(model)
        return ema.state

    found = run()
    assert on.launched == ["xpcnn_follow"] * 3
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    expected = run()
    assert found.pop("num_batches_tracked") == expected.pop("num_batches_tracked")
    same(found, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gpu_makes_the_same_steps(space_of_cupy, rule, dtype):
    one, other = (rule(lr=0.01, weight_decay=0.03, clip_norm=50.0) for _ in range(2))
    expected = arrays(0, dtype)
    params = {name: space_of_cupy.asarray(p) for name, p in expected.items()}
    for step in range(5):
        grads = arrays(step + 1, dtype)
        one.update(params, {name: space_of_cupy.asarray(g) for name, g in grads.items()})
        other.update(expected, grads)
    same({name: to_numpy(p) for name, p in params.items()}, expected, 64.0)


@pytest.mark.gpu
def test_a_gpu_replays_a_step_with_the_learning_rate_of_its_time(space_of_cupy):
    import cupy

    stream, rule = cupy.cuda.Stream(non_blocking=True), AdamW(weight_decay=0.1)
    with stream:
        lr = cupy.asarray([0.1])
        start = {name: space_of_cupy.asarray(p) for name, p in arrays(0, "float32").items()}
        grads = {name: space_of_cupy.asarray(g) for name, g in arrays(1, "float32").items()}

        def items(params):
            state = {name: rule.init_state(p) for name, p in params.items()}
            return [(p, grads[name], state[name]) for name, p in params.items()]

        eager, replayed, warm = (items({name: p.copy() for name, p in start.items()}) for _ in range(3))
        update.update(rule.apply, warm, lr)
        stream.begin_capture()
        update.update(rule.apply, replayed, lr)
        graph = stream.end_capture()
        for value in (0.1, 0.025, 0.3):
            lr[...] = value
            graph.launch(stream)
            update.update(rule.apply, eager, value)
        stream.synchronize()
        for (p, _, state), (q, _, other) in zip(eager, replayed, strict=True):
            assert bits({"p": p, **state}) == bits({"p": q, **other})
