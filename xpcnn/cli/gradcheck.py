"""
Check the gradients of every layer, loss and option on this machine.

Each backward pass is compared with central differences of its forward pass, array by array, along random directions, in
float64; what is linear with its adjoint, too. The exit code is 0 if all agree. What the numbers mean is in
docs/gradients.md.
"""

import argparse
import importlib
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import xpcnn
from xpcnn.backend import Device, device_like, generic_only, resolve
from xpcnn.errors import ConfigError, DeviceUnavailable
from xpcnn.settings import like
from xpcnn.testing.certificate import ADJOINT_TOLERANCE, Row, certificate, names
from xpcnn.testing.gradients import TOLERANCE

from . import options
from .console import Console

__all__ = ["add_options", "run"]

# what each namespace is imported as, and how to get it
LIBRARIES = {
    "numpy": ("numpy", "pip install numpy"),
    "strict": ("array_api_strict", "pip install array-api-strict"),
    "torch": ("torch", "pip install torch"),
    "cupy": ("cupy", ""),
}
HEADINGS = ("", "settings", "arrays", "worst error", "in", "adjoint", "")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``xpcnn gradcheck``."""
    parser.add_argument(
        "--namespace", type=options.one_of(LIBRARIES), default="numpy", metavar=f"{{{','.join(LIBRARIES)}}}",
        help="array library: numpy (default), strict (array-api-strict), torch, or cupy, which needs a GPU",
    )  # fmt: skip
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="these layers and losses, such as Conv2d (default: all)"
    )
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check, telling each result as it comes; returns the exit code."""
    wanted = names() if args.only is None else [_known(name) for name in args.only]
    console = Console(as_json=args.json)
    with _device(args.namespace) as device:
        facts = _facts(args.namespace, device)
        console.say(f"{_header(facts)}\n")
        width = max(map(len, wanted))
        console.say(_line(HEADINGS, width))
        started, rows = time.perf_counter(), []
        for row in certificate(device, wanted):
            console.say(_line(_cells(row), width))
            rows.append(row)
    facts |= {"seconds": round(time.perf_counter() - started, 3)}
    text = "\n".join(["", *_advice(rows, args.namespace), _verdict(rows)])
    console.answer(text, facts | _findings(rows))
    return int(not all(row.ok for row in rows))


def _known(name: str) -> str:
    """The name of a layer or loss, whatever the case of its letters."""
    known = {one.lower(): one for one in names()}
    if name.lower() in known:
        return known[name.lower()]
    hint = like(name, names()) or f": there are {', '.join(names())}"
    message = f"gradcheck: expected the name of a layer or loss for --only, got {name!r}{hint}"
    raise ConfigError(message)


@contextmanager
def _device(namespace: str) -> Iterator[Device]:
    """The device to compute on; array-api-strict is as strict as it can be meanwhile."""
    if namespace in ("numpy", "cupy"):
        device = resolve("cpu" if namespace == "numpy" else "cuda")
        with device.active():
            yield device
        return
    name, mend = LIBRARIES[namespace]
    try:
        library = importlib.import_module(name)
    except (ImportError, OSError) as error:
        message = f"namespace {namespace!r}: {name} does not import ({error}): {mend}"
        raise DeviceUnavailable(message) from error
    if namespace == "torch":
        yield device_like(library.zeros(1))
        return
    with library.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
        yield device_like(library.zeros(1, device=library.Device("device1")))


def _facts(namespace: str, device: Device) -> dict[str, Any]:
    """What was checked, and where."""
    used = dict.fromkeys(["numpy", LIBRARIES[namespace][0]])
    return {
        "xpcnn": xpcnn.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: importlib.import_module(name).__version__ for name in used},
        "namespace": namespace,
        "device": device.name,
        "kernels": "generic" if generic_only() else "accelerated",
        "dtype": "float64",
        "bar": TOLERANCE,
        "adjoint_bar": ADJOINT_TOLERANCE,
    }


def _header(facts: dict[str, Any]) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in facts["libraries"].items())
    return (
        f"xpcnn {facts['xpcnn']}, {libraries}, Python {facts['python']}, {facts['platform']}\n"
        f"namespace {facts['namespace']}, device {facts['device']}, {facts['kernels']} kernels, {facts['dtype']}; "
        f"bar {facts['bar']:.0e}, for adjoints {facts['adjoint_bar']:.0e}"
    )


def _cells(row: Row) -> tuple[str, ...]:
    adjoint = "" if row.adjoint is None else f"{row.adjoint:.1e}"
    verdict = "OK" if row.ok else "FAILED"
    return row.name, str(row.settings), str(row.arrays), f"{row.error:.1e}", row.array, adjoint, verdict


def _line(cells: tuple[str, ...], width: int) -> str:
    """A line of the table: it is written before the next one is known, so the widths are fixed."""
    name, settings, arrays, error, array, adjoint, verdict = cells
    line = f"{name:{width}}  {settings:>8}  {arrays:>6}  {error:>11}  {array:15}  {adjoint:>7}  {verdict}"
    return line.rstrip()


def _advice(rows: list[Row], namespace: str) -> list[str]:
    """Each failure in full, and what to do."""
    lines = []
    for row in rows:
        lines += [f"FAILED {failure.setting}\n  {failure.text}" for failure in row.failures]
    if not lines:
        return []
    failed = " ".join(row.name for row in rows if not row.ok)
    command = f"xpcnn gradcheck --only {failed}"
    elsewhere = "" if namespace == "numpy" else f" --namespace {namespace}"
    lines += ["", "Do not trust networks with these layers or losses here. Find out whose fault it is:"]
    if namespace != "numpy":
        lines.append(f"  {command}\n    passes: it is {namespace} or its device, not the formula")
    lines.append(
        f"  XPCNN_KERNELS=generic {command}{elsewhere}\n"
        "    passes: an accelerated kernel is wrong here; set that variable to go on without them"
    )
    lines.append("  otherwise it is the layer: report this text with that of `xpcnn doctor`\n")
    return lines


def _verdict(rows: list[Row]) -> str:
    count = f"{len(rows)} layers and losses" if len(rows) > 1 else rows[0].name
    failed = [row.name for row in rows if not row.ok]
    worst = max(rows, key=lambda row: row.error)
    where = f"{worst.name}, {worst.array}" if worst.array else worst.name
    text = f"{count}, {sum(row.arrays for row in rows)} arrays: worst error {worst.error:.1e} ({where}); "
    text += f"bar {TOLERANCE:.0e}"
    return f"{text}: FAILED: {', '.join(failed)}" if failed else text


def _findings(rows: list[Row]) -> dict[str, Any]:
    """The rows as plain data."""
    worst = max(rows, key=lambda row: row.error)
    return {
        "ok": all(row.ok for row in rows),
        "arrays": sum(row.arrays for row in rows),
        "worst": {"name": worst.name, "array": worst.array, "error": worst.error},
        "results": [
            {
                "name": row.name,
                "ok": row.ok,
                "settings": row.settings,
                "arrays": row.arrays,
                "error": row.error,
                "array": row.array,
                "adjoint": row.adjoint,
                "failures": [vars(failure) for failure in row.failures],
            }
            for row in rows
        ],
    }
