"""
Say what works on this machine and what does not, and why.

Versions, processor and BLAS, GPU, folders, environment variables, and a self test of a second. The exit code is 0 if
training on the CPU works.
"""

import argparse
from typing import Any

from xpcnn.backend import resolve
from xpcnn.data import datasets

from . import machine, options, selftest
from .console import Console

__all__ = ["add_options", "run"]

Facts = dict[str, Any]

_KERNELS = {"accelerated": "accelerated", "generic": "generic ($XPCNN_KERNELS); slower"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``xpcnn doctor``."""
    parser.set_defaults(variables_may_be_wrong=True)
    options.add_json(parser, "print all findings as one JSON object")
    parser.add_argument(
        "--quiet", "-q", action="store_true", help="print problems only; leaves the GPU alone (for health checks)"
    )


def run(args: argparse.Namespace) -> int:
    """Examine; returns the exit code."""
    variables, wrong = machine.variables(), machine.wrong_variables()
    with machine.left_out(wrong):
        return _examine(args, variables, wrong)


def _examine(args: argparse.Namespace, variables: dict[str, str | None], wrong: dict[str, str]) -> int:
    packages, tests = machine.packages(), selftest.check(resolve("cpu"))
    problems = [f"{name}: {fact['text']}" for name, fact in packages.items() if not fact["ok"]]
    problems += [f"self test, {name}: {fact['text']}" for name, fact in tests.items() if not fact["ok"]]
    problems += wrong.values()  # each begins with the variable's name
    console = Console(as_json=args.json)
    if args.quiet and not args.json:
        if problems:
            console.answer("\n".join(problems), None)
        return int(bool(problems))

    facts: Facts = {
        "ok": not problems,
        "problems": problems,
        **machine.program(),
        "packages": packages,
        "processor": machine.processor(),
        "gpu": {"ok": None, "text": "not examined"},
        "folders": machine.folders(),
        "datasets": {info.name: info.found for info in datasets.available()},
        "environment": variables,
        "wrong_variables": list(wrong),
        "self_test": {"cpu": tests},
    }
    if not args.quiet:
        facts["gpu"], device = machine.gpu()
        if device is not None:
            facts["self_test"][device.name] = selftest.check(device)
    console.answer("\n".join(_report(facts)), facts)
    return int(bool(problems))


def _report(facts: Facts) -> list[str]:
    """The findings as lines."""
    cpu = facts["processor"]
    quota = "" if cpu["quota"] is None else f", with the time of {cpu['quota']:.3g}"
    lines = [
        f"xpcnn {facts['xpcnn']} in {facts['folder']}",
        f"Python {facts['python']}, {facts['executable']}",
        facts["platform"],
        *_section("packages", {name: fact["version"] or fact["text"] for name, fact in facts["packages"].items()}),
        *_section(
            "processor",
            {
                "cores": f"{cpu['usable']} of {cpu['cores']} usable{quota}",
                "threads": f"{cpu['threads']} (from {cpu['threads_from']})",
                "level 2 cache": f"{cpu['level2'] / 1024:,.0f} KiB",
                "kernels": _KERNELS[cpu["kernels"]],
                **_blas(cpu["blas"]),
            },
        ),
        *_section("GPU", _gpu_lines(facts["gpu"])),
        *_section("folders", {name: f"{fact['path']}: {fact['text']}" for name, fact in facts["folders"].items()}),
        *_section("data sets", {name: place or "not here yet" for name, place in facts["datasets"].items()}),
        *_section(
            "environment",
            {
                name: f"{'not set' if value is None else value}{': WRONG' if name in facts['wrong_variables'] else ''}"
                f"  ({machine.VARIABLES[name]})"
                for name, value in facts["environment"].items()
            },
        ),
    ]
    for device, tests in facts["self_test"].items():
        lines += _section(
            f"self test on {device}",
            {
                name: f"{'ok' if fact['ok'] else 'FAILED'}: {fact['text']} ({fact['seconds']:.1f}s)"
                for name, fact in tests.items()
            },
        )
    verdict = "the CPU works" if facts["ok"] else "the CPU does NOT work:"
    if facts["ok"]:
        verdict += ", and the GPU too" if _gpu_works(facts) else "; no GPU that works"
    elif len(facts["problems"]) == len(facts["wrong_variables"]):
        verdict = "the CPU works, but not with these variables:"
    return [*lines, "", verdict, *(f"  {problem}" for problem in facts["problems"])]


def _gpu_lines(gpu: Facts) -> dict[str, str]:
    names = {"text": "cuda", "driver": "driver", "runtime": "CuPy's runtime", "cudnn": "cuDNN"}
    return {title: gpu[name] for name, title in names.items() if name in gpu}


def _gpu_works(facts: Facts) -> bool:
    tests = [fact["ok"] for device, tests in facts["self_test"].items() if device != "cpu" for fact in tests.values()]
    return bool(tests) and all(tests)


def _blas(pools: list[Facts]) -> dict[str, str]:
    if not pools:
        return {"BLAS": "none that threadpoolctl knows"}
    texts = [
        f"{pool['library']} {pool['version'] or '(version unknown)'}, {pool['threads']} thread(s), {pool['file']}"
        for pool in pools
    ]
    return {"BLAS" if i == 0 else f"BLAS {i + 1}": text for i, text in enumerate(texts)}


def _section(title: str, entries: dict[str, str]) -> list[str]:
    width = max(map(len, entries))
    return ["", title, *(f"  {name.ljust(width)}  {text}" for name, text in entries.items())]
