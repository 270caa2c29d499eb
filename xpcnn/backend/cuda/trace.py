"""
Formulas on arrays, written once in Python, as lines of CUDA C for one entry.

A body is called with symbols in place of arrays. What it computes is written down, a line for each operation, and each
operation once. Numbers get the dtypes that an array library would give them: Python's floats take that of the array
they meet, and among themselves they are double.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["PLAIN", "Symbol", "Trace", "Untraceable", "Value", "remembered"]

log = logging.getLogger("xpcnn")

FLOAT, DOUBLE, BOOL = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.bool_)
IN_C = {"float32": "float", "float64": "double", "bool": "bool", "float16": "float16", "bfloat16": "bfloat16"}
PLAIN = (bool, int, float, str, type(None))  # settings that are what they are written as


class Untraceable(Exception):
    """What a body does cannot be said for one entry; the body itself then does it, on the arrays."""


class Size:
    """The unknown length of an axis: equal to itself, and no number to compute with."""

    def __repr__(self) -> str:
        return "n"


SIZE = Size()


@dataclass(frozen=True)
class Value:
    """A number in CUDA C, by its name there."""

    text: str
    dtype: np.dtype
    ndim: int  # of the array that it is an entry of
    each: bool  # another one for each entry
    weak: bool = False  # one of Python's floats

    def as_(self, dtype: np.dtype, trace: Trace) -> Value:
        """The same number in another dtype."""
        if dtype == self.dtype:
            return self if not self.weak else Value(self.text, dtype, self.ndim, self.each)
        text = f"{self.text} != 0" if dtype == BOOL else f"({IN_C[dtype.name]}){self.text}"
        return trace.line(text, dtype, self)


@dataclass(frozen=True)
class Column:
    """An array of the call: an entry for each thread, or one for all."""

    dtype: np.dtype
    each: bool


class Trace:
    """
    What was computed so far.

    Attributes
    ----------
    columns : list of Column
        The arrays, in the order in which they were asked for.
    numbers : int
        How many Python floats come with each call.
    """

    def __init__(self) -> None:
        self.columns: list[Column] = []
        self.numbers = 0
        self.xp = Names(self)
        self._lines: dict[str, tuple[str, tuple[Value, ...]]] = {}
        self._values: dict[tuple[str, np.dtype], Value] = {}

    def array(self, dtype: Any, ndim: int, each: bool = True) -> Symbol:
        """A symbol of an array of the call, with all axes unknown."""
        column, dtype = self.column(dtype, each), np.dtype(dtype)
        text = f"a{column}[j]" if each else f"*a{column}"
        return Symbol(self, self.line(text, dtype, ndim=ndim, each=each))

    def column(self, dtype: Any, each: bool = True) -> int:
        """The number of one array more, which may be written to."""
        self.columns.append(Column(np.dtype(dtype), each))
        return len(self.columns) - 1

    def number(self) -> Symbol:
        """A symbol of a Python float of the call."""
        self.numbers += 1
        return Symbol(self, Value(f"s{self.numbers - 1}", DOUBLE, 0, each=False, weak=True))

    def line(self, text: str, dtype: np.dtype, *of: Value, ndim: int | None = None, each: bool | None = None) -> Value:
        """The value of an expression; the old one where the same was asked before."""
        found = self._values.get((text, dtype))
        if found is None:
            ndim = _ndim(of) if ndim is None else ndim
            each = any(v.each for v in of) if each is None else each
            found = self._values[text, dtype] = Value(f"v{len(self._values)}", dtype, ndim, each)
            self._lines[found.text] = f"const {IN_C[dtype.name]} {found.text} = {text};", of
        return found

    def constant(self, value: Any, dtype: np.dtype, ndim: int = 0) -> Value:
        """A Python number in that dtype."""
        if type(value) not in (int, float, bool) or not abs(value) < float("inf"):
            message = f"{type(value).__name__} {value!r}"
            raise Untraceable(message)
        text = str(bool(value)).lower() if dtype == BOOL else f"({IN_C[dtype.name]}){float(value)!r}"
        return Value(text, dtype, ndim, each=False)

    def needed(self, values: Iterable[Value]) -> list[tuple[str, bool]]:
        """The lines, in order, that these values follow from, and whether each is for one entry only."""
        wanted: dict[str, bool] = {}
        stack = list(values)
        while stack:
            value = stack.pop()
            if value.text in self._lines and value.text not in wanted:
                wanted[value.text] = value.each
                stack += self._lines[value.text][1]
        return [(line, wanted[name]) for name, (line, _) in self._lines.items() if name in wanted]

    def value_of(self, x: Any) -> Value:
        """What an operand is by now; a Python number is weak."""
        if isinstance(x, Symbol):
            if x.trace is not self:
                message = "a symbol of another body"
                raise Untraceable(message)
            return x.value
        number = self.constant(x, DOUBLE)
        return Value(number.text, DOUBLE, 0, each=False, weak=True)

    def together(self, *operands: Any) -> tuple[list[Value], np.dtype, bool]:
        """Operands in the dtype of their result, that dtype, and whether all are Python's numbers."""
        values = [self.value_of(x) for x in operands]
        strong = [v.dtype for v in values if not v.weak]
        if BOOL in strong:
            message = "arithmetic with truth values"
            raise Untraceable(message)
        dtype = _common(strong)
        constants = [x for x in operands if not isinstance(x, Symbol)]
        if strong and constants:  # rounded once, here, and written in their dtype
            values = [
                v if isinstance(x, Symbol) else self.constant(x, dtype) for x, v in zip(operands, values, strict=True)
            ]
        return [v if not strong else v.as_(dtype, self) for v in values], dtype, not strong

    def made(self, text: str, *operands: Any, dtype: np.dtype | None = None) -> Symbol:
        """The result of an operation, whose expression has a place for each operand."""
        values, own, weak = self.together(*operands)
        value = self.line(text.format(*(v.text for v in values)), own if dtype is None else dtype, *values)
        if weak and dtype is None:
            value = Value(value.text, value.dtype, 0, value.each, weak=True)
        return Symbol(self, value)


