"""Mixed precision: which numbers have 16 bits, and that results are those of float64 but for the rounding to them."""

import copy
import pickle
import re
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings

from tests.models.nets import branching, nested, plain
from tests.namespaces import interesting
from tests.strategies import LAYERS
from tests.strategies.merge import Packed
from xpcnn import layers as L
from xpcnn import load, ops
from xpcnn.backend import Key, cast, normal, to_numpy
from xpcnn.errors import ConfigError, DtypeError, NamespaceError
from xpcnn.models import Concat, Container, Graph, Residual, Sequential
from xpcnn.ops import batch_norm, batch_norm_backward
from xpcnn.ops.checks import in_float32
from xpcnn.optimizers import SGD, LossScale
from xpcnn.training import Trainer

ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed: pip install ml_dtypes")

BITS = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float16": np.dtype("float16")}
EPS = {"bfloat16": 2.0**-8, "float16": 2.0**-11}  # half a unit in the last place
FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")

both = pytest.mark.parametrize("dtype", BITS)


@pytest.fixture
def given_and_made(monkeypatch):
    """Of each layer in a model of 16 bits: itself, and the dtype of what comes out of it."""
    calls, inside = [], Container._forward_mixed

    def listen(self, child, x, train, own):
        y, kept = inside(self, child, x, train, own)
        calls.append((child, y.dtype))
        return y, kept

    monkeypatch.setattr(Container, "_forward_mixed", listen)
    return calls


def rounded(x, dtype):
    return cast(cast(x, BITS[dtype]), FLOAT64)


def network(case, dtype):
    """The layer of a case in a model, with numbers in all parameters and buffers, and the model's input."""
    layer, x = case.layer(), rounded(case.x(), dtype)
    if isinstance(layer, Packed):
        ends = np.cumsum(layer.sizes)
        parts = [x[:, end - size : end] for end, size in zip(ends, layer.sizes, strict=True)]
        x = tuple(p.reshape(len(p), *shape) for p, shape in zip(parts, layer.shapes, strict=True))
        names = [f"in{i}" for i in range(len(x))]
        model = Graph({"merged": (layer.inner, *names)}, inputs=names, dtype=dtype, seed=case.seed)
    else:
        model = Sequential(layer, dtype=dtype, seed=case.seed)
    for _, leaf in model.leaves():
        for arrays in (leaf.params, leaf.buffers):
            for name, a in arrays.items():
                arrays[name] = interesting(name, a.shape, case.seed).astype(a.dtype)
    return model, x


def everything(model, x, dy, dtype):
    """Output at inference, output and all gradients of a training step, by name."""
    inference = model(cast(x, dtype))
    y, cache = model.forward(cast(x, dtype), train=True)
    dx, grads = model.backward(cast(dy(y), dtype), cache)
    dxs = dx if isinstance(dx, tuple) else (dx,)
    return {"inference": inference, "y": y, **{f"dx{i}": one for i, one in enumerate(dxs)}, **grads}


@pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
@both
def test_every_layer_gives_16_bits_in_a_model_and_what_float64_gives(cls, dtype, given_and_made):
    @settings(max_examples=12)
    @given(LAYERS[cls])
    def check(case):
        given_and_made.clear()
        model, x = network(case, dtype)
        exact = copy.deepcopy(model)

        def dy(y):
            return rounded(normal(tuple(y.shape), Key(case.seed, "dy")), dtype)

        found = everything(model, x, dy, FLOAT32)
        assert given_and_made
        for child, made in given_and_made:
            wide = isinstance(child, (L.Softmax, L.LogSoftmax, Sequential, Graph))
            assert made == BITS[dtype] or (wide and made == FLOAT32)
        for a in (*found.values(), *model.params.values()):
            assert a.dtype == FLOAT32
            assert np.isfinite(a).all()
        if any(isinstance(child, Container) for child in model.children.values()):
            return  # what is rounded in between can end on the other side of a kink
        if cls in (L.Conv1d, L.Conv2d, L.ConvTranspose2d, L.Linear):
            for p in exact.params.values():
                p[...] = rounded(p, dtype)
        exact.place(exact.home, "float64", Key(case.seed, "init"))
        for name, wanted in everything(exact, x, dy, FLOAT64).items():
            # Add rounds each of its sums, all others round once
            scale = max(1.0, float(np.abs(wanted).max(initial=0.0))) * (3.0 if cls is L.Add else 1.01)
            np.testing.assert_allclose(found[name], wanted, rtol=0.0, atol=scale * EPS[dtype], err_msg=name)

    check()


