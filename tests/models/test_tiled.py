"""Runs of layers, computed tile by tile: the same as layer by layer, whatever the layers, shapes and layouts."""

from contextlib import suppress

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backend.cpu.compare import assert_agree, cache_of, settled
from xpcnn import layers as L
from xpcnn.backend import Key, normal
from xpcnn.errors import ConfigError, XpcnnError
from xpcnn.models import Sequential

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
