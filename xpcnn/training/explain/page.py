"""What an explanation consists of, whatever it is shown as: lines, grids of numbers, tables, pictures; and entries."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

__all__ = ["Beside", "Block", "Entry", "Facts", "Grid", "Line", "Maps", "Page", "Part", "peak", "places", "show"]

Index = tuple[int, ...]
_LETTERS = {"weight": "w", "bias": "b"}


class Entry(NamedTuple):
    """One number that is spelled out: what the text's arithmetic gives, and what the layer computed."""

    path: str
    array: str
    place: Index
    said: float
    real: float


class Line(NamedTuple):
    """A sentence or a calculation."""

    text: str


class Grid(NamedTuple):
    """A small matrix, perhaps with one entry marked; `more` says what it was cut from."""

    title: str
    rows: list[list[float]]
    mark: tuple[int, int] | None = None
    more: str = ""


class Beside(NamedTuple):
    """Grids that belong side by side."""

    grids: tuple[Grid, ...]


class Facts(NamedTuple):
    """Table of arrays: name, shape, smallest, mean and largest entry."""

    rows: list[tuple[str, ...]]


class Maps(NamedTuple):
    """Small images, for the page only."""

    title: str
    images: list[list[list[float]]]


Block = Line | Beside | Facts | Maps


class Part(NamedTuple):
    """One layer in one direction, the loss, or the update."""

    path: str
    title: str
    formulas: tuple[str, ...]
    blocks: list[Block]