@both
def test_parameters_and_statistics_are_float32_and_edges_have_16_bits(dtype, given_and_made):
    model = Sequential(
        L.Conv2d(3, 4, 3), L.BatchNorm2d(4), L.ReLU(), L.GELU(), Residual(L.Conv2d(4, 4, 1)),
        Concat(L.Conv2d(4, 2, 1), L.Softmax()), L.GlobalAvgPool2d(), L.Linear(6, 5), L.LogSoftmax(), dtype=dtype,
    )  # fmt: skip
    x = normal((2, 3, 6, 6), Key(0)).astype("float32")
    y, cache = model.forward(x, train=True)
    dx, grads = model.backward(np.ones_like(y), cache)
    assert (model.dtype, model.params_dtype) == (dtype, "float32")
    floats = [a for name, a in model.buffers.items() if "tracked" not in name]
    assert {a.dtype for a in (y, dx, *grads.values(), *model.params.values(), *floats)} == {FLOAT32}
    assert grads.keys() == model.params.keys()
    assert [made for child, made in given_and_made if isinstance(child, L.LogSoftmax)] == [FLOAT32]
    inside = [made for child, made in given_and_made if not isinstance(child, L.LogSoftmax)]
    assert set(inside) == {BITS[dtype]}, "softmax inside of a Concat too"
    np.testing.assert_allclose(np.exp(y).sum(axis=1), 1.0, rtol=1e-6)  # in 16 bits it would be off by 1e-3


@both
def test_products_take_parameters_of_16_bits_and_norms_of_float32(dtype):
    taken = {}

    class Watched(L.Layer):
        narrow = ("x", "params", "y")

        def init_params(self, key):
            return {"weight": np.full((1,), 1.0 / 3.0)}

        def forward(self, x, *, train=False):
            taken["x"], taken["weight"] = x.dtype, self.params["weight"]
            return x, self.keep(x) if train else None

        def backward(self, dy, cache):
            self.recall(dy, cache)
            taken["back"] = self.params["weight"]
            return dy, {"weight": self.params["weight"]}

    layer = Watched()
    model = Sequential(layer, dtype=dtype)
    y, cache = model.forward(np.ones((1, 2), dtype="float32"), train=True)
    assert taken["x"] == taken["weight"].dtype == BITS[dtype]
    model.params["0.weight"][...] = 7.0  # between the passes
    _, grads = model.backward(np.ones_like(y), cache)
    assert taken["back"] is taken["weight"], "one cast a step, of the weights of the forward pass"
    assert grads["0.weight"].dtype == FLOAT32
    assert layer.params["weight"].dtype == FLOAT32


@both
def test_a_layer_of_ones_own_computes_in_float32(dtype):
    class Own(L.Layer):
        def forward(self, x, *, train=False):
            assert x.dtype == FLOAT32
            return x * x, self.keep(x, x) if train else None

        def backward(self, dy, cache):
            (x,) = self.recall(dy, cache)
            assert dy.dtype == FLOAT32
            return 2.0 * x * dy, {}

    model = Sequential(L.Flatten(), Own(), dtype=dtype)
    y, cache = model.forward(np.full((1, 2), 3.0, dtype="float32"), train=True)
    assert y.tolist() == [[9.0, 9.0]]
    assert model.backward(y, cache)[0].tolist() == [[54.0, 54.0]]


@both
def test_batch_norm_keeps_16_bits_of_x_for_the_backward_pass(dtype):
    model = Sequential(L.BatchNorm2d(2), dtype=dtype)
    _, cache = model.forward(normal((4, 2, 3, 3), Key(0)).astype("float32"), train=True)
    (_, kept), = cache.saved[0]
    assert kept.cache.saved[0].dtype == BITS[dtype]


