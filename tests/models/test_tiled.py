"""Runs of layers, computed tile by tile: the same as layer by layer, whatever the layers, shapes and layouts."""

from contextlib import nullcontext, suppress

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests import strategies
from tests.backend.cpu.compare import assert_agree, cache_of, generic, settled
from xpcnn import layers as L
from xpcnn.backend import Key, normal
from xpcnn.errors import ConfigError, DtypeError, ShapeError, XpcnnError
from xpcnn.models import Sequential, tiled

pytestmark = pytest.mark.usefixtures("accelerated")

small = st.integers(0, 2)
pairs = st.tuples(st.integers(1, 2), st.integers(1, 2))

# Chains of layers.


@st.composite
def conv(draw, shape):
    groups = draw(st.sampled_from([1, 1, 1, 1, shape[0]]))
    kernel = draw(st.one_of(st.just(3), st.integers(1, 5), st.tuples(st.integers(1, 5), st.integers(1, 5))))
    padding = draw(st.one_of(st.sampled_from(["same", "same", "valid", 1]), small, st.tuples(*[st.integers(0, 6)] * 4)))
    return L.Conv2d(
        shape[0],
        groups * draw(st.integers(1, 4)),
        kernel,
        stride=1 if padding == "same" else draw(st.one_of(st.just(1), st.integers(1, 3), pairs)),
        padding=padding,
        dilation=draw(st.one_of(st.just(1), st.integers(1, 2), pairs)),
        groups=groups,
        bias=draw(st.booleans()),
    )