class Page:
    """
    What the explainers write on.

    Parameters
    ----------
    path : str
        Of the layer.
    sample : int
    digits : int
        Significant digits.
    limit : int
        Rows and columns of a grid, terms of a sum, and pictures.
    """

    def __init__(self, path: str, sample: int, digits: int, limit: int) -> None:
        self.path, self.n, self.digits, self.limit = path, sample, digits, limit
        self.blocks: list[Block] = []
        self.entries: list[Entry] = []

    # Numbers as text.

    def num(self, value: float) -> str:
        """A number, rounded to the digits."""
        return show(value, self.digits)

    def arg(self, value: float) -> str:
        """A number inside of a calculation: in brackets if negative."""
        text = self.num(value)
        return f"({text})" if text.startswith("-") else text

    # Blocks.

    def line(self, text: str) -> None:
        """Add a line of text."""
        self.blocks.append(Line(text))

    def grids(self, *grids: tuple[str, Any] | tuple[str, Any, tuple[int, int] | None]) -> None:
        """Matrices side by side, given as title, array of two axes or nested list, and perhaps the place to mark."""
        self.blocks.append(Beside(tuple(self._cut(*grid) for grid in grids)))

    def _cut(self, title: str, matrix: Any, mark: tuple[int, int] | None = None) -> Grid:
        rows = [[float(value) for value in row] for row in matrix]
        height, width = len(rows), max(map(len, rows), default=0)
        # of a vector twice as many, so that ten classes fit
        tall, wide = min(self.limit, height), min(self.limit * (2 if height == 1 else 1), width)
        # the part that holds the mark
        top = max(0, min(mark[0] - tall // 2, height - tall)) if mark else 0
        left = max(0, min(mark[1] - wide // 2, width - wide)) if mark else 0
        more = ""
        if (tall, wide) != (height, width):
            more = f"entries {left} to {left + wide - 1} of {width}"
            if height > 1:
                more = f"rows {top} to {top + tall - 1} of {height}, columns {left} to {left + wide - 1} of {width}"
        kept = [row[left : left + wide] for row in rows[top : top + tall]]
        return Grid(title, kept, (mark[0] - top, mark[1] - left) if mark else None, more)

    def corner(self, name: str, a: Any, *, sample: bool = True) -> None:
        """The first rows and columns of an array: of the sample's first channel, or of a parameter's first filter."""
        if a.ndim == 0:
            return
        index: list[int] = [self.n] if sample and a.ndim > 1 else []
        part = a[self.n] if index else a
        while part.ndim > 2:
            part = part[0]
            index.append(0)
        at = f"[{', '.join(map(str, index))}]" if index else ""
        self.grids((f"{name}{at}", part if part.ndim == 2 else part[None]))

    def maps(self, title: str, a: Any) -> None:
        """Pictures of the sample's channels, if it is an image that is worth looking at."""
        if a is not None and a.ndim == 4 and min(a.shape[2:]) > 3 and max(a.shape[2:]) <= 64:
            count = a.shape[1]
            some = f", channels 0 to {self.limit - 1} of {count}" if count > self.limit else ""
            self.blocks.append(Maps(f"{title}[{self.n}]{some}", a[self.n][: self.limit].tolist()))

    def facts(self, arrays: dict[str, Any]) -> None:
        """The table of shapes; tuples of arrays get a row each."""
        rows = []
        for name, value in arrays.items():
            several = isinstance(value, tuple)
            for i, a in enumerate(value if several else (value,)):
                if a is None:
                    continue
                spread = (float(a.min()), float(a.mean()), float(a.max())) if a.size else (math.nan,) * 3
                cells = tuple(show(v, min(self.digits, 8)) for v in spread)  # an overview
                shape = f"({', '.join(map(str, a.shape))}{',' * (a.ndim == 1)})"
                rows.append((f"{name}_{i}" if several else name, shape, *cells))
        self.blocks.append(Facts(rows))

    # Entries: a number that can be recomputed by hand.

    def number(self, array: str, index: Index, text: str, said: float, real: float, note: str = "") -> None:
        """``array[index] = text = real``; `said` is what the text gives."""
        self.entries.append(Entry(self.path, array, tuple(index), float(said), float(real)))
        at = f"{array}[{', '.join(map(str, index))}]" if index else array
        result = self.num(real)
        self.line(f"{at} = {text} = {result}{note}" if text != result else f"{at} = {result}{note}")

    def total(
        self,
        array: str,
        index: Index,
        terms: Sequence[tuple[float | None, float]],
        real: float,
        *,
        lead: tuple[str, float] | None = None,
        divide: float = 1.0,
    ) -> None:
        """An entry that is a sum of products (or of numbers, where the factor is None), behind a bias, or a mean."""
        kept = [(1.0 if f is None else f) * v for f, v in terms]
        kind = "number" if all(f is None for f, _ in terms) else "product"
        values = [self.arg(v) if f is None else f"{self.arg(f)}*{self.arg(v)}" for f, v in terms]
        order = list(range(len(terms)))
        note = ""
        if len(terms) > self.limit:
            order = sorted(order, key=lambda k: -abs(kept[k]))[: max(self.limit // 2, 1)]
            note = ", largest first"
        shown = " + ".join(values[k] for k in order) or "0"
        if len(order) < len(terms):
            shown += " + ..."
        words = f"sum of {len(terms)} {kind}{'s' * (len(terms) != 1)}{note}"
        if divide != 1.0:
            words, shown = f"({words}) / {self.num(divide)}", f"({shown}) / {self.num(divide)}"
        if lead is not None:
            words, shown = f"{lead[0]} + {words}", f"{self.arg(lead[1])} + {shown}"
        if len(terms) == 1 and terms[0][0] is None and divide == 1.0 and lead is None:
            shown = self.num(real)  # nothing to compute
        said = math.fsum(kept) if all(map(math.isfinite, kept)) else sum(kept)
        said = said / divide + (lead[1] if lead else 0.0)
        self.number(array, index, f"{words} = {shown}" if len(terms) > 1 or lead else shown, said, real)


def show(value: float, digits: int) -> str:
    """A number with so many significant digits; no minus before zero."""
    text = f"{float(value):.{digits}g}"
    return "0" if text == "-0" else text


def letter(name: str) -> str:
    """What formulas call a parameter."""
    return _LETTERS.get(name, name)


def named(params: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Parameters or gradients, under their letter and name."""
    titles = {name: f"{prefix}{letter(name)}" for name in params}
    return {titles[k] if letter(k) == k else f"{titles[k]} ({k})": a for k, a in params.items()}


def peak(a: Any, n: int | None = None, *, by: str = "size") -> Index:
    """Index of the entry that is largest by size, or the largest or smallest one; of sample n, if that is given."""
    part = a if n is None else a[n]
    flat = int({"size": abs(part), "largest": part, "smallest": -part}[by].argmax())
    index: list[int] = []
    for size in reversed(part.shape):
        flat, place = divmod(flat, size)
        index.insert(0, place)
    return tuple(index) if n is None else (n, *index)


def places(shape: Sequence[int]) -> Iterator[Index]:
    """All indices of an array, row by row."""
    if not shape:
        yield ()
        return
    for head in range(shape[0]):
        for rest in places(shape[1:]):
            yield (head, *rest)
