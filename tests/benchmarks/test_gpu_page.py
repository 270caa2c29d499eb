"""The page that `benchmarks.gpu` writes: from made-up results, and the one that is committed."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as program
from benchmarks.gpu.page import render
from benchmarks.gpu.store import load
from benchmarks.gpu.works import WORKS
from tests.benchmarks.gpu_results import TRAIN, measured, results, row


def cells(page, *starts):
    """The cells of the first line of a table, behind a title, that begins so."""
    title, first = starts
    lines = page[page.index(title) :].splitlines()
    line = next(line for line in lines if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_the_committed_page_is_that_of_the_committed_results():
    said = program.PAGE.read_text(encoding="utf-8")
    assert said == render([load(path) for path in program.results()]), "run python -m benchmarks.gpu --report"


def test_without_results_the_page_says_what_has_never_run_and_claims_nothing():
    page = render([])
    assert "**Nothing here has run on a GPU" in page and "## What has never run" in page
    assert "python -m benchmarks.gpu  " in page
    assert page.count("\n| train ") == 10 and page.count("\n| infer ") == 4  # the works, with goals and no figure
    assert "| ratio |" not in page and "| met |" not in page
    assert all(f" {work.model}, " in page for work in WORKS.values())


def test_goals_are_judged_by_the_fastest_of_each_side():
    page = render([results()])
    line = cells(page, "### Goals", "train deepnotes, 28x28, batch 50, float32")
    assert line[1:5] == ["2", "2.50", "1.00 - 3.00", "yes"]
    assert line[5:] == ["xpcnn, captured", "PyTorch, graph", "100,000 / 40,000", "16.7"]
    missed = results(table={TRAIN.name: row(runs={"xpcnn": measured(2.0), "torch-eager": measured(3.0)})})
    line = cells(render([missed]), "### Goals", "train deepnotes, 28x28, batch 50, float32")
    assert line[1:7] == ["2", "1.50", "1.50 - 1.50", "**no**", "xpcnn", "PyTorch, eager"]
    assert "never run" not in page and "Nothing here has run" not in page


def test_what_is_not_known_is_no_number():
    line = cells(render([results()]), "### Goals", "train resnet18, 32x32, batch 512, bfloat16")
    assert line[1:] == ["1", "-", "-", "-", "-", "PyTorch, eager", "- / 51,200", "-"]


def test_floors_stand_beside_our_time():
    line = cells(render([results()]), "### Floors", "train deepnotes, 28x28, batch 50, float32")
    assert line[1:] == ["0.006", "0.001", "0.030", "0.030", "0.500", "16.7"]


def test_all_modes_are_shown_and_who_failed_says_why():
    page = render([results()])
    line = cells(page, "### Milliseconds", TRAIN.name)
    assert line[1:] == ["2.200 (3)", "0.500 (3) (wall)", "3.000 (3)", "failed", "1.250 (3)"]
    assert f"- {TRAIN.name}, torch-compile: failed: exit status 1: a \\| b\n" in page
    assert "xpcnn: refused: expected float32, got 'bfloat16'" in page
    assert cells(page, "The losses of the first", TRAIN.name)[1] == "2.5000, 2.0000, 1.5000, 1.2500, 1.0000"


def test_other_losses_are_in_bold_type():
    values = {"xpcnn": [2.0], "torch-eager": [2.0 + 2e-7], "torch-graph": [3.0]}
    page = render([results(table={TRAIN.name: row(values=values)})])
    assert cells(page, "### Losses and scores", TRAIN.name)[1:] == ["0e+00", "-", "1e-07", "-", "**5e-01**"]


def test_machine_tests_ceilings_starts_and_accuracy_are_shown():
    page = render([results()])
    assert "## NVIDIA H200, 2026-11-24 and 2026-11-25\n" in page
    assert "TF32 off. torch 2.11.0. Sources: 0123456, abcdefa." in page
    assert "| tests/backend | 3 passed, 1 failed in 2.00s |\n| tests | 2 passed |\n\n- `FAILED tests/a.py::b`" in page
    assert "| a kernel of that graph, on the device | 1.50 us |" in page
    assert "- cudnn_execute_us: failed: ModuleNotFoundError" in page
    assert cells(page, "### Cold starts", TRAIN.name)[1:] == ["9.0 / 1.2", "failed"]
    assert cells(page, "### Time to", "xpcnn")[1:] == ["92%", "12.3 s", "0.9000, 0.9200"]
    assert cells(page, "### Time to", "PyTorch, eager")[1:] == ["92%", "not reached", "0.9000"]
    assert cells(page, "### Time to", "PyTorch, graph")[1:] == ["-", "-", "refused: no GPU"]
    assert "### Not reached\n\n- cold: somebody\n" in page and "gone" not in page


def test_a_rehearsal_is_called_one_and_not_judged():
    page = render([results(rehearsal=True)])
    assert "**A rehearsal at toy sizes" in page
    assert cells(page, "### Goals", "train deepnotes, 28x28, batch 50, float32")[4] == "-"
    assert "A rehearsal" not in render([results()])


@pytest.mark.parametrize("part", ["versions", "sessions", "probe", "tests", "table", "cold", "accuracy"])
def test_each_part_may_be_missing(part):
    data = results()
    del data[part]
    assert "## NVIDIA H200" in render([data])


def test_tables_are_tables(tmp_path):
    for page in (render([]), render([results()]), render([results(), results(name="another")])):
        for block in re.findall(r"(?:^\|.*\n)+", page, flags=re.M):
            widths = {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(widths) == 1, block


def test_report_writes_the_page_from_the_files_that_are_named(tmp_path):
    file, page = tmp_path / "a.json", tmp_path / "page.md"
    file.write_text(json.dumps(results()))
    assert program.main(["--report", str(file), "--page", str(page)]) == 0
    assert page.read_text() == render([results()])
    assert program.main(["--report", "--page", str(page)]) == 0
    assert page.read_text() == Path(program.PAGE).read_text()
