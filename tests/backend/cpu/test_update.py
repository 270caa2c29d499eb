"""Updates in pieces: the same bits as without, whatever the rule, the order in memory and the number of threads."""

import threading

import numpy as np
import pytest

from tests.optimizers.test_base import MAKERS
from xpcnn.backend.cpu import get_num_threads, set_num_threads, update
from xpcnn.optimizers import LARS, SGD, Accumulate, Adam, AdamW, ParamGroups, Rule

SHAPES = {"turned": (6, 4, 3, 2), "bias": (7,), "matrix": (9, 11), "scalar": (), "none": (0, 3), "row": (1, 50)}
MORE = {
    "momentum": lambda: SGD(lr=0.1, momentum=0.9),
    "spared": lambda: AdamW(lr=0.1, weight_decay=0.5, decay_bias_and_norm=False),
    "groups": lambda: ParamGroups({"ndim<2": SGD(lr=0.5)}, rest=Adam(lr=0.1), clip_norm=1.0),
    "accumulated": lambda: Accumulate(Adam(lr=0.1), every=2),
}
every_optimizer = pytest.mark.parametrize("make", [*MAKERS.values(), *MORE.values()], ids=[*MAKERS, *MORE])


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Pieces of four or eight numbers, and two threads even where there is one core."""
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    for name, value in {"SMALL": 0, "MOST": 32, "LINES": 16, "BLOCK": 3}.items():
        monkeypatch.setattr(update, name, value)
    before = get_num_threads()
    set_num_threads(2)
    yield
    set_num_threads(before)


@pytest.fixture
def sizes(monkeypatch):
    """Numbers in the arrays that `Rule.apply` was called with."""
    seen = []
    for rule in (Adam, SGD, LARS):
        apply = rule.apply

        def watched(self, p, g, state, lr, apply=apply):
            seen.append(p.size)
            apply(self, p, g, state, lr)

        monkeypatch.setattr(rule, "apply", watched)
    return seen


def test_a_large_array_goes_once_before_the_first_update(monkeypatch):
    update._let_a_large_array_go.cache_clear()
    asked, empty = [], np.empty
    monkeypatch.setattr(update.np, "empty", lambda *args: asked.append(args) or empty(*args))
    optimizer = SGD(lr=0.1)
    for _ in range(2):
        optimizer.update({"p": np.ones(1)}, {"p": np.ones(1)})
    assert asked.count((16 * update.MOST, np.uint8)) == 1


def arrays(seed, dtype="float32", order=None):
    """Arrays of all shapes; with an order of axes, those of four axes lie in memory in that order."""
    rng = np.random.Generator(np.random.Philox(seed))
    made = {name: np.asarray(rng.standard_normal(shape), dtype) for name, shape in SHAPES.items()}
    if order is not None:
        made["turned"] = laid_out(made["turned"], order)
        made["matrix"] = laid_out(made["matrix"], (1, 0))
    return made


def laid_out(x, order):
    return np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))


def trained(make, steps=4, dtype="float32", p_order=None, g_order=None):
    """Parameters and state after some steps; a parameter joins late, as one that was frozen."""
    optimizer, params = make(), arrays(0, dtype, p_order)
    for step in range(steps):
        grads = arrays(1 + step, dtype, g_order)
        late = {} if step else {"bias": 0}
        optimizer.update(
            {name: p for name, p in params.items() if name not in late},
            {name: g for name, g in grads.items() if name not in late},
        )
    return params, optimizer


def same(one, other):
    """Bits, dtypes and the names of everything."""
    (params, optimizer), (others, generic) = one, other
    for name, p in params.items():
        assert p.tobytes() == others[name].tobytes(), name
    assert optimizer.state.keys() == generic.state.keys()
    for name, slots in optimizer.state.items():
        assert slots.keys() == generic.state[name].keys()
        for slot, value in slots.items():
            expected = generic.state[name][slot]
            assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
            assert value.tobytes() == expected.tobytes(), (name, slot)


@every_optimizer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p_order", [None, (2, 3, 1, 0)], ids=["p C", "p turned"])
@pytest.mark.parametrize("g_order", [None, (2, 3, 1, 0), (3, 0, 2, 1)], ids=["g C", "g turned", "g other"])
def test_pieces_give_the_bits_of_the_whole(make, dtype, p_order, g_order, monkeypatch):
    cut = trained(make, dtype=dtype, p_order=p_order, g_order=g_order)
    set_num_threads(1)
    alone = trained(make, dtype=dtype, p_order=p_order, g_order=g_order)
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    whole = trained(make, dtype=dtype, p_order=p_order, g_order=g_order)
    same(cut, whole)
    same(alone, whole)


def test_parameters_are_cut_but_for_small_ones_and_lars(sizes):
    trained(lambda: Adam(), steps=2)
    assert max(sizes) == 8
    assert sum(sizes) == 2 * sum(int(np.prod(shape)) for shape in SHAPES.values()) - SHAPES["bias"][0]
    sizes.clear()
    trained(lambda: LARS(), steps=2)
    assert set(sizes) == {int(np.prod(shape)) for shape in SHAPES.values()}


def test_what_lies_in_memory_in_another_order_is_cut_too(sizes):
    trained(lambda: Adam(), steps=2, p_order=(2, 3, 1, 0), g_order=(2, 3, 1, 0))
    assert max(sizes) == 8


def test_generic_cuts_nothing(sizes, monkeypatch):
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    trained(lambda: Adam(), steps=2)
    assert set(sizes) == {int(np.prod(shape)) for shape in SHAPES.values()}


def test_few_parameters_are_left_whole(sizes, monkeypatch):
    monkeypatch.setattr(update, "SMALL", 1 << 20)
    trained(lambda: SGD(), steps=2)
    assert max(sizes) == 144


class Centered(Rule):
    """A user's rule: steps have a mean of 0."""

    def __init__(self, lr=0.1):
        super().__init__(lr, 0.0, None, None, True)

    def init_state(self, p):
        return {}

    def apply(self, p, g, state, lr):
        p -= lr * (g - np.mean(g))


