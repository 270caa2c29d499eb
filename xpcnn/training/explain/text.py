"""An explanation as plain text, at most 100 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from .page import Beside, Block, Facts, Grid, Line, Maps, Part, show

__all__ = ["WIDTH", "as_text"]

WIDTH = 100
_INDENT = "    "


def as_text(
    title: str, head: Sequence[tuple[str, str]], chapters: Sequence[tuple[str, list[Part]]], digits: int
) -> str:
    """The whole text."""
    lines = [title, "=" * len(title)]
    for name, value in head:
        lines += _wrapped(f"{name:<10}{value}", hang=" " * 10)
    for chapter, parts in chapters:
        lines += ["", "", chapter.upper(), "-" * len(chapter)]
        for part in parts:
            lines += ["", *_wrapped(part.title, hang=_INDENT)]
            for formula in part.formulas:
                lines += _wrapped(_INDENT + formula, hang=_INDENT * 2)
            for block in part.blocks:
                lines += _block(block, digits)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _wrapped(line: str, hang: str) -> list[str]:
    if len(line) <= WIDTH:
        return [line]
    start = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(line.lstrip(), WIDTH, initial_indent=start, subsequent_indent=hang, break_on_hyphens=False)


def _block(block: Block, digits: int) -> Iterator[str]:
    if isinstance(block, Line):
        yield from _wrapped(_INDENT + block.text, hang=_INDENT * 2)
    elif isinstance(block, Facts):
        yield from ("", *(_INDENT + line for line in _table(block)), "")
    elif isinstance(block, Beside):
        yield from (_INDENT + line for line in _beside([_grid(grid, digits) for grid in block.grids]))
    elif isinstance(block, Maps):
        return  # pictures are for the page


def _table(facts: Facts) -> list[str]:
    title = ("", "shape", "smallest", "mean", "largest")
    rows = [title, *facts.rows]
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    return [
        "  ".join(c.ljust(w) if k < 2 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]


def _grid(grid: Grid, digits: int) -> list[str]:
    cells = [[show(value, digits) for value in row] for row in grid.rows]
    if grid.mark is not None:
        row, column = grid.mark
        cells[row][column] = f"[{cells[row][column]}]"
    width = max((len(cell) for row in cells for cell in row), default=0)
    # fewer columns where numbers are long
    fit = max(1, (WIDTH - len(_INDENT)) // (width + 2))
    shown = [" ".join(cell.rjust(width) for cell in row[:fit]) + (" ..." if len(row) > fit else "") for row in cells]
    return [grid.title, *(textwrap.wrap(grid.more, 60) if grid.more else []), *(f" {line}" for line in shown)]


def _beside(columns: list[list[str]]) -> list[str]:
    """Side by side where they fit, else one below the other."""
    widths = [max(map(len, column)) for column in columns]
    if sum(widths) + 4 * (len(columns) - 1) + len(_INDENT) > WIDTH:
        return [line for column in columns for line in column]
    height = max(map(len, columns))
    padded = [
        [line.ljust(w) for line in column] + [" " * w] * (height - len(column))
        for column, w in zip(columns, widths, strict=True)
    ]
    return [_INDENT.join(parts).rstrip() for parts in zip(*padded, strict=True)]