MOST = 1024  # formulas that are remembered
_made: dict[Hashable, Any] = {}


def remembered(key: Hashable, name: str, traced: Callable[[], Any]) -> Any:
    """
    What `traced` makes of a formula; None where it fails, which is said once to the log.

    Parameters
    ----------
    key : hashable
        All that the result follows from; it is made once for each. None where that is not known.
    name : str
        Of the formula.
    traced : callable
    """
    if key is not None and key in _made:
        return _made[key]
    try:
        found = traced()
    except Exception as reason:  # whatever it is: the body itself, on the arrays, says it or can do it
        found = None
        _say(name, f"{type(reason).__name__}: {reason}")
    if key is not None:
        if len(_made) >= MOST:
            _made.clear()
        _made[key] = found
    return found


@functools.cache
def _say(name: str, reason: str) -> None:
    log.debug("%s: computed by CuPy's operations on arrays, since it is no formula for one entry (%s)", name, reason)


def _ndim(values: Iterable[Value]) -> int:
    found = {v.ndim for v in values} - {0}
    if len(found) > 1:
        message = f"arrays of {found} axes together"
        raise Untraceable(message)
    return found.pop() if found else 0


def _common(dtypes: list[np.dtype]) -> np.dtype:
    """The dtype of a result of these; double of none."""
    if not dtypes or DOUBLE in dtypes:
        return DOUBLE
    return dtypes[0] if len(set(dtypes)) == 1 else FLOAT


def _operator(text: str, reflected: bool = False, dtype: np.dtype | None = None) -> Callable[..., Any]:
    def operate(self: Symbol, other: Any) -> Symbol:
        return self.trace.made(text, *((other, self) if reflected else (self, other)), dtype=dtype)

    return operate


def _in_place(text: str) -> Callable[..., Any]:
    def operate(self: Symbol, other: Any) -> Symbol:
        result = self.trace.made(text, self, other)
        if self.value.weak:
            return result  # a number is not changed, its name stands for another
        self[...] = result
        return self

    return operate


def _refused(name: str) -> Callable[..., Any]:
    def refuse(self: Symbol, *_: Any) -> Any:
        message = f"{name} of an entry"
        raise Untraceable(message)

    return refuse


class Symbol:
    """An array, all of whose entries are treated alike; or a Python float that comes with each call."""

    __array_ufunc__ = None  # NumPy's numbers leave operations to it
    __hash__ = None  # type: ignore[assignment]
    device = "traced"

    def __init__(self, trace: Trace, value: Value) -> None:
        self.trace, self.value = trace, value

    @property
    def dtype(self) -> np.dtype:
        return self.value.dtype

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def shape(self) -> tuple[Size, ...]:
        return (SIZE,) * self.value.ndim

    def __array_namespace__(self, api_version: str | None = None) -> Names:
        return self.trace.xp

    def __getitem__(self, key: Any) -> Symbol:
        if key is Ellipsis or key == ():
            return self
        message = f"the index {key!r}"
        raise Untraceable(message)

    def __setitem__(self, key: Any, value: Any) -> None:
        new, old = self.trace.value_of(value), self.value
        if (key is not Ellipsis and key != ()) or old.weak or new.ndim not in (0, old.ndim):
            message = f"writing to {key!r}"
            raise Untraceable(message)
        if (old.dtype == BOOL) != (new.dtype == BOOL):
            message = "truth values in place of numbers"
            raise Untraceable(message)
        new = new.as_(old.dtype, self.trace)
        self.value = Value(new.text, new.dtype, old.ndim, new.each)

    def __neg__(self) -> Symbol:
        return self.trace.made("-{}", self)

    def __pos__(self) -> Symbol:
        return self.trace.made("+{}", self)

    def __abs__(self) -> Symbol:
        return self.trace.made("fabs({})", self)

    def __pow__(self, power: Any) -> Symbol:
        # as NumPy: these three are exact, the others are the C library's
        for exact, text in ((2.0, "{0} * {0}"), (0.5, "sqrt({0})"), (1.0, "{0}")):
            if type(power) in (int, float) and power == exact:
                return self.trace.made(text, self)
        return self.trace.made("pow({}, {})", self, power)

    def __rpow__(self, base: Any) -> Symbol:
        return self.trace.made("pow({}, {})", base, self)

    __add__, __radd__, __iadd__ = _operator("{} + {}"), _operator("{} + {}", True), _in_place("{} + {}")
    __sub__, __rsub__, __isub__ = _operator("{} - {}"), _operator("{} - {}", True), _in_place("{} - {}")
    __mul__, __rmul__, __imul__ = _operator("{} * {}"), _operator("{} * {}", True), _in_place("{} * {}")
    __truediv__, __rtruediv__, __itruediv__ = (
        _operator("{} / {}"),
        _operator("{} / {}", True),
        _in_place("{} / {}"),
    )
    __lt__, __le__ = _operator("{} < {}", dtype=BOOL), _operator("{} <= {}", dtype=BOOL)
    __gt__, __ge__ = _operator("{} > {}", dtype=BOOL), _operator("{} >= {}", dtype=BOOL)
    __eq__, __ne__ = _operator("{} == {}", dtype=BOOL), _operator("{} != {}", dtype=BOOL)
    __bool__, __float__, __int__, __index__ = map(_refused, ("the truth", "the number", "the number", "the number"))
    __len__, __iter__, __array__ = map(_refused, ("the length", "the entries", "the entries"))


