"""Loss scaling by kernels: the bits of the generic body, in a few launches and without copies."""

import numpy as np
import pytest

from tests.backend.cuda.on_cpu import generic
from tests.backend.cuda.test_compile import compiled
from tests.namespaces import bits
from tests.optimizers.helpers import hosted, placed
from xpcnn import Conv2d, Flatten, Linear, ReLU, Sequential, Trainer
from xpcnn.backend import Key, array_namespace, normal, registry
from xpcnn.backend.cuda import launch, update
from xpcnn.backend.cuda import loss_scale as kernels
from xpcnn.backend.cuda.each import PART
from xpcnn.optimizers import (
    LARS,
    SGD,
    Accumulate,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    LossScale,
    Muon,
    NAdam,
    ParamGroups,
    RAdam,
    RMSprop,
    Rule,
)

SHAPES = {"0.weight": (3, 2, 2, 2), "0.bias": (3,), "1.weight": (70, 19), "none": (0, 2)}
SMALL = {"init_scale": 8.0, "growth_factor": 4.0, "backoff_factor": 0.25, "growth_interval": 3}
OURS = ("update", "clipped", "unscaled", "all_finite", "adapted")
BAD = (True, False, False, True, True, False, False, False, False, True)


class Awkward(Rule):
    """What it does for each number is no formula that could be traced."""

    elementwise = True

    def __init__(self, lr=0.1):
        super().__init__(lr, 0.0, None, None, True)

    def init_state(self, p):
        return {}

    def apply(self, p, g, state, lr):
        xp = array_namespace(p)
        p -= lr * xp.sinh(g)
        state["last"] = xp.asarray(g, copy=True)


# those whose formula has the same bits by the kernel: + - * / and roots only
EXACT = {
    "sgd": lambda: SGD(lr=0.1),
    "momentum": lambda: SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "clipped": lambda: SGD(lr=0.1, momentum=0.5, clip_value=0.7),
    "adagrad": lambda: Adagrad(lr=0.1, lr_decay=0.1),
    "rmsprop": lambda: RMSprop(lr=0.1, momentum=0.9, centered=True),
    "adadelta": lambda: Adadelta(lr=0.1),
    "lion": lambda: Lion(lr=0.1),
    "groups": lambda: ParamGroups({"*.bias": {"lr": 0.5}}, rest=SGD(lr=0.1, momentum=0.5), clip_value=0.5),
}
NEAR = {
    "adam": lambda: Adam(lr=0.1, amsgrad=True, clip_norm=1.0),
    "adamw": lambda: AdamW(lr=0.1),
    "adamax": lambda: Adamax(lr=0.1),
    "nadam": lambda: NAdam(lr=0.1),
    "radam": lambda: RAdam(lr=0.1),
}
OTHERS = {
    "awkward": Awkward,
    "lars": lambda: LARS(lr=0.1),
    "accumulated": lambda: Accumulate(SGD(lr=0.1, momentum=0.5), every=2),
    "muon and others": lambda: ParamGroups({"ndim>=2": Muon(lr=0.1)}, rest=SGD(lr=0.1, momentum=0.5)),
}


@pytest.fixture
def on(cupy, monkeypatch):
    """These kernels answer for NumPy's arrays, which stand in for CuPy's."""
    for op in OURS:
        monkeypatch.setitem(registry._kernels, (op, "numpy"), registry._kernels[op, "cupy"])
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    return cupy


def example(seed, dtype="float32"):
    return {name: normal(shape, Key(seed, name)).astype(dtype) for name, shape in SHAPES.items()}


def trained(make, place=np.array, dtype="float32", bad=BAD, value=np.inf):
    """Parameters, slots and scale after some steps, each with the gradients of what the scale is then."""
    optimizer, scale, params = make(), LossScale(**SMALL), placed(place, example(0, dtype))
    for seed, wrong in enumerate(bad):
        grads = example(seed + 1, dtype)
        if wrong:
            grads["1.weight" if seed % 2 else "0.bias"][-1] = value
        grads = {name: scale.scaled(g) for name, g in placed(place, grads).items()}
        scale.update(optimizer, params, scale.unscaled(grads))
    slots = {**optimizer.slots(), **scale.slots()}
    return {**hosted(params), **hosted(slots), "steps": np.asarray(optimizer.steps)}


def same(found, expected, tolerance=0.0):
    assert found.keys() == expected.keys()
    for name, a in found.items():
        b = expected[name]
        assert (a.dtype, a.shape) == (b.dtype, b.shape), name
        if not tolerance:
            assert a.tobytes() == b.tobytes(), name
        elif a.dtype.kind == "f":
            eps = tolerance * np.finfo(a.dtype).eps
            np.testing.assert_allclose(a, b, rtol=eps, atol=eps, err_msg=name)


