"""Activations and sums as single kernels: the generic bodies' numbers, errors and dtypes, in the order of memory."""

import inspect
import re

import numpy as np
import pytest

from tests.backend.cuda.test_compile import GPUS, compiled
from tests.backend.cuda.test_update import RULES
from xpcnn import ops
from xpcnn.backend import Key, normal, registry, to_numpy
from xpcnn.backend.cuda import elementwise, launch, update
from xpcnn.backend.cuda.elementwise import _traced
from xpcnn.errors import XpcnnError
from xpcnn.layers import Conv2d, ReLU
from xpcnn.models import Residual, Sequential
from xpcnn.ops import merge
from xpcnn.optimizers import clipping

KEEPS_Y = ("relu", "sigmoid", "tanh")
SETTINGS = {
    "leaky_relu": [(), (0.5,), (-1.5,)],
    "elu": [(), (2.0,), (-0.5,)],
    "gelu": [(), ("tanh",)],
    "softplus": [(), (2.0, 3.0)],
}
NAMES = ["relu", "leaky_relu", "sigmoid", "tanh", "elu", "selu", "gelu", "softplus", "silu", "mish", "hardswish"]
CASES = [(name, given) for name in NAMES for given in SETTINGS.get(name, [()])]
EXACT = ("relu", "leaky_relu", "hardswish")  # + - * and / only
every_case = pytest.mark.parametrize(("name", "given"), CASES, ids=lambda x: str(x))


@pytest.fixture
def on(cupy, monkeypatch):
    """The kernels for CuPy's arrays answer for NumPy's, which stand in for them."""
    for op in ("elementwise", "add"):
        monkeypatch.setitem(registry._kernels, (op, "numpy"), registry._kernels[op, "cupy"])
    monkeypatch.delenv("XPCNN_KERNELS", raising=False)
    return cupy


def generic(function, *args, **named):
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        patch.setenv("XPCNN_KERNELS", "generic")
        return function(*args, **named)


def images(key, dtype="float32", order=(0, 2, 3, 1), shape=(2, 5, 4, 3)):
    """Images that lie in memory in that order of axes; channels-last, unless said otherwise."""
    x = 3.0 * normal(tuple(shape[axis] for axis in order), Key(0, key)).astype(dtype)
    return x.transpose(np.argsort(order))


def special(dtype):
    values = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-30, -1e-30, 100.0, -100.0, 1e30, -1e30, 3.0, -3.0, 20.0]
    return np.asarray(values, dtype)


def test_all_that_is_marked_is_here():
    marked = {
        name for name, op in vars(ops).items() if "elementwise" in getattr(op, "__globals__", {}).get("__name__", "")
    }
    assert marked == {*NAMES, *(f"{name}_backward" for name in NAMES), "add_relu", "moved"}


@pytest.mark.parametrize("new_dtype", ["float32", "float64"])
def test_running_averages_are_one_kernel_in_float64(on, new_dtype):
    old, new = (normal((70,), Key(i, "r")).astype(d) for i, d in enumerate(("float32", new_dtype)))
    found = ops.moved(old, new, 0.1, 1.03)
    assert found.dtype == "float32" and on.launched == ["xpcnn_moved"]
    np.testing.assert_array_equal(found, generic(ops.moved, old, new, 0.1, 1.03))
    # a share that is an array, as of the plain average, is the body's
    np.testing.assert_array_equal(ops.moved(old, new, np.asarray(0.5)), generic(ops.moved, old, new, 0.5))


