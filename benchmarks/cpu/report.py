"""The figures as text."""

from collections.abc import Iterator, Sequence
from typing import Any

NAMES = {"torch": "PyTorch", "torch-channels_last": "PyTorch, channels_last"}
TITLE = ("work", "batch", "against", "ratio", "(from - to)", "bar", "", "images/s", "of GEMM", "peak MiB", "grown MiB")
LEGEND = """\
ratio: its time / xpcnn's time, above 1 where xpcnn is faster; median of the rounds, and its extremes
a / b: xpcnn / the other; of GEMM: share of the rate of the product; peak: resident memory at most;
grown: that without what imports and data took"""


def report(result: dict[str, Any]) -> str:
    """Everything that was measured."""
    machine = result["machine"]
    load = "unknown" if machine["load"] is None else f"{machine['load']:.2f}"
    head = (
        f"{result['threads']} thread(s) on {machine['usable_cores']} core(s), {machine['processor']}, "
        f"Python {machine['python']}, load before {load}"
    )
    if result["quick"]:
        head += "; tried in one short round: no figures to keep"
    parts = {"table": table, "scaling": scaling, "start": start}
    return "\n\n".join([head, *(text(result[name]) for name, text in parts.items() if name in result)])


def table(part: dict[str, Any]) -> str:
    """All works against all others."""
    lines = [f"{part['rounds']} rounds, in each of them at least {part['steps']} steps and {part['seconds']:g} s", ""]
    lines += _columns([TITLE, *(line for row in part["rows"] for line in _lines(row))], left=(0, 2))
    lines += ["", LEGEND, "", "NumPy's product of 2048 x 2048 numbers, float32, measured in the same rounds:"]
    for row in part["rows"]:
        rate = row["gemm_gflops"]
        lines.append(f"  {row['work']}: {rate['median']:.0f} GFLOP/s ({rate['least']:.0f} - {rate['most']:.0f})")
    about = sorted({one["about"] for row in part["rows"] for one in row["contenders"].values()})
    lines += ["", f"computed by {'; '.join(about)}"]
    tolerance, found = part["tolerance"], [d for row in part["rows"] for d in row["differs"].values()]
    if found:
        lines.append(
            f"checked: the first losses agree to {tolerance['losses']:.0e}, outputs to {tolerance['outputs']:.0e}; "
            f"found at most {max(found):.0e}"
        )
    return "\n".join(lines)


def _lines(row: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    ours = row["contenders"]["xpcnn"]
    formats = {"images_per_s": ",.0f", "gemm_share": ".2f", "peak_mib": ".0f", "grown_mib": ".0f"}
    for pair in row["against"]:
        theirs = row["contenders"][pair["contender"]]
        both = [f"{ours[key]:{how}} / {theirs[key]:{how}}" for key, how in formats.items()]
        ratio = (f"{pair['ratio']:.2f}", f"({pair['least']:.2f} - {pair['most']:.2f})")
        against = NAMES.get(pair["contender"], pair["contender"])
        yield (row["work"], str(row["batch"]), against, *ratio, *_bar(pair["bar"], pair["holds"], ">="), *both)
    if not row["against"]:
        alone = [f"{ours[key]:{how}}" for key, how in formats.items()]
        yield (row["work"], str(row["batch"]), "nobody", "", "", "", "", *alone)


def scaling(part: dict[str, Any]) -> str:
    """Threads and batches."""
    title = ("work", "batch", "speed-up", "(from - to)", "bar", "", "cost at 2N", "(from - to)", "4N", "(from - to)")
    rows: list[tuple[str, ...]] = [title]
    for row in part["rows"]:
        up, cost = row["speed_up"], row["cost_per_image"]
        cells = [cell for one in (up, cost["x2"], cost["x4"]) for cell in _spread(one)]
        rows.append((row["work"], str(row["batch"]), *cells[:2], *_bar(row["bar"], row["holds"], ">="), *cells[2:]))
    note = "cost of an image in 2 and 4 times the batch: 1 where the cost grows linearly, less where it grows slower"
    head = f"xpcnn alone, from 1 thread to {part['threads']}: {part['rounds']} rounds"
    return "\n".join([head, "", *_columns(rows, left=(0,)), "", note])


def start(part: dict[str, Any]) -> str:
    """Time until the first image."""
    rows = [("start of a process, ms", "median", "(from - to)")]
    rows += [
        (name, f"{ms['median']:.0f}", f"({ms['least']:.0f} - {ms['most']:.0f})") for name, ms in part["rows"].items()
    ]
    lines = _columns(rows, left=(0,))
    if part["bar_ms"] is not None:
        lines.append(f"bar of the last one: {' '.join(_bar(part['bar_ms'], part['holds'], '<='))}")
    return "\n".join(lines)


def _spread(one: dict[str, float]) -> tuple[str, str]:
    return f"{one['median']:.2f}", f"({one['least']:.2f} - {one['most']:.2f})"


def _bar(bar: float | None, holds: bool | None, sign: str) -> tuple[str, str]:
    return ("", "") if bar is None else (f"{sign} {bar:g}", "holds" if holds else "MISSED")


def _columns(rows: Sequence[tuple[str, ...]], left: tuple[int, ...]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    how = ["<" if i in left else ">" for i in range(len(widths))]
    return ["  ".join(f"{cell:{h}{w}}" for cell, h, w in zip(row, how, widths, strict=True)).rstrip() for row in rows]
