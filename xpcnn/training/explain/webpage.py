"""An explanation as one HTML page: no scripts, nothing to load, everything escaped."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from .page import Beside, Block, Facts, Grid, Line, Maps, Part, show

__all__ = ["as_html"]

_STYLE = """
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; color: #1d2430; background: #fff;
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .6rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; border-bottom: 2px solid #1d2430; }
h3 { font-size: 1rem; margin: 0 0 .4rem; font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
nav { columns: 3 16rem; font: .85rem/1.7 ui-monospace, monospace; }
nav a { display: block; color: #24578f; text-decoration: none; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
section { margin: 0 0 1rem; padding: .8rem 1rem; border: 1px solid #dbe0e8; border-radius: .5rem; }
pre { margin: .3rem 0; padding: .5rem .7rem; background: #f4f6f9; border-radius: .3rem; white-space: pre-wrap;
  font: .85rem/1.5 ui-monospace, monospace; }
p { margin: .4rem 0; font: .9rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; font: .8rem/1.5 ui-monospace, monospace; }
.facts { margin: .5rem 0; }
.facts td, .facts th { padding: .1rem .9rem .1rem 0; text-align: right; font-weight: normal; white-space: nowrap; }
.facts th { color: #66707f; } .facts td:nth-child(-n+2), .facts th:nth-child(-n+2) { text-align: left; }
.beside { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin: .5rem 0; }
figure { margin: 0; overflow-x: auto; } figcaption { font: .8rem/1.5 ui-monospace, monospace; color: #66707f; }
.grid td { padding: .15rem .5rem; text-align: right; border: 1px solid #fff; }
.grid td.mark { outline: 2px solid #1d2430; outline-offset: -2px; font-weight: bold; }
.maps { display: flex; flex-wrap: wrap; gap: .4rem; }
.maps svg { width: 7rem; height: auto; border: 1px solid #dbe0e8; }
.head td { padding: .1rem 1rem .1rem 0; vertical-align: top; overflow-wrap: anywhere; }
"""

_LEGEND = (
    "Red is positive, blue negative, each matrix and picture by its own scale; pictures without negatives are grey."
)
_LEVELS = 12
_WHITE, _INK, _RED, _BLUE = (255, 255, 255), (29, 36, 48), (214, 96, 60), (58, 118, 190)


def as_html(
    title: str, head: Sequence[tuple[str, str]], chapters: Sequence[tuple[str, list[Part]]], digits: int
) -> str:
    """The whole page."""
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n",
        _body(title, head, chapters, digits),
        "</body>\n</html>\n",
    ]
    return "".join(parts)


def _body(title: str, head: Sequence[tuple[str, str]], chapters: Sequence[tuple[str, list[Part]]], digits: int) -> str:
    """What stands in the page: heading, contents, parts."""
    out = [f'<h1>{escape(title)}</h1>\n<table class="head">\n']
    out += [f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>\n" for name, value in head]
    out.append("</table>\n<nav>\n")
    numbered = [
        (f"part-{i}-{k}", chapter, part) for i, (chapter, ps) in enumerate(chapters) for k, part in enumerate(ps)
    ]
    for anchor, chapter, part in numbered:
        out.append(f'<a href="#{anchor}">{escape(chapter)}: {escape(part.title)}</a>\n')
    out.append(f"</nav>\n<p>{_LEGEND}</p>\n")
    before = ""
    for anchor, chapter, part in numbered:
        if chapter != before:
            out.append(f"<h2>{escape(chapter)}</h2>\n")
            before = chapter
        out.append(f'<section id="{anchor}">\n<h3>{escape(part.title)}</h3>\n')
        if part.formulas:
            lines = "\n".join(part.formulas)
            out.append(f"<pre>{escape(lines)}</pre>\n")
        for block in part.blocks:
            out += _block(block, digits)
        out.append("</section>\n")
    return "".join(out)


def _block(block: Block, digits: int) -> Iterator[str]:
    if isinstance(block, Line):
        yield f"<p>{escape(block.text)}</p>\n"
    elif isinstance(block, Facts):
        yield '<table class="facts">\n<tr><th></th><th>shape</th><th>smallest</th><th>mean</th><th>largest</th></tr>\n'
        for row in block.rows:
            yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n"
        yield "</table>\n"
    elif isinstance(block, Beside):
        yield '<div class="beside">\n'
        for grid in block.grids:
            yield from _grid(grid, digits)
        yield "</div>\n"
    elif isinstance(block, Maps):
        yield f'<figure><figcaption>{escape(block.title)}</figcaption>\n<div class="maps">\n'
        for image in block.images:
            yield _svg(image)
        yield "</div></figure>\n"


def _grid(grid: Grid, digits: int) -> Iterator[str]:
    more = f"<br>{escape(grid.more)}" if grid.more else ""
    yield f'<figure><figcaption>{escape(grid.title)}{more}</figcaption>\n<table class="grid">\n'
    scale = _scale(grid.rows)
    for i, row in enumerate(grid.rows):
        yield "<tr>"
        for k, value in enumerate(row):
            mark = ' class="mark"' if (i, k) == grid.mark else ""
            # at most half of the ink, so that the number stays legible
            colour = _colour(_level(value, scale), _LEVELS * 2, signed=True)
            yield f'<td{mark} style="background:{colour}">{escape(show(value, digits))}</td>'
        yield "</tr>\n"
    yield "</table></figure>\n"


def _scale(rows: Sequence[Sequence[float]]) -> float:
    return max((abs(v) for row in rows for v in row if math.isfinite(v)), default=0.0)


def _level(value: float, scale: float) -> int:
    """From minus to plus `_LEVELS`; what is no finite number has none."""
    return round(_LEVELS * value / scale) if scale and math.isfinite(value) else 0


def _colour(level: int, most: int, *, signed: bool) -> str:
    """White at zero, towards red for positive and blue for negative numbers; or towards black, where none is."""
    end = (_RED if level > 0 else _BLUE) if signed else _INK
    mixed = (round(a + (b - a) * abs(level) / most) for a, b in zip(_WHITE, end, strict=True))
    return "#" + "".join(f"{c:02x}" for c in mixed)


def _svg(image: list[list[float]]) -> str:
    """A picture: for each shade one path of all its pixels, in runs."""
    scale, signed = _scale(image), any(v < 0 for row in image for v in row)
    runs: dict[int, list[str]] = {}
    for h, row in enumerate(image):
        levels = [_level(v, scale) for v in row]
        start = 0
        for w in range(1, len(levels) + 1):
            if w == len(levels) or levels[w] != levels[start]:
                if levels[start]:
                    runs.setdefault(levels[start], []).append(f"M{start} {h}h{w - start}v1h{start - w}z")
                start = w
    paths = "".join(
        f'<path fill="{_colour(level, _LEVELS, signed=signed)}" d="{"".join(found)}"/>'
        for level, found in sorted(runs.items())
    )
    size = f"{len(image[0])} {len(image)}"
    return f'<svg viewBox="0 0 {size}" shape-rendering="crispEdges" role="img">{paths}</svg>\n'
