"""Formulas in Python on arrays, and the CUDA C that is made of them: the same bits, with the dtypes of NumPy."""

import logging
import operator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpcnn.backend import Key, array_namespace, normal
from xpcnn.backend.cuda.each import Row, program, start
from xpcnn.backend.cuda.trace import Names, Trace, Untraceable, remembered

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
IN_PLACE = {"+=": operator.iadd, "-=": operator.isub, "*=": operator.imul, "/=": operator.itruediv}
TESTS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne}

numbers = st.recursive(
    st.one_of(st.sampled_from(["lr", 0.1, -0.3, 3, 1e-8, 0.999]), st.floats(-2, 2)),
    lambda inner: st.tuples(st.sampled_from("+-*"), inner, inner),
    max_leaves=3,
)


def formulas(inner):
    other = st.one_of(inner, numbers)
    return st.one_of(
        st.tuples(st.sampled_from([*OPERATORS, "max", "min"]), inner, other),
        st.tuples(st.sampled_from([*OPERATORS]), numbers, inner),
        st.tuples(st.sampled_from([*IN_PLACE]), st.just("x"), other),
        st.tuples(st.sampled_from(["abs", "neg", "sign", "sqrt", "square", "power", "wide", "narrow"]), inner),
        st.tuples(st.sampled_from([*TESTS]), inner, other),
        st.tuples(st.just("where"), inner, other, inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    )


arrays = st.recursive(st.sampled_from(["x", "g", "u"]), formulas, max_leaves=8)


def value(formula, given):
    """What a formula gives, of NumPy's arrays or of symbols."""
    if isinstance(formula, str):
        return given[formula]
    if not isinstance(formula, tuple):
        return formula
    name, *inner = formula
    xp = array_namespace(given["x"])
    if name in IN_PLACE:
        fresh = xp.asarray(given["x"], copy=True)
        other = value(inner[1], given)
        return IN_PLACE[name](fresh, other)
    a, *others = (value(f, given) for f in inner)
    if name in OPERATORS:
        return OPERATORS[name](a, *others)
    a = xp.asarray(a) if not isinstance(a, (int, float)) else a
    if name in TESTS:
        return xp.astype(xp.asarray(TESTS[name](a, *others)), xp.float32)
    if name in ("and", "or"):
        truth = (xp.logical_and if name == "and" else xp.logical_or)(a > 0.0, xp.logical_not(others[0] > 0.0))
        return xp.astype(xp.asarray(truth), xp.float64)
    single = {
        "abs": abs,
        "neg": operator.neg,
        "sign": lambda a: xp.sign(a),
        "sqrt": lambda a: xp.sqrt(xp.abs(a)),
        "square": lambda a: xp.square(a),
        "power": lambda a: a**2,
        "wide": lambda a: xp.astype(a, xp.float64),
        "narrow": lambda a: xp.astype(a, xp.float32, copy=False),
        "max": lambda a, b: xp.maximum(a, b),
        "min": lambda a, b: xp.minimum(a, b),
        "where": lambda a, b, c: xp.where(xp.isnan(a), b, c),
    }
    return single[name](a, *others)


def run(formulas, given):
    """Arrays of the formulas' values, as the kernel makes them of NumPy's arrays."""
    trace, x = Trace(), given["x"]
    symbols = {name: trace.array(a.dtype, a.ndim, a.ndim > 0) for name, a in given.items() if name != "lr"}
    symbols["lr"] = trace.number()
    results = [trace.value_of(value(f, symbols)) for f in formulas]
    writes = [(trace.column(v.dtype), v.as_(v.dtype, trace)) for v in results]
    outputs = [np.empty(x.shape, v.dtype) for _, v in writes]
    made = program("formulas", trace, writes)
    start(made, [Row([*(a for name, a in given.items() if name != "lr"), *outputs], made.written)], [given["lr"]])
    return outputs


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.data_too_large])
@given(
    some=st.lists(arrays, min_size=25, max_size=25),
    dtype=st.sampled_from(["float32", "float64"]),
    lr=st.floats(1e-3, 2.0),
)
def test_every_formula_gives_the_bits_and_dtypes_of_numpy(cupy, some, dtype, lr):
    x, g, u = (normal(shape, Key(i, "x")).astype(dtype) for i, shape in enumerate([(37,), (37,), ()]))
    x[:3], g[2:5] = [np.nan, 0.0, np.inf], [np.nan, 0.0, -np.inf]
    given = {"x": x, "g": g, "u": np.asarray(u), "lr": lr}
    found = run(some, given)
    with np.errstate(all="ignore"):
        for formula, a in zip(some, found, strict=True):
            expected = np.asarray(value(formula, given))
            assert a.dtype == expected.dtype, formula
            np.testing.assert_array_equal(a, np.broadcast_to(expected, a.shape), err_msg=str(formula))