@pytest.mark.parametrize("value", [-np.inf, np.nan])
@pytest.mark.parametrize("name", [*EXACT, *NEAR, *OTHERS])
def test_steps_that_are_left_out_and_all_others_are_those_of_the_generic_body(on, name, value):
    make = {**EXACT, **NEAR, **OTHERS}[name]
    found = trained(make, value=value)
    assert {"xpcnn_unscaled", "xpcnn_all_finite", "adapted"} <= set(on.launched)
    expected = generic(lambda: trained(make, value=value))
    same(found, expected, 16.0 if name in NEAR else 0.0)
    for part in ("scale", "good", "steps"):
        assert found[part].tobytes() == expected[part].tobytes()


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_float64_is_unscaled_and_left_out_as_well(on, name):
    make = {**EXACT, **NEAR}[name]
    found, expected = trained(make, dtype="float64"), generic(lambda: trained(make, dtype="float64"))
    same(found, expected, 0.0 if name in EXACT else 16.0)


@pytest.mark.parametrize("name", [*EXACT, *NEAR])
def test_only_bad_steps_leave_everything_as_it_was(on, name):
    make = {**EXACT, **NEAR}[name]
    found, before = trained(make, bad=[True] * 3), hosted(example(0))
    assert all(found[own].tobytes() == p.tobytes() for own, p in before.items())
    kept = {path: a for path, a in found.items() if path.startswith(("state", "0/", "1/")) and "mu_product" not in path}
    assert not any(a.any() for a in kept.values())


def test_a_step_takes_few_launches_and_copies_nothing(on, monkeypatch):
    optimizer, scale, params = Adam(), LossScale(), example(0)
    scale.update(optimizer, params, scale.unscaled(example(1)))
    on.launched.clear()
    monkeypatch.setattr("xpcnn.optimizers.loss_scale.undone_unless", None)
    scale.update(optimizer, params, scale.unscaled(example(2)))
    assert on.launched == ["xpcnn_unscaled", "xpcnn_all_finite", "xpcnn_Adam_apply", "xpcnn_Adam_apply_once", "adapted"]


def test_parameters_that_share_memory_are_left_out_one_after_the_other(on):
    def run(value):
        whole = normal((8,), Key(0)).astype("float32")
        params = {"a": whole[:6], "b": whole[2:]}
        grads = {name: np.full(6, value, "float32") for name in params}
        optimizer, scale = SGD(lr=0.5, momentum=0.5), LossScale()
        for _ in range(2):
            scale.update(optimizer, params, grads)
        return {"whole": whole, **optimizer.slots()}

    for value in (np.nan, 1.0):
        same(run(value), generic(lambda value=value: run(value)))
    assert run(np.inf)["whole"].tobytes() == normal((8,), Key(0)).astype("float32").tobytes()


def test_only_if_is_asked_when_the_kernel_runs(on):
    """So that a captured step follows it."""
    rule, params, go = SGD(lr=0.5, momentum=0.5), example(0), np.asarray(False)
    before = bits(params)
    for told, changes in ((False, False), (True, True)):
        go[...] = told
        with rule.only_if(go):
            rule.update(params, example(1))
        assert (bits(params) != before) == changes
    rule.update(params, example(2))
    assert rule._go is None


def test_a_formula_is_traced_once_whoever_holds_the_answer(on, monkeypatch):
    traced, rule = [], Adam(lr=0.0625)
    body = update._traced
    monkeypatch.setattr(update, "_traced", lambda *a: traced.append(a) or body(*a))
    for _ in range(3):
        with rule.only_if(np.asarray(True)), rule.reading(np.asarray(0.5)):
            rule.update({"p": np.ones(3)}, {"p": np.ones(3)})
        rule.update({"p": np.ones(3)}, {"p": np.ones(3)})
    assert len(traced) == 2


def test_the_kernels_that_are_made_compile_for_a_gpu(on):
    codes, kernel = set(), launch.compiled
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "compiled", lambda code, name: codes.add(code) or kernel(code, name))
        trained(NEAR["nadam"], bad=[True, False])
    assert len(codes) == 3
    for code in codes:
        assert compiled(code, (*launch.OPTIONS, "-arch=sm_90"))