@both
def test_running_statistics_are_those_of_the_inputs_in_float32(dtype):
    x = rounded(normal((8, 2, 3, 3), Key(0)), dtype)
    mixed, exact = (Sequential(L.BatchNorm2d(2), dtype=d) for d in (dtype, "float64"))
    for _ in range(3):
        mixed.forward(cast(x, FLOAT32), train=True)
        exact.forward(x, train=True)
    for name, wanted in exact.buffers.items():
        np.testing.assert_allclose(mixed.buffers[name], wanted, rtol=1e-6)


@both
def test_batch_norm_beside_16_bits_takes_float32_or_these_and_nothing_else(dtype):
    x, w = (normal(shape, Key(1)).astype(BITS[dtype]) for shape in ((4, 2), (2,)))
    mean, var = np.zeros(2, dtype="float32"), np.ones(2, dtype="float32")
    for kind in (FLOAT32, BITS[dtype]):
        y = batch_norm(x, mean, var, cast(w, kind))
        dx, dw, db = batch_norm_backward(y, x, mean, var, cast(w, kind))
        assert (y.dtype, dx.dtype, dw.dtype, db.dtype) == (BITS[dtype], BITS[dtype], kind, kind)
    with pytest.raises(DtypeError, match=f"expected weight of float32 beside x of {dtype}, got float64"):
        batch_norm(x, mean, var, cast(w, FLOAT64))
    with pytest.raises(DtypeError, match="expected dy and x of one dtype"):
        batch_norm_backward(cast(x, FLOAT32), x, mean, var, cast(w, FLOAT32))


@both
def test_frozen_statistics_normalize_in_training(dtype):
    x = rounded(normal((8, 2, 3, 3), Key(0)), dtype)
    found = []
    for one, kind in ((dtype, FLOAT32), ("float64", FLOAT64)):
        model = Sequential(L.BatchNorm2d(2), dtype=one)
        model.buffers["0.running_mean"][...] = [0.5, -0.25]
        model.params["0.weight"][...] = [2.0, 0.5]
        model.freeze("*.running_*")
        found.append(everything(model, cast(x, kind), lambda y: x, kind))
    for name, wanted in found[1].items():
        np.testing.assert_allclose(found[0][name], wanted, rtol=0.0, atol=2 * EPS[dtype] * np.abs(wanted).max())


@both
def test_in_and_out_are_float32_or_the_model_says_what_it_wants(dtype):
    model = Sequential(L.Linear(2, 2), dtype=dtype)
    x = np.ones((1, 2), dtype="float32")
    assert np.array_equal(model(x), model(cast(x, BITS[dtype])))
    assert model(cast(x, BITS[dtype])).dtype == FLOAT32
    with pytest.raises(DtypeError, match=f"float32 or {dtype}, got float64"):
        model(x.astype("float64"))
    with pytest.raises(NamespaceError):
        model([[1.0, 2.0]])


@both
def test_models_in_models_stay_in_16_bits_and_give_what_one_alone_gives(dtype, given_and_made):
    def layers():
        return L.Conv2d(1, 2, 3), L.ReLU(), L.Conv2d(2, 2, 3), L.Flatten()

    plain, nested = Sequential(*layers(), dtype=dtype), Sequential(*layers(), dtype=dtype)
    assert nested.params.keys() == plain.params.keys()  # drawn, by the same keys
    one, two, three, four = (nested[i] for i in range(4))
    outer = Sequential(
        Sequential(one, two), Graph({"c": (three, "input"), "f": (Sequential(four), "c")}), dtype=dtype
    )  # fmt: skip
    x = normal((2, 1, 6, 6), Key(1)).astype("float32")
    for _ in range(2):
        (y, cache), (other, kept) = plain.forward(x, train=True), outer.forward(x, train=True)
        assert np.array_equal(y, other)
        (dx, grads), (other_dx, others) = plain.backward(y, cache), outer.backward(other, kept)
        assert np.array_equal(dx, other_dx)
        assert all(np.array_equal(a, b) for a, b in zip(grads.values(), others.values(), strict=True))
        none, again = outer.backward(other, outer.forward(x, train=True)[1], input_grad=False)
        assert none is None
        assert all(np.array_equal(a, b) for a, b in zip(again.values(), others.values(), strict=True))
    assert {made for _, made in given_and_made} == {BITS[dtype]}
    assert (outer.step, outer[0].step) == (4, 0)