def test_arrays_of_two_dtypes_give_what_the_library_gives(on):
    a, b = images("a"), images("b", "float64")
    both = on_both(a, b)
    assert both.dtype == "float64"
    np.testing.assert_array_equal(both, a + b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_rectified_sum_is_one_kernel(on, dtype):
    for a, b in ((images("a", dtype), images("b", dtype)), (special(dtype), special(dtype)[::-1])):
        on.launched.clear()
        found = ops.add_relu(a, b)
        assert on.launched == ["xpcnn_add_relu"]
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(found, generic(ops.relu, a + b))
    assert ops.add_relu(images("a"), images("b", "float64")).dtype == "float64"


def on_both(a, b):
    return registry._kernels["add", "cupy"](a, b)


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_are_those_of_the_generic_bodies(on, name, given, dtype):
    op, back = getattr(ops, name), getattr(ops, f"{name}_backward")
    for x in (images("x", dtype), special(dtype)):
        dy = np.ones_like(x) + images("dy", dtype).reshape(-1)[: x.size].reshape(x.shape) ** 2
        y, expected = op(x, *given), generic(op, x, *given)
        kept = expected if name in KEEPS_Y else x
        dx, gradient = back(dy, kept, *given), generic(back, dy, kept, *given)
        for a, b in ((y, expected), (dx, gradient)):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            if name in EXACT:
                np.testing.assert_array_equal(a, b)
            else:
                eps = 6 * np.finfo(dtype).eps
                np.testing.assert_allclose(a, b, rtol=eps, atol=eps)
    assert on.launched == [f"xpcnn_{name}", f"xpcnn_{name}_backward"] * 2


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 1, 2, 0)])
def test_results_lie_in_memory_as_the_first_array_does(on, order):
    x, dy = images("x", order=order), images("dy", order=(0, 1, 3, 2))
    y = ops.silu(x)
    assert y.strides == x.strides
    np.testing.assert_allclose(y, generic(ops.silu, x), rtol=1e-6)
    dx = ops.leaky_relu_backward(dy, x, 0.25)
    assert dx.strides == dy.strides
    np.testing.assert_array_equal(dx, generic(ops.leaky_relu_backward, dy, x, 0.25))


@pytest.mark.parametrize(
    "x",
    [np.arange(24.0)[::-2], np.arange(24.0).reshape(4, 6)[1:, ::2], np.asarray(-2.0), np.zeros((0, 3))],
    ids=range(4),
)
def test_parts_of_arrays_single_entries_and_none_at_all(on, x):
    x = x - 7.0 if x.ndim == 1 else x
    y = ops.leaky_relu(x, 0.5)
    assert y.shape == x.shape
    np.testing.assert_array_equal(y, generic(ops.leaky_relu, x, 0.5))
    assert len(on.launched) == bool(x.size)


def test_arguments_may_be_named(on):
    x = images("x")
    found = ops.elu_backward(dy=x, x=x, alpha=0.3)
    np.testing.assert_allclose(found, generic(ops.elu_backward, x, x, 0.3), rtol=1e-6)
    assert on.launched == ["xpcnn_elu_backward"]


def test_settings_are_told_apart(on):
    x = np.asarray([-1.0])
    slopes = [0.5, 0.25, 0.0, -0.0, 0, 1, True]
    assert [ops.leaky_relu(x, slope).item() for slope in slopes] == [-0.5, -0.25, 0.0, 0.0, 0.0, -1.0, -1.0]
    assert np.signbit(ops.leaky_relu(x * 0.0 + 1.0, 0.0)) == np.signbit(ops.leaky_relu(x * 0.0 + 1.0, -0.0))
    assert [np.signbit(ops.elu(x, alpha)).item() for alpha in (0.0, -0.0)] == [
        np.signbit(generic(ops.elu, x, alpha)).item() for alpha in (0.0, -0.0)
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda x: ops.relu(x.astype("int64")),
        lambda x: ops.relu([1.0]),
        lambda x: ops.silu_backward(x, x.astype("float64")),
        lambda x: ops.silu_backward(x[:1], x),
        lambda x: ops.tanh_backward(x, [0.0]),
        lambda x: ops.gelu(x, "quick"),
        lambda x: ops.gelu_backward(x, x, "quick"),
        lambda x: ops.add([x, x[:1]]),
        lambda x: ops.add([x, x.astype("float64")], "Add"),
    ],
    ids=range(9),
)
def test_errors_are_those_of_the_generic_bodies_every_time(on, call):
    x = images("x")
    with pytest.raises(XpcnnError) as expected:
        generic(call, x)
    for _ in range(2):
        with pytest.raises(type(expected.value), match=f"^{re.escape(str(expected.value))}$"):
            call(x)
    assert not on.launched


def test_missing_arguments_are_the_bodys_error(on):
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        ops.relu()
    assert list(inspect.signature(ops.elu_backward).parameters) == ["dy", "x", "alpha"]


def test_other_dtypes_and_settings_are_left_to_the_body(on):
    long = np.asarray([-1.0, 2.0], "longdouble")
    assert ops.relu(long).tolist() == [0.0, 2.0]
    assert ops.leaky_relu(long.astype("float32"), np.float32(0.5)).tolist() == [-0.5, 2.0]
    assert not on.launched