@st.composite
def max_pool(draw, shape):
    kernel = draw(st.one_of(st.just(2), st.integers(1, 3), pairs))
    padding = draw(st.integers(0, min(kernel if isinstance(kernel, tuple) else (kernel,)) // 2))
    stride = draw(st.one_of(st.none(), st.integers(1, 3), pairs))
    # with dilation and a border a window may hold nothing but the border
    dilation = 1 if padding else draw(st.sampled_from([1, 1, 2]))
    return L.MaxPool2d(kernel, stride, padding, dilation, draw(st.booleans()))


def simple(make):
    return lambda shape: st.builds(make)


def norm(shape):
    return st.builds(
        L.BatchNorm2d,
        st.just(shape[0]),
        eps=st.sampled_from([1e-5, 1e-2]),
        momentum=st.sampled_from([0.1, None]),
        affine=st.booleans(),
        track_running_stats=st.booleans(),
    )


KINDS = [
    conv,
    conv,
    conv,
    max_pool,
    max_pool,
    simple(L.ReLU),
    simple(L.ReLU),
    simple(L.Tanh),
    simple(L.GELU),
    norm,
    norm,
    lambda shape: st.builds(L.LeakyReLU, st.sampled_from([0.01, 0.3])),
    lambda shape: st.builds(L.Dropout, st.sampled_from([0.0, 0.3, 1.0])),
    lambda shape: st.builds(L.AvgPool2d, st.integers(1, 2)),
    lambda shape: st.builds(L.Dropout2d, st.sampled_from([0.0, 0.3])),
    lambda shape: st.builds(L.ZeroPad2d, st.integers(0, 2)),
    lambda shape: st.builds(L.PReLU, st.sampled_from([1, shape[0]])),
    lambda shape: st.builds(L.GroupNorm, st.just(1), st.just(shape[0])),
    lambda shape: st.builds(L.ConvTranspose2d, st.just(shape[0]), st.integers(1, 3), st.integers(1, 3)),
]


@st.composite
def chains(draw):
    """Layers that fit one another, as a function that makes them, and the shape of a sample."""
    first = (draw(st.integers(1, 3)), draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    layers, shape = [], first
    for _ in range(draw(st.integers(1, 7))):
        again = [layer for layer in layers if _fits(layer, shape) == shape]
        if again and draw(st.integers(0, 5)) == 0:
            layers.append(draw(st.sampled_from(again)))
            continue
        layer = draw(draw(st.sampled_from(KINDS))(shape))
        if _fits(layer, shape) is not None:
            layers.append(layer)
            shape = layer.output_shape(shape)
    if draw(st.booleans()):
        flat = int(np.prod(shape))
        layers += [L.Flatten(), L.Linear(flat, 5, bias=draw(st.booleans())), L.ReLU(), L.Dropout(0.2), L.Linear(5, 3)]
    return layers, first


def _fits(layer, shape):
    try:
        out = layer.output_shape(shape)
    except XpcnnError:
        return None
    return out if max(out) <= 16 else None


def copies(layers):
    """Fresh layers of the same settings; what stands at two places stays one."""
    made = {}
    return [made.setdefault(id(layer), type(layer)(**layer.config())) for layer in layers]


# The same numbers, in all the ways that an array can lie in memory.


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS = {
    "contiguous": lambda a: a,
    "channels last": lambda a: np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1),
    "reversed": lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
    "reversed batch": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "read-only": read_only,
    "every second": lambda a: np.repeat(np.repeat(a, 2, axis=0), 2, axis=-1)[::2, ..., ::2],
    "fortran": np.asfortranarray,
}
layouts = st.sampled_from(list(LAYOUTS))


def test_layouts_hold_the_same_numbers():
    a = np.arange(48.0).reshape(2, 3, 2, 4)
    for name, lay in LAYOUTS.items():
        assert (lay(a) == a).all(), name


def numbers(shape, dtype, seed, name):
    return normal(shape, Key(seed, name)).astype(dtype)


@settings(max_examples=150)
@given(
    chain=chains(),
    samples=st.sampled_from([1, 2, 3, 7, 13]),
    dtype=st.sampled_from(["float64", "float32"]),
    layout=st.tuples(layouts, layouts),
    freeze=st.sets(st.integers(0, 6), max_size=3),
    part=st.sampled_from(["", ".bias", ".weight", ".running_*"]),
    input_grad=st.booleans(),
    cache=st.sampled_from([1 << 8, 1 << 11, 1 << 14]),
    way=st.sampled_from(["usual", "winograd", "wide"]),
    seed=st.integers(0, 2**20),
)
def test_a_chain_of_layers_gives_the_same(chain, samples, dtype, layout, freeze, part, input_grad, cache, way, seed):
    layers, shape = chain

    def build():
        model = settled(Sequential(*copies(layers), dtype=dtype, seed=seed), seed)
        for i in freeze:
            if i < len(layers):
                with suppress(ConfigError):  # no such parameter
                    model.freeze(f"{i}{part}")
        return model

    model = build()
    samples = max(samples, model.min_batch(shape), 3)
    x = LAYOUTS[layout[0]](numbers((samples, *shape), dtype, seed, "x"))
    dy = LAYOUTS[layout[1]](numbers((samples, *model.output_shape(shape)), dtype, seed, "dy"))
    with cache_of(cache, way=way):
        assert_agree(build, x, dy, input_grad=input_grad, steps=2)


@settings(max_examples=100)
@given(
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    size=st.tuples(st.integers(1, 11), st.integers(1, 11)),
    padding=st.one_of(st.just("same"), st.tuples(*[st.integers(0, 4)] * 4)),
    samples=st.integers(1, 9),
    dtype=st.sampled_from(["float64", "float32"]),
    layout=st.tuples(layouts, layouts),
    cache=st.sampled_from([1 << 8, 1 << 11, 1 << 14]),
    seed=st.integers(0, 2**20),
)
def test_winograd_gives_the_same(channels, size, padding, samples, dtype, layout, cache, seed):
    def build():
        return settled(Sequential(L.Conv2d(*channels, 3, padding=padding), L.ReLU(), dtype=dtype), seed)

    shape = (channels[0], *size)
    assume(_fits(build(), shape) is not None)
    x = LAYOUTS[layout[0]](numbers((samples, *shape), dtype, seed, "x"))
    dy = LAYOUTS[layout[1]](numbers((samples, *build().output_shape(shape)), dtype, seed, "dy"))
    with cache_of(cache, way="winograd"):
        assert_agree(build, x, dy)


# All layers that may be in a run, one by one.

IN_RUNS = {*tiled._NODES, *tiled._BY_ITSELF}


@settings(max_examples=150)
@given(
    case=st.one_of(*(strategy for cls, strategy in strategies.LAYERS.items() if cls in IN_RUNS)),
    samples=st.integers(1, 9),
    input_grad=st.booleans(),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_any_layer_gives_the_same(case, samples, input_grad, dtype):
    def build():
        return settled(Sequential(case.layer(), dtype=dtype, seed=case.seed), case.seed)

    shape = case.shape[1:]
    samples = max(samples, 3) if isinstance(build()[0], L.BatchNorm2d) else samples
    x = numbers((samples, *shape), dtype, case.seed, "x")
    dy = numbers((samples, *build().output_shape(shape)), dtype, case.seed, "dy")
    with cache_of(1 << 8):
        assert_agree(build, x, dy, input_grad=input_grad, steps=2)


# Places where a run might go wrong.


def agree(layers, shape, *, samples=7, freeze=(), dtype="float64", cache=1 << 11, way="wide", **options):
    """Demand that a chain gives the same; `layers` makes it."""

    def build():
        model = settled(Sequential(*layers(), dtype=dtype))
        return model.freeze(*freeze) if freeze else model

    x = numbers((samples, *shape), dtype, 0, "x")
    with generic():
        dy = numbers(build().forward(x, train=True)[0].shape, dtype, 0, "dy")
    with cache_of(cache, way=way):
        assert_agree(build, x, dy, **options)


@pytest.mark.parametrize("pattern", ["1.running_*", "1", "0", "0.weight", "1.bias"])
def test_what_a_frozen_norm_needs_is_not_overwritten(pattern):
    # its scale learns, and the pooling behind it needs nothing: no room of its own for the norm's output
    agree(lambda: [L.Conv2d(2, 3, 3), L.BatchNorm2d(3), L.MaxPool2d(2)], (2, 8, 8), freeze=[pattern])


@pytest.mark.parametrize("layer", [L.BatchNorm2d(3), L.ReLU(), L.MaxPool2d(2), L.Dropout(0.5), L.Conv2d(3, 2, 3)])
def test_a_run_of_one_layer(layer):
    agree(lambda: copies([layer]), (3, 6, 6))


def test_layers_that_write_in_place_in_a_row():
    agree(
        lambda: [
            L.Conv2d(2, 3, 3),
            L.Dropout(0.3),
            L.ReLU(),
            L.Dropout(0.3),
            L.BatchNorm2d(3),
            L.ReLU(),
            L.Dropout(0.3),
        ],
        (2, 6, 6),
    )


def test_a_layer_at_two_places_of_one_run_and_of_two_runs():
    def layers():
        conv, norm, relu = L.Conv2d(3, 3, 3, padding=1), L.BatchNorm2d(3), L.ReLU()
        return [conv, relu, conv, norm, relu, L.Tanh(), norm, conv, relu]

    for way in ("winograd", "wide"):
        agree(layers, (3, 7, 5), way=way, steps=2)


MISFITS = {
    "a filter turned": (lambda: L.Conv2d(2, 4, (3, 5)), "params", "weight", (4, 2, 5, 3), None),
    "inputs for outputs": (lambda: L.Conv2d(2, 4, (3, 5)), "params", "weight", (2, 4, 3, 5), "Conv2d"),
    "one bias for all filters": (lambda: L.Conv2d(2, 4, 3), "params", "bias", (1,), "Conv2d"),
    "too many biases": (lambda: L.Conv2d(2, 4, 3), "params", "bias", (8,), "Conv2d"),
    "a bias for each sample": (lambda: L.Conv2d(2, 4, 3), "params", "bias", (3, 4), "Conv2d"),
    "one scale for all channels": (lambda: L.BatchNorm2d(2), "params", "weight", (1,), "BatchNorm2d"),
    "statistics of others": (lambda: L.BatchNorm2d(2), "buffers", "running_var", (1,), "BatchNorm2d"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_parameters_of_other_shapes_are_what_the_layer_says_of_them(name):
    make, kind, of, shape, who = MISFITS[name]
    layer = make()
    model = settled(Sequential(layer))
    x = numbers((3, 2, 9, 9), "float32", 0, "x")
    model(x)  # there is a plan
    getattr(layer, kind)[of] = np.ones(shape, "float32")
    if who is None:
        with generic():
            wanted = model(x)
        np.testing.assert_allclose(model(x), wanted, rtol=1e-5, atol=1e-5)
        return
    with pytest.raises(ShapeError, match=f"^{who}: expected"):
        model(x)


@pytest.mark.parametrize("dtype", ["int64", "bool", "complex64", "float64"])
def test_parameters_of_another_dtype_are_what_the_layer_says_of_them(dtype):
    layer = L.Conv2d(2, 4, 3)
    model = Sequential(layer)
    layer.params["weight"] = layer.params["weight"].astype(dtype)
    with pytest.raises(DtypeError, match=r"^Conv2d: expected"):
        model(numbers((3, 2, 9, 9), "float32", 0, "x"))


def test_a_matrix_of_another_shape_is_what_linear_says_of_it():
    layer = L.Linear(6, 4)
    model = Sequential(layer)
    layer.params["bias"] = np.ones((3, 4), "float32")
    with pytest.raises(ShapeError, match=r"^Linear: expected bias"):
        model(np.ones((3, 6), "float32"))


@pytest.mark.parametrize("sizes", [(3, 6, 6), (6, 6), 6])
def test_layer_norm_is_in_the_run(sizes):
    layers = [L.Conv2d(2, 3, 3), L.LayerNorm(sizes), L.ReLU()]
    text = Sequential(*layers, input_shape=(2, 8, 8)).explain()
    assert "generic, in the tile" in text
    assert "no tiles" not in text
    agree(lambda: copies(layers), (2, 8, 8))


@pytest.mark.parametrize("dtype", [">f4", "float16"])
def test_numbers_of_other_kinds_go_layer_by_layer(dtype):
    model = Sequential(L.ReLU(), L.MaxPool2d(2), L.GELU())
    x = numbers((2, 3, 6, 6), "float32", 0, "x").astype(dtype)
    assert all(segment.run is None for segment in model._segments(x, True))
    with generic():
        wanted = model(x)
    assert (model(x) == wanted).all()


# Batch norm by running statistics, folded into the convolution before it.


def folding(bias=True, affine=True, dtype="float64"):
    layers = [L.Conv2d(3, 4, 3, padding=1, bias=bias), L.BatchNorm2d(4, affine=affine), L.ReLU()]
    return settled(Sequential(*layers, dtype=dtype))


@pytest.mark.parametrize("way", ["winograd", "wide"])
@pytest.mark.parametrize("samples", [1, 7])
@pytest.mark.parametrize(("bias", "affine"), [(True, True), (False, True), (True, False), (False, False)])
def test_batch_norm_folded_into_a_convolution(way, samples, bias, affine):
    # one small image has fewer outputs than there are weights: then the outputs are scaled, else the filters
    size = 3 if samples == 1 else 9
    x = numbers((samples, 3, size, size), "float64", 1, "x")
    with cache_of(1 << 11, way=way):
        model = folding(bias, affine)
        text = model.explain((3, size, size), batch=samples, train=False)
        assert f"folded into {'outputs' if samples == 1 else 'filters'} and bias" in text
        found = model(x)
    with generic():
        np.testing.assert_allclose(found, folding(bias, affine)(x), rtol=1e-12, atol=1e-12)


def test_folding_leaves_the_parameters_and_sees_their_changes():
    model = folding()
    x = numbers((7, 3, 9, 9), "float64", 1, "x")
    before = {name: np.asarray(a).copy() for name, a in [*model.params.items(), *model.buffers.items()]}
    model(x)
    for name, a in [*model.params.items(), *model.buffers.items()]:
        assert (a == before[name]).all(), name
    for layer, name in (("1", "weight"), ("1", "bias"), ("0", "weight"), ("0", "bias")):
        model.children[layer].params[name][...] += 0.25
        with generic():
            wanted = model(x)
        np.testing.assert_allclose(model(x), wanted, rtol=1e-12, atol=1e-12)
    for name in ("running_mean", "running_var"):
        model.children["1"].buffers[name][...] *= 2.0
        with generic():
            wanted = model(x)
        np.testing.assert_allclose(model(x), wanted, rtol=1e-12, atol=1e-12)


def test_of_two_norms_in_a_row_the_first_is_folded():
    def build():
        return settled(Sequential(L.Conv2d(3, 4, 3), L.BatchNorm2d(4), L.BatchNorm2d(4), L.ReLU(), dtype="float64"))

    x = numbers((7, 3, 9, 9), "float64", 1, "x")
    text = build().explain((3, 9, 9), batch=7, train=False)
    assert text.count("folded into the convolution before it") == 1
    assert text.count("batch norm in the tile, by running statistics") == 1
    with generic():
        wanted = build()(x)
    np.testing.assert_allclose(build()(x), wanted, rtol=1e-12, atol=1e-12)


def test_a_folded_norm_is_computed_and_not_only_left_out_of_the_run():
    model = folding()
    (segment,) = model._segments(numbers((7, 3, 9, 9), "float64", 1, "x"), False)
    assert [type(node).__name__ for node in segment.run.nodes] == ["Convolution", "ReLU"]
    assert [(i, name) for i, name, _ in segment.norms] == [(0, "1")]


@pytest.mark.parametrize("name", ["weight", "running_var"])
def test_a_folded_norm_of_another_shape_is_what_batch_norm_says_of_it(name):
    model = folding()
    x = numbers((7, 3, 9, 9), "float64", 1, "x")
    model(x)  # there is a plan
    layer = model.children["1"]
    (layer.params if name == "weight" else layer.buffers)[name] = np.ones(1)
    with pytest.raises(ShapeError, match=r"^BatchNorm2d: expected"):
        model(x)


def test_training_folds_nothing():
    # frozen statistics, but the scale learns
    text = folding().freeze("1.running_*").explain((3, 9, 9), batch=7)
    assert "folded" not in text


@pytest.mark.oracle
@pytest.mark.parametrize("far", [0.0, 100.0])
def test_folding_is_as_accurate_as_torch(far):
    torch = pytest.importorskip("torch")
    model, exact = folding(dtype="float32"), folding()
    for one in (model, exact):  # a mean far from 0 for its deviation cancels
        one.children["0"].params["bias"][...] += far
        one.children["1"].buffers["running_mean"][...] += far
    x = numbers((7, 3, 9, 9), "float32", 1, "x")
    with generic():
        wanted = exact(x.astype("float64"))
    w, b = (torch.from_numpy(np.ascontiguousarray(a)) for a in model.children["0"].params.values())
    layer = model.children["1"]
    norm = {name: torch.from_numpy(a) for name, a in {**layer.params, **layer.buffers}.items()}
    theirs = torch.nn.functional.conv2d(torch.from_numpy(x), w, b, padding=1)
    theirs = torch.nn.functional.batch_norm(
        theirs, norm["running_mean"], norm["running_var"], norm["weight"], norm["bias"], eps=1e-5
    ).relu()
    error, torch_error = (np.abs(np.asarray(a) - wanted) for a in (model(x), theirs))
    assert np.sqrt((error**2).mean()) <= 1.5 * np.sqrt((torch_error**2).mean())


@pytest.mark.parametrize("lowest", range(4))
@pytest.mark.parametrize("input_grad", [False, True])
def test_only_layers_from_some_place_on_learn(lowest, input_grad):
    freeze = [str(i) for i in (0, 3, 5, 6)[:lowest]]
    agree(
        lambda: [
            L.Conv2d(1, 2, 3),
            L.ReLU(),
            L.MaxPool2d(2),
            L.Conv2d(2, 3, 2),
            L.Dropout(0.5),
            L.Conv2d(3, 2, 1),
            L.BatchNorm2d(2),
            L.ReLU(),
        ],
        (1, 9, 8),
        freeze=freeze,
        input_grad=input_grad,
    )


def test_nothing_learns():
    model = Sequential(L.Conv2d(1, 2, 3), L.ReLU(), L.MaxPool2d(2)).freeze()
    x = np.ones((3, 1, 6, 6), "float32")
    y, cache = model.forward(x, train=True)
    assert model.backward(y, cache, input_grad=False) == (None, {})
    dx, grads = model.backward(y, cache)
    assert dx.shape == x.shape and grads == {}


def test_gradients_come_in_the_order_of_the_layers_backwards():
    x = np.ones((3, 2, 6, 6), "float32")
    orders = []
    for mode in (nullcontext, generic):
        with mode():
            model = Sequential(L.Conv2d(2, 2, 3), L.ReLU(), L.MaxPool2d(2), L.Conv2d(2, 2, 1), L.BatchNorm2d(2))
            y, cache = model.forward(x, train=True)
            orders.append(list(model.backward(y, cache)[1]))
    assert orders[0] == orders[1]


@pytest.mark.parametrize("name", ["stride", "padding", "dilation"])
def test_a_setting_changed_later_counts(name):
    def build():
        model = settled(Sequential(L.Conv2d(2, 3, 2), L.ReLU(), dtype="float64"))
        model(np.ones((2, 2, 7, 7)))
        setattr(model[0], name, (2, 2))
        return model

    x = numbers((3, 2, 7, 7), "float64", 0, "x")
    assert_agree(build, x, numbers(build()(x).shape, "float64", 0, "dy"))


def test_sizes_of_batch_and_image_may_vary():
    def build():
        return settled(Sequential(L.Conv2d(2, 3, 3, padding=1), L.BatchNorm2d(3), L.ReLU(), L.MaxPool2d(2)))

    model, other = build(), build()
    with cache_of(1 << 11):
        for i, (n, h, w) in enumerate([(5, 8, 8), (1, 8, 8), (13, 8, 8), (2, 5, 9), (5, 8, 8), (3, 2, 2)]):
            x = numbers((n, 2, h, w), "float32", i, "x")
            with generic():
                y, cache = other.forward(x, train=True)
                dx, grads = other.backward(y, cache)
                still = other(x)
            y_fast, cache = model.forward(x, train=True)
            dx_fast, grads_fast = model.backward(y, cache)
            for a, b in ((y_fast, y), (dx_fast, dx), (model(x), still), *((grads_fast[k], grads[k]) for k in grads)):
                np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


# Layers of the user's own, which know nothing of all this.


class Cropped(L.Layer):
    """Takes a row and a column away, and does not say so."""

    def forward(self, x, *, train=False):
        y = x[:, :, 1:, 1:]
        return y, self.keep(y) if train else None

    def backward(self, dy, cache):
        self.recall(dy, cache)
        return np.pad(dy, ((0, 0), (0, 0), (1, 0), (1, 0))), {}


class Widened(L.Layer):
    """Gives float64, whatever comes."""

    def forward(self, x, *, train=False):
        y = x.astype("float64")
        return y, self.keep(y) if train else None

    def backward(self, dy, cache):
        return dy.astype("float32"), {}


def test_a_layer_that_hides_its_shape():
    agree(lambda: [L.Conv2d(2, 3, 3, padding=1), L.ReLU(), Cropped(), L.Conv2d(3, 3, 3), L.ReLU()], (2, 8, 8))


def test_a_layer_that_changes_the_dtype_is_found_out():
    model = Sequential(L.Conv2d(2, 3, 3), Widened(), L.Conv2d(3, 3, 3), L.ReLU())
    with pytest.raises(DtypeError, match="layer '2' of Sequential"):
        model(np.ones((2, 2, 8, 8), "float32"))


def test_who_listens_to_each_layer_hears_it():
    x = numbers((3, 2, 6, 6), "float32", 0, "x")
    model = settled(Sequential(L.Conv2d(2, 3, 3), L.ReLU(), L.MaxPool2d(2)))
    heard, inner = [], model._forward_child

    def listen(name, *args):
        heard.append(name)
        return inner(name, *args)

    model._forward_child = listen
    with generic():
        y = model(x)
    heard.clear()
    np.testing.assert_allclose(model(x), y, rtol=1e-5)
    assert heard == ["0", "1", "2"]


# Errors: the layers' own, word for word.


def body():
    return Sequential(L.Conv2d(2, 4, 3), L.ReLU(), L.MaxPool2d(2), L.BatchNorm2d(4))


WRONG = {
    "list": [1, 2],
    "None": None,
    "tuple": (np.zeros((1, 2, 8, 8), "float32"),),
    "number": 1.0,
    "scalar": np.float32(1.0),
    "no axes": np.zeros((), "float32"),
    "vector": np.zeros(8, "float32"),
    "rows": np.zeros((3, 8), "float32"),
    "no batch axis": np.zeros((2, 8, 8), "float32"),
    "five axes": np.zeros((1, 1, 2, 8, 8), "float32"),
    "channels": np.zeros((2, 3, 8, 8), "float32"),
    "channels last": np.zeros((2, 8, 8, 2), "float32"),
    "no samples": np.zeros((0, 2, 8, 8), "float32"),
    "no pixels": np.zeros((2, 2, 0, 8), "float32"),
    "too low": np.zeros((2, 2, 2, 8), "float32"),
    "too narrow": np.zeros((2, 2, 8, 2), "float32"),
    "too small": np.zeros((2, 2, 1, 1), "float32"),
    "too small for pooling": np.zeros((2, 2, 3, 3), "float32"),
    "one number to normalize": np.zeros((1, 2, 5, 5), "float32"),
    "integers": np.zeros((2, 2, 8, 8), "int32"),
    "bytes": np.zeros((2, 2, 8, 8), "uint8"),
    "bool": np.zeros((2, 2, 8, 8), bool),
    "complex": np.zeros((2, 2, 8, 8), "complex64"),
    "objects": np.zeros((2, 2, 8, 8), object),
    "float64": np.zeros((2, 2, 8, 8)),
    "float16": np.zeros((2, 2, 8, 8), "float16"),
    "other byte order": np.zeros((2, 2, 8, 8), ">f4"),
    "masked": np.ma.zeros((2, 2, 8, 8), "float32"),
}


def complaint(call):
    with pytest.raises(XpcnnError) as error:
        call()
    return type(error.value), str(error.value)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs_meet_the_same_error(name, train):
    x = WRONG[name]
    if name == "one number to normalize" and not train:
        return
    with generic():
        expected = complaint(lambda: body().forward(x, train=train))
    assert complaint(lambda: body().forward(x, train=train)) == expected


@pytest.mark.parametrize(
    "dy",
    [
        None,
        [1.0],
        np.zeros((2, 4, 3, 3)),
        np.zeros((2, 4, 3, 4), "float32"),
        np.zeros((3, 4, 3, 3), "float32"),
        np.zeros((2, 4, 3, 3), "int32"),
        np.ma.zeros((2, 4, 3, 3), "float32"),
    ],
    ids=["None", "list", "float64", "shape", "samples", "integers", "masked"],
)
def test_wrong_gradients_meet_the_same_error(dy):
    def call():
        model = body()
        cache = model.forward(np.ones((2, 2, 8, 8), "float32"), train=True)[1]
        model.backward(dy, cache)

    with generic():
        expected = complaint(call)
    assert complaint(call) == expected


def test_cache_of_another_model_meets_the_same_error():
    def call():
        x = np.ones((2, 2, 8, 8), "float32")
        y, cache = body().forward(x, train=True)
        body().backward(y, cache)

    with generic():
        expected = complaint(call)
    assert complaint(call) == expected


def test_buffers_stay_as_they_were_where_a_later_layer_fails():
    model = Sequential(L.BatchNorm2d(2), L.ReLU(), Widened(), L.Conv2d(2, 3, 3))
    with pytest.raises(DtypeError):
        model.forward(np.ones((2, 2, 8, 8), "float32"), train=True)
    assert model.buffers["0.running_mean"].tolist() == [0.0, 0.0]
    assert int(model.buffers["0.num_batches_tracked"]) == 0


# Numbers that are none.


@pytest.mark.parametrize("way", ["usual", "winograd", "wide"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_so_and_in_its_sample(way, bad):
    """Convolutions that take several pixels together may spread it to their neighbours, but no farther."""
    x = numbers((6, 2, 8, 9), "float32", 0, "x")
    clean = x.copy()
    x[1, 0, 3, 4] = x[4, 1, 0, 8] = bad

    def build():
        return settled(Sequential(L.Conv2d(2, 3, 3, padding=1), L.LeakyReLU(), L.Conv2d(3, 2, 3, padding=1)))

    others = [0, 2, 3, 5]
    with np.errstate(invalid="ignore"), cache_of(1 << 11, way=way):
        y, untouched = build()(x), build()(clean)
        with generic():
            expected = build()(x)
    assert (y[others] == untouched[others]).all()
    assert not np.isfinite(y[~np.isfinite(expected)]).any()
    assert np.isfinite(y).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("pool", [L.MaxPool2d(2), L.MaxPool2d(3, 2), L.MaxPool2d((1, 3)), L.MaxPool2d(2, 3)])
def test_pooling_of_what_is_not_finite(pool, bad):
    x = numbers((6, 2, 8, 9), "float32", 0, "x")
    x[1, 0, 3, 4] = x[1, 0, 3, 5] = x[4, 1, 0, 8] = x[4, 1, 1, 0] = bad
    x[5, 0] = bad
    x[5, 1, ::2] = -bad
    found = []
    for mode in (nullcontext, generic):
        with mode(), cache_of(1 << 11):
            model = Sequential(*copies([pool]))
            y, cache = model.forward(x, train=True)
            found.append((y, model.backward(np.ones_like(y), cache)[0], model(x)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rectifier_before_pooling_of_what_is_not_finite(bad):
    x = numbers((6, 2, 8, 8), "float32", 0, "x")
    x[1, 0, 3, 4] = x[1, 0, 3, 5] = x[4, 1, 0, 7] = bad
    found = []
    for mode in (nullcontext, generic):
        with mode(), cache_of(1 << 11):
            model = Sequential(L.ReLU(), L.MaxPool2d(2), L.Dropout(0.3))
            y, cache = model.forward(x, train=True)
            found.append((y, model.backward(np.ones_like(y), cache)[0], model(x)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_pooling_of_large_numbers_warns_of_nothing():
    x = np.full((3, 2, 8, 8), 3e38, "float32")
    assert (Sequential(L.MaxPool2d(2)).forward(x, train=True)[0] == x[0, 0, 0, 0]).all()


@pytest.mark.parametrize("tie", [0.0, 2.0, -1.0])
def test_the_first_of_equal_numbers_gets_the_gradient(tie):
    x = np.full((6, 2, 6, 6), tie, "float32")
    for layers in ([L.MaxPool2d(2)], [L.MaxPool2d(3, 1)], [L.ReLU(), L.MaxPool2d(2)]):
        found = []
        for mode in (nullcontext, generic):
            with mode(), cache_of(1 << 9):
                model = Sequential(*copies(layers))
                y, cache = model.forward(x, train=True)
                found.append(model.backward(numbers(y.shape, "float32", 0, "dy"), cache)[0])
        np.testing.assert_array_equal(*found)