@both
def test_layers_that_occur_twice_add_their_gradients_in_float32(dtype):
    layer = L.Linear(3, 3)
    once, twice = Sequential(layer, dtype=dtype), Sequential(layer, L.Flatten(), layer, dtype=dtype)
    x = normal((4, 3), Key(3)).astype("float32")
    y, cache = twice.forward(x, train=True)
    _, grads = twice.backward(y, cache)
    middle = once(x)
    out, kept = once.forward(middle, train=True)
    dmiddle, above = once.backward(y, kept)
    assert np.array_equal(out, y)
    _, below = once.backward(dmiddle, once.forward(x, train=True)[1])
    assert np.array_equal(grads["0.weight"], above["0.weight"] + below["0.weight"])


@both
def test_frozen_parameters_get_no_gradient(dtype):
    model = Sequential(L.Linear(3, 3), L.ReLU(), L.Linear(3, 2), dtype=dtype).freeze("0")
    y, cache = model.forward(np.ones((2, 3), dtype="float32"), train=True)
    assert list(model.backward(y, cache, input_grad=False)[1]) == ["2.weight", "2.bias"] == list(model.trainable)


@both
@pytest.mark.parametrize("make", [plain, nested, branching])
def test_files_copies_and_pickles_remember_the_dtype_and_hold_float32(make, dtype, tmp_path):
    model = make(dtype=dtype, seed=4)
    assert {np.dtype(a.dtype) for a in model.state_dict().values()} <= {FLOAT32, np.dtype("int64")}
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    for twin in (again, copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.to("cpu")):
        assert (twin.dtype, twin.params_dtype) == (dtype, "float32")
        assert all(np.array_equal(a, b) for a, b in zip(twin.params.values(), model.params.values(), strict=True))


def test_the_same_weights_go_from_a_model_of_float32_to_one_of_16_bits_and_back():
    plain = Sequential(L.Linear(3, 2), seed=1)
    mixed = Sequential(L.Linear(3, 2), seed=2, dtype="bfloat16")
    mixed.load_state_dict(plain.state_dict())
    assert all(np.array_equal(a, b) for a, b in zip(plain.params.values(), mixed.params.values(), strict=True))


@both
def test_a_summary_counts_bytes_of_both_kinds(dtype, accelerated):
    plain, mixed = (Sequential(L.Linear(256, 256), L.GELU(), input_shape=(256,), dtype=d) for d in ("float32", dtype))
    line = next(one for one in plain.summary().splitlines() if one.startswith("parameters"))
    assert line in mixed.summary()
    whole, half = (model.cost((256,), size).extra for model, size in ((plain, 4), (mixed, 2)))
    assert whole == 2 * 256 * 4
    assert half == 256 * 2 + 256 * 4, "GELU computes in float32"
    assert f"in {dtype}, batch of 32; no tiles: each layer computes in float32" in mixed.explain()


@both
def test_every_library_trains_as_numpy_does(dtype, space):
    """Two steps, of which float16 leaves out the first."""
    x, y = normal((4, 2, 6, 6), Key(5)).astype("float32"), np.asarray([0, 1, 2, 0])
    answers = []
    for like in (np.zeros(1), space.asarray([0.0])):
        body = Sequential(L.Conv2d(4, 4, 3, padding=1), L.BatchNorm2d(4), L.GELU())
        model = Sequential(
            L.Conv2d(2, 4, 3), L.ReLU(), L.MaxPool2d(2), Residual(body), L.Flatten(), L.Dropout(0.5), L.Linear(16, 3),
            dtype=dtype,
        )  # fmt: skip
        if space.name == "strict" and type(like) is not np.ndarray:
            with pytest.raises(ConfigError, match=f"array_api_strict has, got '{dtype}'"):
                model.to(like=like)
            assert model.device == "cpu"
            return
        trainer = Trainer(model.to(like=like), optimizer=SGD(lr=0.1, momentum=0.9))
        if trainer.loss_scale is not None:
            trainer.loss_scale = LossScale(init_scale=2.0**30, backoff_factor=2.0**-20)
        assert model.dtype == dtype
        values = [trainer.step(x, y) for _ in range(2)]
        scale = 1.0 if trainer.loss_scale is None else float(to_numpy(trainer.loss_scale.scale))
        assert scale == (1.0 if dtype == "bfloat16" else 2.0**10)
        answers.append([to_numpy(a) for a in (*values, *model.params.values())])
    for ours, theirs in zip(*answers, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=0.0, atol=4 * EPS[dtype] * np.abs(ours).max())