def test_generic_turns_the_kernels_off(on):
    generic(ops.relu, images("x"))
    assert not on.launched


@pytest.mark.parametrize("count", [2, 3])
def test_sums_are_one_kernel_in_the_order_of_the_first(on, count):
    xs = [images("a"), images("b", order=(0, 1, 2, 3)), images("c")][:count]
    y = ops.add(xs)
    assert on.launched == ["xpcnn_sum"]
    assert y.strides == xs[0].strides
    np.testing.assert_array_equal(y, sum(xs[1:], start=xs[0]))
    assert all(not np.may_share_memory(y, x) for x in xs)


def test_one_array_alone_is_copied(on):
    x = images("x")
    y = ops.add([x])
    assert not np.may_share_memory(x, y)
    np.testing.assert_array_equal(x, y)


def test_the_sum_of_a_residual_is_that_kernel(on):
    a, b = images("a"), images("b", order=(0, 1, 2, 3))
    y = elementwise.add(a, b)
    assert y.strides == a.strides
    np.testing.assert_array_equal(y, a + b)
    assert on.launched == ["xpcnn_plus"]
    assert (elementwise.add(a, b[:1]) == a + b[:1]).all()  # not of one shape


def sources(dtype):
    """Every kernel that is made of a formula of ours."""
    x = np.zeros(2, dtype)
    for name, given in CASES:
        yield _traced(getattr(ops, name).__wrapped__, (x, *given), {}, x)[0].source
        yield _traced(getattr(ops, f"{name}_backward").__wrapped__, (x, x, *given), {}, x)[0].source
    yield _traced(merge._sum.__wrapped__, (x, x, x), {}, x)[0].source
    yield _traced(ops.add_relu.__wrapped__, (x, x), {}, x)[0].source
    for rule in RULES:
        made = rule(weight_decay=0.1)
        slots = tuple((slot, value.ndim > 0) for slot, value in made.init_state(x).items())
        for on_device in (False, True):
            yield update._kernels(made.apply, (x.dtype, 1, slots), on_device)[0].source
    limits = clipping.partial(clipping._limited, 1.0), clipping.partial(clipping._scaled, 1.0)
    yield from (found.source for found in update._clipping(x.dtype, *limits))


@pytest.mark.parametrize("gpu", range(len(GPUS)), ids=GPUS)
def test_kernels_of_all_formulas_compile(gpu):
    """For each GPU another part of them, since all for all take a minute; each is in a namespace of its own."""
    codes = []
    for shift, dtype in enumerate(("float32", "float64")):
        codes += [*sources(dtype)][(gpu + shift) % len(GPUS) :: len(GPUS)]
    named = [re.sub(r"\bxpcnn_", f"xpcnn_{i}_", code) for i, code in enumerate(codes)]
    text = "\n".join(f"namespace n{i} {{\n{code}\n}}" for i, code in enumerate(named))
    cubin = compiled(text, (*launch.OPTIONS, f"-arch={GPUS[gpu]}"))
    names = re.findall(r'extern "C" __global__ void (\w+)', text)
    assert len(names) > len(codes)  # some write counts of steps
    for name in names:
        assert name.encode() in cubin


@pytest.mark.gpu
@every_case
def test_a_gpu_gives_the_same(space_of_cupy, name, given):
    op, back = getattr(ops, name), getattr(ops, f"{name}_backward")
    for dtype, eps in (("float32", 1e-6), ("float64", 1e-14)):
        host, dy = images("x", dtype, (0, 1, 2, 3)), images("dy", dtype, (0, 1, 2, 3))
        x = space_of_cupy.asarray(host.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        y = op(x, *given)
        assert y.strides == x.strides
        np.testing.assert_allclose(to_numpy(y), op(host, *given), rtol=eps, atol=eps)
        kept, kept_here = (y, op(host, *given)) if name in KEEPS_Y else (x, host)
        dx = back(space_of_cupy.asarray(dy), kept, *given)
        np.testing.assert_allclose(to_numpy(dx), back(dy, kept_here, *given), rtol=4 * eps, atol=4 * eps)


@pytest.mark.gpu
def test_a_gpu_keeps_images_channels_last_through_a_network(space_of_cupy):
    model = Sequential(Conv2d(3, 8, 3, padding=1), ReLU(), Residual(ReLU()), device="cuda")
    y = model(space_of_cupy.asarray(images("x", order=(0, 1, 2, 3), shape=(2, 3, 6, 6))))
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
