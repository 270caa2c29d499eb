"""The figures and tables of `benchmarks.cpu`, from made-up times; its parser; and that it runs."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cpu import compare, processes, report, scaling, start, table
from benchmarks.cpu.__main__ import main, parse
from benchmarks.cpu.memory import peak, resident
from benchmarks.cpu.processes import WorkerFailed, ask, in_turns
from benchmarks.cpu.worker import timed
from benchmarks.cpu.works import WORKS

TRAIN, INFER = WORKS["train-deepnotes"], WORKS["infer-resnet18-64"]
MACS = 1_000_000_000


def answers(*rounds_ms, peak_mib=100.0, about="it"):
    return [{"median_ms": ms, "peak_mib": peak_mib, "grown_mib": peak_mib - 60.0, "about": about} for ms in rounds_ms]


def figures(work=TRAIN):
    """Three rounds; a product of 2048 x 2048 numbers in 171.79869184 ms is 100 GFLOP/s."""
    gemm = answers(*[2 * 2048**3 / 1e8] * 3)
    times = {"xpcnn": answers(10.0, 20.0, 10.0), "torch": answers(40.0, 10.0, 30.0), "gemm": gemm}
    times["torch-channels_last"] = answers(20.0, 24.0, 5.0, peak_mib=300.0)
    return compare.row(work, times, MACS)


def made_up(work=TRAIN):
    row = {"work": work.name, "batch": work.batch, "differs": {"torch": 2e-7}} | figures(work)
    part = {"rounds": 3, "steps": 5, "seconds": 2.0, "rows": [row], "tolerance": {"losses": 1e-3, "outputs": 1e-4}}
    machine = {"load": 0.25, "usable_cores": 2, "processor": "a processor", "python": "3.10.0"}
    return {"machine": machine, "threads": 2, "quick": False, "table": part}


def test_ratio_is_the_median_of_the_rounds_ratios_to_the_better_layout():
    (pair,) = figures()["against"]
    # channels_last has the smaller median, 20 to 30; its ratios are 2, 1.2 and 0.5
    assert pair == {
        **{"rival": "torch", "contender": "torch-channels_last", "bar": 1.5, "holds": False},
        **{"ratio": 1.2, "least": 0.5, "most": 2.0},
    }


def test_a_bar_is_held_at_exactly_its_ratio_and_no_bar_is_neither():
    for bar, holds in ((1.2, True), (1.2000001, False), (None, None)):
        (pair,) = figures(replace(TRAIN, bars={"torch": bar}))["against"]
        assert pair["holds"] is holds


def test_rates_come_from_the_median_time():
    ours = figures()["contenders"]["xpcnn"]
    assert ours["median_ms"] == 10.0
    assert ours["images_per_s"] == pytest.approx(5000.0)
    # 6 GFLOP an image in training: the gradients of weights and inputs cost one forward pass each
    assert ours["gflops"] == pytest.approx(30_000.0)
    assert ours["gemm_share"] == pytest.approx(300.0)
    assert figures(INFER)["contenders"]["xpcnn"]["gemm_share"] == pytest.approx(6400 * 2 / 100)


def test_losses_are_compared_one_by_one_and_outputs_as_a_whole():
    assert compare.distance([1.0, 0.011], [1.0, 0.01], training=True) == pytest.approx(0.1)
    assert compare.distance([1.0, 0.011], [1.0, 0.01], training=False) == pytest.approx(0.001)


@pytest.mark.parametrize("value", [2.01, float("nan")])
def test_other_sums_end_the_benchmark(monkeypatch, value):
    said = {"xpcnn": [2.0] * 5, "torch": [2.0, 2.0, 2.0, 2.0, value]}
    monkeypatch.setattr(processes, "ask", lambda module, job, threads: {"macs": 1})
    monkeypatch.setattr(table, "run", lambda name, *_, **options: {"values": said[name]})
    with pytest.raises(WorkerFailed, match="train-deepnotes: xpcnn and torch do not compute the same"):
        table.check(TRAIN, ["xpcnn", "torch"], threads=1)
    said["torch"] = [2.0001] * 5
    assert table.check(TRAIN, ["xpcnn", "torch"], threads=1) == {"torch": pytest.approx(5e-5, rel=1e-3)}


def test_table_shows_ratio_bar_and_both_sides():
    text = report.report(made_up())
    (line,) = (line for line in text.splitlines() if line.startswith("train-deepnotes"))
    assert line.split("  ")[0] == "train-deepnotes"
    for cell in ("50", "PyTorch, channels_last", "1.20", "(0.50 - 2.00)", ">= 1.5", "MISSED", "5,000 / 2,500"):
        assert f" {cell} " in line
    assert line.endswith("100 / 300   40 / 240")
    assert "  train-deepnotes: 100 GFLOP/s (100 - 100)" in text
    assert "a processor" in text and "found at most 2e-07" in text


def test_scaling_and_start_are_shown():
    ratio = {"median": 1.7, "least": 1.5, "most": 1.9}
    row = {"work": "w", "batch": 5, "speed_up": ratio, "bar": 1.8, "holds": False, "cost_per_image": {}}
    row["cost_per_image"] = {"x2": ratio | {"median": 1.01}, "x4": ratio | {"median": 0.99}}
    text = report.scaling({"threads": 2, "rounds": 3, "rows": [row]})
    assert "1.70  (1.50 - 1.90)  >= 1.8  MISSED        1.01  (1.50 - 1.90)  0.99  (1.50 - 1.90)" in text
    ms = {"median": 250.4, "least": 200.0, "most": 400.0}
    text = report.start({"rows": {"first image": ms}, "bar_ms": 300.0, "holds": True})
    assert "250  (200 - 400)" in text
    assert text.endswith("bar of the last one: <= 300 holds")
    text = report.start({"rows": {"first image": ms}, "bar_ms": None, "holds": None})
    assert text.endswith("250  (200 - 400)")


def test_everybody_is_first_in_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) or {"median_ms": len(order)} for name in "abc"}
    found = in_turns(4, calls, "test")
    assert "".join(order) == "abc" + "bca" + "cab" + "abc"
    assert [one["median_ms"] for one in found["a"]] == [1, 6, 8, 10]


def test_timing_takes_so_many_steps_and_so_long_but_never_more_than_the_most():
    calls = []
    assert len(timed(lambda: calls.append(0), steps=7, seconds=0.0)) == 7
    assert len(calls) == 10  # three to warm up
    assert len(timed(lambda: None, steps=2, seconds=60.0, most=9)) == 9
    assert sum(timed(lambda: None, steps=1, seconds=0.01)) >= 0.01


def test_memory_is_this_process_own():
    assert 0 < resident() <= peak() + 1


def test_parser_knows_the_issues_works_and_refuses_others():
    args = parse([])
    assert len(args.work) == 9 and args.rounds == 7 and args.parts == ["table", "start"]
    assert parse(["--scaling", "--threads", "2"]).parts == ["scaling"]
    assert parse(["--work", "train-resnet18", "--json"]).json == "-"
    assert parse(["--quick", "--rounds", "9"]).rounds == 1
    for wrong in (["--work", "x"], ["--parts"], ["--scaling", "--threads", "1"]):
        with pytest.raises(SystemExit):
            parse(wrong)


def test_help_names_each_work_and_how_long_all_take(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines[lines.index("works:") + 1 :]] == list(WORKS)
    assert any("15 minutes" in line for line in lines)


def test_the_start_is_measured_where_nothing_was_chosen_or_where_it_was_asked_for():
    assert parse(["--work", "train-resnet18"]).parts == ["table"]
    assert parse(["--parts", "start", "table", "--work", "train-resnet18"]).parts == ["start", "table"]
    assert parse(["--quick"]).parts == ["table", "start"]


def test_against_without_a_name_is_xpcnn_alone_wherever_it_stands():
    for arguments in (["--against", "--work", "train-resnet18"], ["--work", "train-resnet18", "--against"]):
        args = parse(arguments)
        assert args.against == [] and args.work == ["train-resnet18"]


def test_scaling_of_single_images_alone_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse(["--parts", "scaling", "--threads", "2", "--work", "infer-torch_mnist-1", "infer-resnet18-1"])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("expected a --work of more than one image, got infer-torch_mnist-1 infer-resnet18-1")
    args = parse(["--parts", "scaling", "--threads", "2", "--work", "infer-torch_mnist-1", "train-resnet18"])
    assert args.parts == ["scaling"]


@pytest.mark.parametrize("quick", [True, False])
def test_a_try_holds_nothing_against_its_bar(monkeypatch, capsys, quick):
    """What every process says is made up: a start of 400 ms, steps that take longer with more threads."""

    def run(name, job, threads, **options):
        return answers({"xpcnn": 20.0 * threads}.get(name, 10.0))[0]

    monkeypatch.setattr(processes, "ask", lambda module, job, threads: {"macs": MACS})
    for module in (table, scaling):
        monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(table, "present", lambda rivals: {"torch"})
    monkeypatch.setattr(table, "check", lambda *_: {})
    monkeypatch.setattr(start, "measure", lambda *_: {"median_ms": 400.0})
    arguments = ["--work", "train-deepnotes", "--threads=2", "--parts", "table", "scaling", "start"]
    assert main([*arguments, *["--quick"] * quick]) == 0
    out, err = capsys.readouterr()
    assert out.count("MISSED") == (0 if quick else 3)
    assert ("no figures to keep" in out) is quick
    assert ("about 15 minutes" in err.splitlines()[0]) is not quick
    for figure in ("0.25", "0.50", "400"):  # they are shown all the same
        assert figure in out


def test_a_start_is_that_of_modules_that_were_compiled_before(monkeypatch):
    """Whatever the environment says; and nothing is left behind."""
    seen = []

    def run(command, *, env, **options):
        folder = Path(env["PYTHONPYCACHEPREFIX"])
        seen.append((folder, {file.name for file in folder.rglob("*.pyc")}))
        return real(command, env=env, **options)

    real = subprocess.run
    monkeypatch.setattr(start.subprocess, "run", run)
    monkeypatch.setattr(start, "PROGRAMS", dict.fromkeys(("python alone", "torch_mnist's first image"), "import wave"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", "elsewhere")
    start.start(threads=1, rounds=1, bars=False)
    (first, empty), *others = seen
    assert empty == set() and len(others) == 2
    for folder, files in others:
        assert folder == first
        assert any(name.startswith("wave.") for name in files)
    assert not first.exists()


def test_a_failed_process_is_named_behind_what_it_wrote(tmp_path):
    job = {"folder": str(tmp_path), "model": "no_such_net", "shape": [1, 28, 28], "batch": 1, "onnx": False}
    with pytest.raises(WorkerFailed) as failed:
        ask("prepare", job, threads=1)
    first, last = str(failed.value).splitlines()[0], str(failed.value).splitlines()[-1]
    assert first.startswith("Traceback")
    assert last == "preparing failed on no_such_net (exit status 1); what it wrote is above"


def test_a_failure_ends_with_status_1(monkeypatch, capsys):
    def fail(*args, **options):
        raise WorkerFailed("so it is")

    monkeypatch.setattr(table, "table", fail)
    assert main(["--quick"]) == 1
    assert capsys.readouterr().err.endswith("so it is\n")


def quick(tmp_path, *arguments):
    file = tmp_path / "figures.json"
    assert main(["--quick", "--threads=1", "--parts=table", f"--json={file}", *arguments]) == 0
    (row,) = json.loads(file.read_text())["table"]["rows"]
    return row


def test_runs_without_any_other_library(tmp_path, capsys):
    row = quick(tmp_path, "--work", "infer-torch_mnist-1", "--against")
    assert row["against"] == []
    # 26 x 26 x 9 x 32 and 24 x 24 x 288 x 64 products of the convolutions, 9216 x 128 and 128 x 10 of the others
    assert row["flops_per_image"] == 2 * (194_688 + 10_616_832 + 1_179_648 + 1_280)
    assert row["contenders"]["xpcnn"]["median_ms"] > 0
    assert "nobody" in capsys.readouterr().out


def test_runs_beside_torch(tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(table, "LAYOUTS", {"torch": ["torch-channels_last"]})  # one suffices, and takes less time
    row = quick(tmp_path, "--work", "train-deepnotes", "--against", "torch")
    assert set(row["contenders"]) == {"xpcnn", "torch-channels_last"}
    assert 0 < row["differs"]["torch-channels_last"] < 1e-4
    assert row["against"][0]["ratio"] > 0
    assert "PyTorch" in capsys.readouterr().out


def test_losses_agree_where_there_is_dropout():
    pytest.importorskip("torch")
    found = table.check(WORKS["train-keras_mnist"], ["xpcnn", "torch"], threads=1)
    assert 0 < found["torch"] < 1e-4
