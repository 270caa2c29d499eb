"""The page of the docs, from the results of any number of files."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from . import texts
from .floor import FORMULA
from .table import ALLOWED, figures
from .works import CONTENDERS, WORKS

UNSHOWN = ("device", "process_s", "failed_figures")
NAMES = {"xpcnn": "xpcnn", "xpcnn-compiled": "xpcnn, captured"}
PROBED = {
    "copy_gb_s": ("copy in the device's memory, bytes read and written", "{:,.0f} GB/s"),
    "float32_tflops": ("product of 8192 x 8192 float32", "{:,.1f} TFLOP/s"),
    "tf32_tflops": ("the same as TF32", "{:,.1f} TFLOP/s"),
    "bfloat16_tflops": ("the same in bfloat16", "{:,.1f} TFLOP/s"),
    "ufunc_us": ("CuPy's add, until the call returns", "{:.1f} us"),
    "raw_kernel_us": ("a RawKernel, until the call returns", "{:.1f} us"),
    "cudnn_execute_us": ("a convolution by cuDNN, until the call returns", "{:.1f} us"),
    "graph_launch_us": ("a graph of 64 kernels, until the call returns", "{:.1f} us"),
    "graph_kernel_us": ("a kernel of that graph, on the device", "{:.2f} us"),
}


def render(files: Sequence[dict[str, Any]]) -> str:
    """The whole page."""
    sections = [texts.HEAD, texts.MEASURED if files else texts.NEVER]
    if not files:
        sections += [texts.NEVER_RUN]
    sections += [part for data in files for part in _machine(data)]
    sections += [texts.HOW, "## What is compared\n\n" + texts.COMPARED + "\n\n" + _goals()]
    sections += ["## The floor\n\n" + texts.FLOOR + "\n\n" + FORMULA, "## Limits\n\n" + texts.LIMITS]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _machine(data: dict[str, Any]) -> Iterator[str]:
    """What one file says."""
    versions, sessions = data.get("versions", {}), data.get("sessions", [])
    days = sorted({one["date"] for one in sessions})
    yield f"## {data['name']}" + (f", {' and '.join(days)}" if days else "")
    if data["rehearsal"]:
        yield "**A rehearsal at toy sizes: it shows that the benchmark runs. These are no figures.**"
    facts = "; ".join(f"{key} {value}" for key, value in versions.items() if key not in UNSHOWN)
    commits = sorted({one["commit"][:7] for one in sessions if one.get("commit")})
    yield f"TF32 {'on' if data['tf32'] else 'off'}. {facts}." + (f" Sources: {', '.join(commits)}." if commits else "")
    yield from _tests(data.get("tests"))
    known = ceilings(data)
    yield from _probe(data, known)
    yield from _table(data, known)
    yield from _cold(data.get("cold"))
    yield from _accuracy(data.get("accuracy"))
    unreached = sessions[-1]["unreached"] if sessions else []
    if unreached:
        yield "### Not reached\n\n" + "\n".join(f"- {line}" for line in unreached)


def ceilings(data: dict[str, Any]) -> dict[str, float]:
    """The figures of the probe that are there, by one name each."""
    parts = data.get("probe", {})
    found = {**parts.get("rates", {}), **parts.get("tf32", {}), **parts.get("host", {})}
    graph = found.pop("graph", {})
    found |= {f"graph_{key}": value for key, value in graph.items()}
    return {key: value for key, value in found.items() if key in PROBED}


def _tests(part: dict[str, Any] | None) -> Iterator[str]:
    if part:
        rows = [(f"tests/{folder}".removesuffix("/."), _cell(one["last"])) for folder, one in part.items()]
        failures = [f"- `{line}`" for one in part.values() for line in one["failures"]]
        lines = [*_lines(("`pytest -m gpu`", "says"), rows), *([""] if failures else []), *failures]
        yield "### Tests that need a GPU\n\n" + "\n".join(lines)


def _probe(data: dict[str, Any], known: dict[str, float]) -> Iterator[str]:
    failed = {}
    for answer in data.get("probe", {}).values():
        failed |= answer.get("failed_figures", {})
        failed |= {"a part": answer["failed"]} if "failed" in answer else {}
    if known or failed:
        rows = [(PROBED[key][0], PROBED[key][1].format(known[key])) for key in PROBED if key in known]
        lines = _lines(("ceiling", "measured"), rows) if rows else []
        lines += ([""] if rows else []) + [f"- {name}: failed: {_cell(why)}" for name, why in failed.items()]
        yield "### Ceilings\n\n" + "\n".join(lines).strip()


def _table(data: dict[str, Any], known: dict[str, float]) -> Iterator[str]:
    rows = {name: row for name, row in data.get("table", {}).items() if "work" in row}
    if not rows:
        return
    found = {name: figures(row, known, data["tf32"]) for name, row in rows.items()}
    judged = not data["rehearsal"]
    yield "### Goals\n\n" + "\n".join(_lines(texts.GOAL_TITLE, [_goal(rows[n], f, judged) for n, f in found.items()]))
    floors = [_floor(rows[name], one) for name, one in found.items()]
    yield "### Floors, ms\n\n" + "\n".join(_lines(texts.FLOOR_TITLE, floors))
    names = [name for name in CONTENDERS if any(name in one["contenders"] for one in found.values())]
    title = ("work", *(NAMES.get(name, name.replace("torch-", "PyTorch, ")) for name in names))
    notes: list[str] = []
    times = [(work, *(_time(work, name, one["contenders"], notes) for name in names)) for work, one in found.items()]
    lines = [*_lines(title, times), *([""] if notes else []), *notes]
    yield "### Milliseconds of a step, all modes\n\n" + texts.TIMES + "\n\n" + "\n".join(lines)

    def cells(show: Callable[[dict[str, Any]], str]) -> str:
        rows = [(work, *(show(one["contenders"].get(name, {})) for name in names)) for work, one in found.items()]
        return "\n".join(_lines(title, rows))

    starts = cells(lambda own: _number(own.get("first_step_s"), ".1f"))
    yield f"### Seconds from process start to the end of the first step\n\n{texts.STARTS}\n\n{starts}"
    yield f"### Losses and scores beside ours\n\n{_allowed()}\n\n{cells(_differs)}"
    first = [(w, *(_values(rows[w], n) for n in names)) for w in found if rows[w]["work"]["optimizer"]]
    yield "The losses of the first five steps:\n\n" + "\n".join(_lines(title, first))


def _goal(row: dict[str, Any], one: dict[str, Any], judged: bool) -> tuple[str, ...]:
    work, ratio = row["work"], one["ratio"]
    met = "-" if ratio is None or not judged else "yes" if one["met"] else "**no**"
    spread = "-" if ratio is None else f"{ratio['least']:.2f} - {ratio['most']:.2f}"
    sides = (_name(one["ours"]), _name(one["best"]))
    images = [one["contenders"][side]["images_per_s"] if side else None for side in (one["ours"], one["best"])]
    pair = " / ".join(_number(value, ",.0f") for value in images)
    ratios = (_number(ratio and ratio["median"], ".2f"), spread)
    return (_title(work), f"{work['goal']:g}", *ratios, met, *sides, pair, _number(one["gap"], ".1f"))


def _floor(row: dict[str, Any], one: dict[str, Any]) -> tuple[str, ...]:
    floor, ours = one["floor"], one["ours"]
    ms = one["contenders"][ours]["ms"] if ours else None
    cells = (floor["operations"], floor["bytes"], floor["launches"], floor["floor"], ms)
    return (_title(row["work"]), *(_number(value, ".3f") for value in cells), _number(one["gap"], ".1f"))


def _time(work: str, name: str, found: dict[str, Any], notes: list[str]) -> str:
    one = found.get(name)
    if one is None:
        return "-"
    if "ms" in one:
        wall = " (wall)" if one["clock"] == "wall" else ""
        return f"{one['ms']:.3f} ({one['rounds']}){wall}"
    for key in ("refused", "failed"):
        if key in one:
            notes.append(f"- {work}, {name}: {key}: {_cell(one[key])}")
            return key
    return "-"


def _differs(one: dict[str, Any]) -> str:
    if "differs" not in one:
        return "-"
    return f"{one['differs']:.0e}" if one["agrees"] else f"**{one['differs']:.0e}**"


def _values(row: dict[str, Any], name: str) -> str:
    return ", ".join(f"{value:.4f}" for value in row.get("values", {}).get(name, [])) or "-"


def _cold(part: dict[str, Any] | None) -> Iterator[str]:
    if part:
        names = [name for name in CONTENDERS if any(name in row for row in part.values())]
        rows = [(work, *(_started(row.get(name, {})) for name in names)) for work, row in part.items()]
        yield f"### Cold starts, s\n\n{texts.COLD}\n\n" + "\n".join(_lines(("work", *map(_name, names)), rows))


def _started(one: dict[str, Any]) -> str:
    for key in ("refused", "failed"):
        if key in one:
            return key
    return " / ".join(_number(one.get(key), ".1f") for key in ("empty", "filled"))


def _accuracy(part: dict[str, Any] | None) -> Iterator[str]:
    if part:
        rows = []
        for name, one in part.items():
            if "epochs" not in one:
                why = next((f"{key}: {one[key]}" for key in ("refused", "failed") if key in one), "-")
                rows.append((_name(name), "-", "-", _cell(why)))
                continue
            when = "not reached" if one["reached_s"] is None else f"{one['reached_s']:.1f} s"
            course = ", ".join(f"{epoch['accuracy']:.4f}" for epoch in one["epochs"])
            rows.append((_name(name), f"{one['target']:.0%}", when, course))
        yield "### Time to an accuracy\n\n" + texts.ACCURACY + "\n\n" + "\n".join(_lines(texts.ACCURACY_TITLE, rows))


def _goals() -> str:
    rows = []
    for work in WORKS.values():
        told = work.told()
        rows.append((_title(told), work.optimizer or "-", f"{work.goal:g}"))
    return "\n".join(_lines(("work", "optimizer", "goal: PyTorch's best time over ours"), rows))


def _allowed() -> str:
    return texts.SUMS.format(**{dtype: f"{value:.0e}" for dtype, value in ALLOWED.items()})


def _title(work: dict[str, Any]) -> str:
    what = "train" if work["optimizer"] else "infer"
    size = "x".join(str(n) for n in work["shape"][1:])
    return f"{what} {work['model']}, {size}, batch {work['batch']}, {work['dtype']}"


def _name(name: str | None) -> str:
    return "-" if name is None else NAMES.get(name, name.replace("torch-", "PyTorch, "))


def _number(value: float | None, how: str) -> str:
    return "-" if value is None else f"{value:{how}}"


def _cell(text: str) -> str:
    """A text that may hold anything, on one line and without what means something in a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def _lines(title: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (title, ["---"] * len(title), *rows)]