def test_a_rule_of_the_users_own_sees_whole_arrays():
    params, grads = {"w": np.zeros(100)}, {"w": np.arange(100.0)}
    Centered().update(params, grads)
    np.testing.assert_allclose(params["w"], -0.1 * (np.arange(100.0) - 49.5))


def test_what_inherits_from_a_rule_sees_whole_arrays():
    class MeanSGD(SGD):
        def apply(self, p, g, state, lr):
            super().apply(p, np.broadcast_to(np.mean(g), g.shape), state, lr)

    params = {"w": np.zeros(100)}
    MeanSGD(lr=1.0).update(params, {"w": np.arange(100.0)})
    np.testing.assert_array_equal(params["w"], np.full(100, -49.5))


class Lazy(Centered):
    """A user's rule that makes its slots as it goes, rather than change them in place."""

    elementwise = True

    def apply(self, p, g, state, lr):
        state["step"] = state.get("step", np.zeros((), p.dtype)) + 1.0
        state["last"] = g
        state["sum"] = state.get("sum", 0.0) + g
        p -= lr / state["step"] * state["sum"]


@pytest.mark.parametrize("g_order", [None, (2, 3, 1, 0)])
def test_slots_that_are_put_there_anew_are_put_together(g_order, monkeypatch):
    cut = trained(Lazy, g_order=g_order)
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    same(cut, trained(Lazy, g_order=g_order))


def test_momentum_lies_in_memory_as_its_parameter_does():
    """So that it can be cut with it, whatever the order of the gradients."""
    params, optimizer = trained(MORE["momentum"], g_order=(2, 3, 1, 0))
    assert optimizer.state["turned"]["momentum_buffer"].strides == params["turned"].strides


def test_state_of_another_order_is_left_whole(sizes, monkeypatch):
    def loaded():
        optimizer = Adam()
        optimizer.state = {
            "turned": {
                "step": np.asarray(3.0, "float32"),
                "exp_avg": laid_out(np.ones(SHAPES["turned"], "float32"), (2, 3, 1, 0)),
                "exp_avg_sq": np.ones(SHAPES["turned"], "float32"),
            }
        }
        return optimizer

    cut = trained(loaded)
    assert 144 in sizes
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    same(cut, trained(loaded))


def test_counts_are_changed_in_place_and_once():
    optimizer, params = Adam(), arrays(0)
    optimizer.update(params, arrays(1))
    step = optimizer.state["turned"]["step"]
    optimizer.update(params, arrays(2))
    assert step is optimizer.state["turned"]["step"]
    assert step == 2.0


@pytest.mark.parametrize("steps", [1, 3])
def test_arrays_that_share_memory_change_in_order(steps, monkeypatch):
    """One array under two names takes two steps, and a gradient may lie in a parameter."""

    def result():
        block = np.arange(1.0, 201.0)
        params = {"one": block[:100], "two": block[:100], "three": block[100:][::-1]}
        optimizer = SGD(lr=0.1, momentum=0.9)
        for _ in range(steps):
            optimizer.update(params, {"one": np.ones(100), "two": block[100:], "three": block[100:]})
        return block

    cut = result()
    monkeypatch.setenv("XPCNN_KERNELS", "generic")
    np.testing.assert_array_equal(cut, result())


def test_a_gradient_that_is_its_parameter_backwards_is_read_before_it_changes():
    block = np.arange(100.0)
    SGD(lr=0.5).update({"w": block}, {"w": block[::-1]})
    np.testing.assert_array_equal(block, np.arange(100.0) - 0.5 * np.arange(100.0)[::-1])


def test_gradients_that_were_given_are_not_modified():
    params, grads = arrays(0), arrays(1, order=(2, 3, 1, 0))
    before = {name: g.copy() for name, g in grads.items()}
    for g in grads.values():
        g.flags.writeable = False
    AdamW().update(params, grads)
    for name, g in grads.items():
        np.testing.assert_array_equal(g, before[name])


def test_errstate_of_the_caller_holds_in_all_threads():
    met, seen = threading.Barrier(2, timeout=30), []

    class Asking(Centered):
        elementwise = True

        def apply(self, p, g, state, lr):
            met.wait()
            seen.append(np.geterr()["under"])

    with np.errstate(under="raise"):
        Asking().update({"w": np.zeros(8)}, {"w": np.zeros(8)})  # two pieces, which wait for one another
    assert seen == ["raise", "raise"]


def test_an_error_in_a_piece_is_raised():
    class Faulty(Centered):
        elementwise = True

        def apply(self, p, g, state, lr):
            raise ZeroDivisionError

    optimizer = Faulty()
    with pytest.raises(ZeroDivisionError):
        optimizer.update({"w": np.zeros(100)}, {"w": np.zeros(100)})
    assert optimizer.steps == 0