def test_unscaled_gradients_are_new_arrays_in_their_own_memory_order(on):
    scale = LossScale(init_scale=3.0)
    g = {name: normal((4, 3, 5), Key(0, name)).astype("float32") for name in "ab"}
    g = {"a": g["a"].transpose(2, 0, 1), "b": g["b"][:, ::-2]}
    found = scale.unscaled(g)
    same(found, generic(lambda: scale.unscaled(g)))
    assert found["a"].strides == g["a"].strides
    assert not any(np.shares_memory(found[name], a) for name, a in g.items())
    on.launched.clear()
    mixed = scale.unscaled({"a": np.ones(2, "float32"), "b": np.ones(2)})
    assert not on.launched
    assert mixed["b"].dtype == np.float64


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, PART - 1, PART, 2 * PART + 4])
def test_one_entry_that_is_not_finite_is_found_wherever_it_is(on, bad, place):
    arrays = {"few": np.ones(3, "float32"), "many": np.full(2 * PART + 5, 3e38, "float32"), "double": np.ones(4)}
    assert bool(kernels.all_finite(arrays["few"], arrays)) is True
    for name in arrays:
        own = {key: a.copy() for key, a in arrays.items()}
        own[name][min(place, own[name].size - 1)] = bad
        assert bool(kernels.all_finite(own["few"], own)) is False
    assert bool(kernels.all_finite(arrays["few"], arrays)) is True


def test_many_arrays_are_all_looked_at(on):
    arrays = {str(i): np.ones(2, "float32") for i in range(600)}
    assert bool(kernels.all_finite(arrays["0"], arrays))
    for i in (0, 255, 256, 599):
        arrays[str(i)][1] = np.nan
        assert not bool(kernels.all_finite(arrays["0"], arrays))
        arrays[str(i)][1] = 1.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("init", [8.0, 3.0e38, 1e-45])
def test_the_scale_is_that_of_the_generic_body(on, init, dtype):
    def run():
        scale, found = LossScale(**{**SMALL, "init_scale": init, "growth_factor": 3.3, "backoff_factor": 0.3}), []
        like = np.zeros(2, dtype)
        scale.scaled(like)
        for good in (True, True, True, True, False, True, True, True, False, False):
            with np.errstate(all="ignore"):
                scale._adapt(like, np.asarray(good))
            found.append((scale.scale.tobytes(), int(scale.good)))
        return found

    assert run() == generic(run)


def small_net(gpu):
    layers = Conv2d(1, 3, 3, padding=1), ReLU(), Flatten(), Linear(48, 3)
    return Sequential(*layers, device=gpu.device, seed=3, dtype="float16")


def fitted(gpu, optimizer, compile):
    """Losses and all that is left after steps some of which overflow."""
    scale = LossScale(2.0**10, growth_factor=4.0, backoff_factor=0.25, growth_interval=3)
    trainer = Trainer(small_net(gpu), optimizer=optimizer(), compile=compile, loss_scale=scale)
    losses, scales = [], []
    for i in range(9):
        if i in (0, 4, 5):  # also in a replay: the scale is read on the device
            if trainer.loss_scale.scale is None:
                trainer.loss_scale.scaled(gpu.upload(np.zeros(1, "float32")))
            trainer.loss_scale.scale[...] = 2.0**40
        x = gpu.upload(normal((4, 1, 4, 4), Key(i, "x")).astype("float32"))
        losses.append(trainer.step(x, gpu.upload(np.arange(4) % 3)).get().tobytes())
        scales.append(float(trainer.loss_scale.scale.get()))
    slots = {**trainer.optimizer.slots(), **trainer.loss_scale.slots(), **trainer.model.params}
    return losses, scales, {path: a.get().tobytes() for path, a in slots.items()}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of what plays cuBLAS
@pytest.mark.parametrize("optimizer", [lambda: SGD(lr=0.1, momentum=0.9), lambda: AdamW(lr=0.01, clip_norm=1.0)])
def test_training_in_float16_has_the_bits_of_the_generic_body_eager_and_captured(gpu, monkeypatch, optimizer):
    eager = fitted(gpu, optimizer, False)
    gpu.done.clear()
    captured = fitted(gpu, optimizer, True)
    step = gpu.done[gpu.done.index("graph") + 1 :]
    step = step[: step.index("graph")]
    assert {"xpcnn_unscaled", "xpcnn_all_finite", "adapted"} <= set(step)
    assert not {"isfinite", "all", "where", "logical_and"} & set(step)
    assert step.count("copy") == 1  # of the loss, for its caller
    for op in ("unscaled", "all_finite", "adapted"):
        monkeypatch.delitem(registry._kernels, (op, "cupy"))
    body = fitted(gpu, optimizer, False)
    assert eager == captured == body
    assert eager[1][0] == eager[1][4] == eager[1][5] == 2.0**38
    assert not gpu.unrehearsed


@pytest.mark.gpu
@pytest.mark.parametrize("name", [*EXACT, *NEAR, *OTHERS])
def test_a_gpu_leaves_out_the_same_steps(space_of_cupy, name):
    make = {**EXACT, **NEAR, **OTHERS}[name]
    found = trained(make, space_of_cupy.asarray)
    expected = generic(lambda: trained(make, space_of_cupy.asarray))
    for part in ("scale", "good", "steps"):
        assert found[part].tobytes() == expected[part].tobytes()
    same(found, expected, 64.0)