class Names:
    """The namespace of symbols: what of the Array API standard treats each entry by itself."""

    __name__ = "xpcnn.backend.cuda.trace"
    float32, float64, bool = FLOAT, DOUBLE, BOOL
    isdtype = staticmethod(np.isdtype)

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __getattr__(self, name: str) -> Any:
        if name in _FUNCTIONS:
            return functools.partial(self._trace.made, _FUNCTIONS[name])
        if name in _QUESTIONS:
            return functools.partial(self._trace.made, _QUESTIONS[name], dtype=BOOL)
        raise AttributeError(name)

    def logical_not(self, x: Symbol) -> Symbol:
        return self._truth("!{}", x)

    def logical_and(self, x: Symbol, y: Symbol) -> Symbol:
        return self._truth("{} && {}", x, y)

    def logical_or(self, x: Symbol, y: Symbol) -> Symbol:
        return self._truth("{} || {}", x, y)

    def _truth(self, text: str, *operands: Symbol) -> Symbol:
        values = [self._trace.value_of(x).as_(BOOL, self._trace) for x in operands]
        return Symbol(self._trace, self._trace.line(text.format(*(v.text for v in values)), BOOL, *values))

    def where(self, condition: Symbol, x: Any, y: Any) -> Symbol:
        test = self._trace.value_of(condition).as_(BOOL, self._trace)
        values, dtype, _ = self._trace.together(x, y)
        text = "{} ? {} : {}".format(test.text, *(v.text for v in values))
        return Symbol(self._trace, self._trace.line(text, dtype, test, *values))

    def astype(self, x: Symbol, dtype: Any, copy: Any = True) -> Symbol:
        same = np.dtype(dtype) == x.dtype and not copy
        return x if same else Symbol(self._trace, x.value.as_(np.dtype(dtype), self._trace))

    def asarray(self, x: Any, dtype: Any = None, device: Any = None, copy: Any = None) -> Symbol:
        if isinstance(x, Symbol):
            return self.astype(x, x.dtype if dtype is None else dtype, copy=copy)
        return self.full((), x, dtype=DOUBLE if dtype is None else dtype)

    def full(self, shape: Any, value: Any, dtype: Any = None, device: Any = None) -> Symbol:
        if any(n is not SIZE for n in shape) or dtype is None:
            message = f"a new array of shape {shape}, dtype {dtype}"
            raise Untraceable(message)
        return Symbol(self._trace, self._trace.constant(value, np.dtype(dtype), len(shape)))

    def full_like(self, x: Symbol, value: Any, dtype: Any = None, device: Any = None) -> Symbol:
        return self.full(x.shape, value, dtype=x.dtype if dtype is None else dtype)

    def zeros(self, shape: Any, dtype: Any = None, device: Any = None) -> Symbol:
        return self.full(shape, 0.0, dtype)

    def ones(self, shape: Any, dtype: Any = None, device: Any = None) -> Symbol:
        return self.full(shape, 1.0, dtype)

    def zeros_like(self, x: Symbol, dtype: Any = None, device: Any = None) -> Symbol:
        return self.full_like(x, 0.0, dtype)

    def ones_like(self, x: Symbol, dtype: Any = None, device: Any = None) -> Symbol:
        return self.full_like(x, 1.0, dtype)


_FUNCTIONS = {
    **{name: f"{name}({{}})" for name in ("sqrt", "exp", "log", "expm1", "log1p", "tanh", "sign")},
    **{name: f"{name}({{}}, {{}})" for name in ("maximum", "minimum")},
    "abs": "fabs({})",
    "square": "{0} * {0}",
    "negative": "-{}",
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} * {}",
    "divide": "{} / {}",
}
_QUESTIONS = {"isnan": "{0} != {0}"}