def test_without_ml_dtypes_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    Sequential(L.Linear(2, 2), dtype="bfloat16").save(tmp_path / "model.safetensors")
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ConfigError, match="pip install ml_dtypes"):
        Sequential(L.Linear(2, 2), dtype="bfloat16")
    with pytest.raises(ConfigError, match="pip install ml_dtypes"):
        load(tmp_path / "model.safetensors")
    Sequential(L.Linear(2, 2), dtype="float16")


@pytest.mark.parametrize("dtype", ["float8", np.dtype("float16"), np.float32, None])
def test_unknown_dtypes_are_refused(dtype):
    with pytest.raises(ConfigError, match=re.escape(f"float32, float64, bfloat16, float16, got {dtype!r}")):
        Sequential(L.Linear(2, 2), dtype=dtype)


def test_overflow_is_infinite_and_warns_of_nothing():
    model = Sequential(L.Linear(2, 2), L.BatchNorm1d(2), L.Linear(2, 2), dtype="float16")
    y, cache = model.forward(np.full((2, 2), 1e6, dtype="float32"), train=True)
    assert not np.isfinite(y).all()
    assert not all(np.isfinite(g).all() for g in model.backward(y, cache)[1].values())


def test_two_threads_may_use_one_model():
    model = Sequential(L.Linear(32, 32), L.ReLU(), L.Linear(32, 32), dtype="bfloat16")
    xs = [normal((8, 32), Key(i)).astype("float32") for i in range(4)]
    wanted, wrong = [model(x) for x in xs], []

    def work(i):
        wrong.extend(1 for _ in range(50) if not np.array_equal(model(xs[i]), wanted[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_models_of_float32_and_float64_never_come_near_a_cast(monkeypatch):
    def never(*_):
        pytest.fail("a cast in a model that needs none")

    monkeypatch.setattr("xpcnn.models.container.cast", never)
    monkeypatch.setattr("xpcnn.models.mixed.cast", never)
    monkeypatch.setattr("xpcnn.models.container.computing", never)
    for dtype in ("float32", "float64"):
        model = Sequential(L.Conv2d(1, 2, 3), Residual(L.BatchNorm2d(2)), L.Flatten(), L.Linear(32, 2), dtype=dtype)
        y, cache = model.forward(normal((2, 1, 6, 6), Key(0)).astype(dtype), train=True)
        model.backward(y, cache)


def test_an_op_in_float32_is_rounded_once():
    a = np.asarray([2049.0 / 2048.0], dtype="float64").astype("float16")
    twice = in_float32(lambda p, q: p + q - p, a, np.asarray([2.0**-13], dtype="float16"))
    assert twice.dtype == np.float16
    assert twice.tolist() == [2.0**-13]


def test_a_product_is_rounded_once_together_with_its_bias():
    x, w, b = (normal(shape, Key(i, "x")).astype("float16") for i, shape in enumerate([(40, 7), (5, 7), (5,)]))
    product = x.astype("float32") @ w.astype("float32").T
    expected = (product + b.astype("float32")).astype("float16")
    assert (product.astype("float16") + b != expected).any()
    np.testing.assert_array_equal(ops.linear(x, w, b), expected)


@both
def test_dropout_rounds_once(dtype):
    x = normal((3000,), Key(0)).astype(BITS[dtype])
    y, mask = ops.dropout(x, 0.25, Key(1))
    wanted = (x.astype("float64") * mask / 0.75).astype(BITS[dtype])
    assert y.dtype == BITS[dtype]
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(ops.dropout_backward(x, mask, 0.25), wanted)