ROUNDED = ("*", ("+=", "x", ("wide", "g")), ("-=", "x", ("*", ("wide", "g"), "lr")))


@pytest.mark.parametrize(
    "formula", [("+=", "x", ("wide", "g")), ROUNDED, ("*", "x", ("*", "lr", 0.1)), ("-", "lr", "u")]
)
def test_numbers_are_rounded_where_numpy_rounds_them(cupy, formula):
    given = {name: normal((64,), Key(0, name)).astype("float32") for name in "xg"}
    given |= {"u": np.asarray(0.1, "float32"), "lr": 0.3}
    expected = value(formula, given)
    (found,) = run([formula], given)
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(found, np.broadcast_to(expected, (64,)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["exp", "log", "expm1", "log1p", "tanh", "sqrt"])
def test_functions_are_off_by_two_roundings_at_most(cupy, name, dtype):
    x = np.abs(normal((50,), Key(0, "x"))).astype(dtype)
    trace = Trace()
    y = getattr(trace.xp, name)(trace.array(dtype, 1))
    found, made = np.empty_like(x), program(name, trace, [(trace.column(dtype), y.value)])
    start(made, [Row([x, found], made.written)])
    np.testing.assert_array_max_ulp(found, getattr(np, name)(x), 2)


def filled(x):
    xp = array_namespace(x)
    y = xp.zeros_like(x)
    y[...] = 0.1
    y[()] += xp.full(x.shape, 3, dtype=x.dtype)
    return y * xp.ones(x.shape, dtype=x.dtype)


@pytest.mark.parametrize(
    "body",
    [
        lambda x: -(+x),
        lambda x: abs(x) ** 0.5 - x**1 + x**2,
        lambda x: abs(x) ** 1.7,
        lambda x: 0.3**x,
        lambda x: array_namespace(x).asarray(0.1, dtype=x.dtype) * x,
        filled,
    ],
    ids=range(6),
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_powers_and_constant_arrays(cupy, body, dtype):
    x = normal((40,), Key(0, "x")).astype(dtype)
    trace = Trace()
    y = body(trace.array(dtype, 1))
    assert (y.ndim, y.dtype) == (1, dtype)
    found, made = np.empty_like(x), program("body", trace, [(trace.column(dtype), y.value)])
    start(made, [Row([x, found], made.written)])
    np.testing.assert_array_max_ulp(found, body(x), 2)


def test_what_is_computed_twice_is_written_once():
    trace = Trace()
    x = trace.array("float32", 1)
    y = x * x + x * x
    unused = x / 3.0
    assert unused.dtype == np.float32
    lines = [line for line, _ in trace.needed([y.value])]
    assert [line.partition("= ")[2] for line in lines] == ["a0[j];", "v0 * v0;", "v1 + v1;"]


def test_constants_have_all_their_digits_in_double_and_are_rounded_once():
    trace = Trace()
    trace.array("float32", 1) * (0.1 + 0.2)
    assert "(float)0.30000000000000004" in str(trace._lines)


@pytest.mark.parametrize(
    "body",
    [
        float,
        bool,
        int,
        len,
        list,
        np.sqrt,
        np.asarray,
        lambda x: x[0],
        lambda x: x + np.float64(1.0),
        lambda x: np.float64(1.0) + x,
        lambda x: x * np.ones(3),
        lambda x: x * float("nan"),
        lambda x: (x > 0.0) * x,
        lambda x: x.shape[0] * x,
        lambda x: x.size * x,
        lambda x: 1.0 if x > 0.0 else 0.0,
        lambda x: array_namespace(x).sum(x),
        lambda x: array_namespace(x).zeros((3,), dtype=x.dtype),
        lambda x: x.__setitem__(0, 1.0),
        lambda x: x.__setitem__(..., x > 0.0),
        lambda x: x + Trace().array("float32", 1),
        lambda x: x + x.trace.array("float32", 2),
        lambda x: array_namespace(x, np.ones(3)),
    ],
    ids=range(23),
)
def test_what_cannot_be_said_for_one_entry_is_refused(body):
    with pytest.raises((Untraceable, TypeError, AttributeError)):
        body(Trace().array("float32", 1))


def test_names_are_those_of_the_standard():
    import array_api_strict

    for name in {n for n in vars(Names) if not n.startswith("_")}:
        assert hasattr(array_api_strict, name), name


def test_a_formula_is_made_once_and_its_failure_said_once(caplog):
    calls = []

    def fail():
        calls.append(1)
        raise KeyError("slot")

    with caplog.at_level(logging.DEBUG, "xpcnn"):
        assert remembered("a key of this test", "Mine.apply", fail) is None
        assert remembered("a key of this test", "Mine.apply", fail) is None
        assert len(calls) == 1
        assert remembered(None, "Mine.apply", fail) is None
    assert len(calls) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "Mine.apply: computed by CuPy's operations on arrays, since it is no formula for one entry (KeyError: 'slot')"
    ]
