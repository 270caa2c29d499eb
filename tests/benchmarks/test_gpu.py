"""`benchmarks.gpu` without a GPU: its figures from made-up times, its order, its files, and that it runs on a CPU."""

import json
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import xpcnn
from benchmarks.gpu import __main__ as program
from benchmarks.gpu import accuracy, probe, processes, run, works
from benchmarks.gpu.clocks import Clock, Lap, cupy_clock, measure
from benchmarks.gpu.floor import count, floor
from benchmarks.gpu.job import Job
from benchmarks.gpu.page import ceilings
from benchmarks.gpu.prepare import prepare
from benchmarks.gpu.processes import Budget, OutOfTime, execute
from benchmarks.gpu.run import Run
from benchmarks.gpu.store import Store, WrongFile, load
from benchmarks.gpu.table import differs, figures, table
from benchmarks.gpu.worker import work as worker
from tests.benchmarks.fake_cupy import installed
from tests.benchmarks.gpu_results import BFLOAT16, COUNTS, PROBE, TRAIN, measured, row
from xpcnn.backend import resolve
from xpcnn.errors import DeviceUnavailable

HEAD = {"device": "cuda", "name": "GPU", "rehearsal": False, "tf32": False}


# The floor


def test_costs_of_deepnotes_are_those_counted_by_hand():
    found = count(xpcnn.models.deepnotes(), (1, 28, 28))
    assert found["macs"] == 28 * 28 * 25 * 16 + 14 * 14 * 400 * 32 + 1568 * 120 + 1200
    assert (found["weights"], found["input"]) == (202_738, 784)
    # two convolutions and two poolings, two linear layers; the ReLU and the flattening between them are free
    numbers = 16 * 28 * 28 + 16 * 14 * 14 + 32 * 14 * 14 + 32 * 7 * 7 + 120 + 10
    assert (found["train_numbers"], found["infer_numbers"]) == (numbers, numbers)
    assert (found["infer_kernels"], found["train_kernels"]) == (6, 2 + 4 * 3 + 2 * 2)


def test_batch_norm_is_free_in_inference_only():
    net = xpcnn.Sequential(xpcnn.Conv2d(1, 2, 1), xpcnn.BatchNorm2d(2), xpcnn.ReLU())
    found = count(net, (1, 3, 3))
    assert (found["train_numbers"], found["infer_numbers"]) == (36, 18)
    assert (found["train_kernels"], found["infer_kernels"]) == (2 + 3 + 3, 1)


def test_floor_is_the_largest_of_three_times():
    known = ceilings({"probe": PROBE})
    train = floor(TRAIN.told(), COUNTS, known, tf32=False)
    assert train["operations"] == pytest.approx(2 * 3 * 50 * 1e6 / 50e12 * 1e3)
    # images twice, what layers write five times, weights twice, and momentum's update six times, 4 bytes each
    numbers = 50 * (2 * 100 + 5 * 2_000) + 2 * 1_000 + 6 * 1_000
    assert train["bytes"] == pytest.approx(4 * numbers / 4_000e9 * 1e3)
    assert train["launches"] == pytest.approx(20 * 1.5e-3)
    assert train["floor"] == train["launches"]


def test_floor_knows_precision_inference_and_what_was_not_measured():
    known = ceilings({"probe": PROBE})
    assert floor(TRAIN.told(), COUNTS, known, tf32=True)["operations"] == pytest.approx(6 * 50e6 / 400e12 * 1e3)
    found = floor(BFLOAT16.told(), COUNTS, known, tf32=True)
    assert (found["operations"], found["floor"]) == (None, None)
    assert found["bytes"] == pytest.approx((2 * (512 * 10_200 + 2_000) + 4 * 6_000) / 4_000e9 * 1e3)
    adam = floor({**TRAIN.told(), "optimizer": "adam"}, COUNTS, known, tf32=False)["bytes"]
    momentum = floor(TRAIN.told(), COUNTS, known, tf32=False)["bytes"]
    assert adam - momentum == pytest.approx(4 * 2 * 1_000 / 4_000e9 * 1e3)
    infer = floor({**TRAIN.told(), "optimizer": None}, COUNTS, known, tf32=False)
    assert infer["operations"] == pytest.approx(2 * 50e6 / 50e12 * 1e3)
    assert infer["bytes"] == pytest.approx(4 * (50 * (100 + 2 * 1_500) + 1_000) / 4_000e9 * 1e3)
    assert infer["launches"] == pytest.approx(6 * 1.5e-3)
    few = floor({**TRAIN.told(), "optimizer": None}, {**COUNTS, "infer_kernels": 2}, known, tf32=False)
    assert few["launches"] == pytest.approx(6.0e-3)  # the launch of the graph itself


# What the rounds come to


def test_ratio_is_of_the_fastest_on_both_sides_within_rounds():
    found = figures(row(), ceilings({"probe": PROBE}), tf32=False)
    assert (found["ours"], found["best"]) == ("xpcnn-compiled", "torch-graph")
    assert found["ratio"] == {"median": 2.5, "least": 1.0, "most": 3.0}  # 1.5 / 0.5, 1 / 1, 1.25 / 0.5
    assert found["contenders"]["xpcnn-compiled"]["images_per_s"] == pytest.approx(100_000)
    assert found["contenders"]["torch-compile"] == {"failed": "exit status 1: a | b"}
    assert found["gap"] == pytest.approx(0.5 / 0.03)


def test_a_goal_is_met_at_exactly_its_ratio():
    for goal, met in ((2.5, True), (2.500001, False)):
        assert figures(row(replace(TRAIN, goal=goal)), {}, tf32=False)["met"] is met


@pytest.mark.parametrize("wrong", [2.6, float("nan")])
def test_who_has_other_losses_takes_no_part_in_the_ratio(wrong):
    losses = [2.5, 2.0, 1.5, 1.25, 1.0]
    one = row(values={"xpcnn": losses, "torch-eager": losses, "torch-graph": [wrong, *losses[1:]]})
    found = figures(one, {}, tf32=False)
    assert found["best"] == "torch-eager"
    assert found["contenders"]["torch-graph"]["agrees"] is False
    assert found["contenders"]["torch-eager"]["differs"] == 0.0
    assert figures({**one, "work": {**one["work"], "dtype": "bfloat16"}}, {}, False)["best"] == "torch-eager"


def test_what_is_left_of_a_loss_is_compared_with_the_first_one():
    assert differs([2.0, 1.01, 0.0001], [2.0, 1.0, 0.0002], training=True) == pytest.approx(0.01)
    assert differs([2.0, 0.001], [2.0, 0.0], training=True) == pytest.approx(0.005)


def test_where_one_side_has_nothing_there_is_no_ratio():
    runs = {"xpcnn": measured(1.0), "torch-eager": [{"refused": "no", "process_s": 1.0}]}
    alone = figures(row(runs=runs), {}, tf32=False)
    assert [alone[key] for key in ("ours", "best", "ratio", "met", "gap")] == ["xpcnn", None, None, None, None]
    assert alone["contenders"]["torch-eager"] == {"refused": "no"}


def test_inference_is_compared_as_a_whole():
    infer = works.WORKS["infer-torch_mnist-1-float32"]
    values = {"xpcnn": [1.0, 0.01], "torch-eager": [1.0, 0.0105]}
    found = figures(row(infer, {name: measured(1.0) for name in values}, values), {}, tf32=False)
    assert found["contenders"]["torch-eager"]["differs"] == pytest.approx(5e-4)
    assert found["contenders"]["torch-eager"]["agrees"]


# Clocks


class Fake(Clock):
    """Steps of 2 ms by events, and as much longer on the wall as said; notes how many were timed."""

    def __init__(self, wall=1.0, events=True):
        super().__init__()
        self.factor, self.has_events, self.timed = wall, events, []

    def lap(self, step, steps):
        self.timed.append(steps)
        step()
        return Lap(2.0 * steps if self.has_events else None, 2.0 * steps * self.factor)


@pytest.mark.parametrize(("wall", "events", "name", "ms"), [
    (1.05, True, "events", 2.0), (3.0, True, "wall", 6.0), (1.0, False, "wall", 2.0),
])  # fmt: skip
def test_events_count_unless_they_missed_what_was_computed(wall, events, name, ms):
    found = measure(lambda: None, Fake(wall, events), 0.0)
    assert (found["clock"], found["ms"]) == (name, pytest.approx(ms))
    assert found["steps"] >= 20


def test_so_many_steps_are_timed_as_fill_the_time():
    clock = Fake()
    found = measure(lambda: None, clock, 1.0)
    assert found["steps"] == 500 and clock.timed == [3, 2, 125, *[50] * 10]


def test_a_lap_waits_for_the_device_before_and_after():
    seen = []

    class Event:
        def record(self):
            seen.append("event")

    clock = Clock(lambda: seen.append("wait"), Event, lambda a, b: 7.0)
    lap = clock.lap(lambda: seen.append("step"), 2)
    assert seen == ["wait", "event", "step", "step", "event", "wait"]
    assert lap.events == 7.0 and lap.wall > 0


def test_cupys_clock_is_made_of_cupys_events():
    cupy = pytest.importorskip("cupy")
    clock = cupy_clock(cupy)
    assert clock._event is cupy.cuda.Event and clock._elapsed is cupy.cuda.get_elapsed_time


# Files


def test_results_are_kept_at_once_and_gone_on_with(tmp_path):
    file = tmp_path / "new" / "gpu.json"
    store = Store(file, HEAD)
    store.put("table", "work", "runs", "xpcnn", value=[1])
    assert json.loads(file.read_text())["table"] == {"work": {"runs": {"xpcnn": [1]}}}
    again = Store(file, HEAD)
    assert again.get("table", "work", "runs", "xpcnn") == [1]
    assert again.get("table", "other", "runs") is None
    again.forget("table", "work")
    assert load(file)["table"] == {}
    again.forget("nothing", "there")
    assert [path.name for path in file.parent.iterdir()] == ["gpu.json"]


def test_results_of_another_kind_are_refused(tmp_path):
    file = tmp_path / "gpu.json"
    Store(file, HEAD).put("probe", value={})
    with pytest.raises(WrongFile, match="expected results with tf32 True, got False: give another file by --json"):
        Store(file, {**HEAD, "tf32": True})
    file.write_text('{"schema": 99}')
    with pytest.raises(WrongFile, match="expected results of schema 1, got 99"):
        load(file)
    file.write_text("[")
    with pytest.raises(WrongFile, match="expected a file of results"):
        load(file)
    assert program.main(["--report", str(file), "--page", str(tmp_path / "page.md")]) == 2


# Processes


def alive(pid):
    """Whether a process runs, and is no dead one that nobody has asked about."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_a_process_that_takes_too_long_ends_with_its_children(tmp_path):
    file = tmp_path / "pid"
    done = execute(["sh", "-c", f"sleep 100 & echo $! > {file}; echo said; wait"], Budget(60), 2.0)
    assert done.status is None and done.out == "said\n" and done.seconds < 50
    for _ in range(500):  # a signal arrives when it arrives
        if not alive(int(file.read_text())):
            return
        time.sleep(0.01)
    pytest.fail("the child lives on")


def test_the_runs_own_end_is_nobodys_result(monkeypatch):
    monkeypatch.setattr(processes, "LEAST", 0.0)
    with pytest.raises(OutOfTime):
        execute(["sleep", "100"], Budget(0.3), 10.0)
    monkeypatch.undo()
    with pytest.raises(OutOfTime):  # too little to begin with
        execute(["never started"], Budget(processes.LEAST - 1), 100.0)


def test_a_failure_is_an_answer(monkeypatch):
    answer = processes.ask("prepare", {"folder": "nowhere"}, Budget(60), 60)
    assert answer["failed"] == "exit status 1: KeyError: 'model'"
    assert answer["log"][0].startswith("Traceback") and answer["process_s"] > 0
    monkeypatch.setattr(processes, "execute", lambda *_: processes.Done(None, "", "warning\n\n", 9.0))
    assert processes.ask("worker", {}, Budget(60), 7.0)["failed"] == "took more than 7 s: warning"
    monkeypatch.setattr(processes, "execute", lambda *_: processes.Done(0, "hello", "", 9.0))
    assert processes.ask("worker", {}, Budget(60), 7.0)["failed"] == "its answer is no JSON"
    monkeypatch.setattr(processes, "execute", lambda *_: processes.Done(0, 'noise\n{"ms": 1}', "warning", 9.0))
    assert processes.ask("worker", {}, Budget(60), 7.0) == {"ms": 1, "process_s": 9.0}


# The order of the table


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A run of two works whose processes are made up: `answers` says what each answers; `asked` notes them."""
    answers, asked = {}, []

    def ask(module, job, budget, limit, env):
        if module == "prepare":
            return {"counts": COUNTS, "random": job["model"] == "torch_mnist", "process_s": 1.0}
        asked.append((module, job.get("model"), job["contender"], job.get("same_sums", False)))
        answer = answers.get(job["contender"], {**measured(1.0)[0], "values": [1.0]})
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    monkeypatch.setattr(run, "ask", ask)
    both = [TRAIN, works.WORKS["infer-torch_mnist-1-float32"]]
    options = {"device": "cuda", "works": both, "contenders": ["xpcnn", "torch-eager", "torch-graph"], "rounds": 2}
    options |= {"measured": 1.0, "limit": 9.0, "tests": {}, "tests_limit": 9.0, "tf32": False, "toy": False}
    made = Run(Store(tmp_path / "gpu.json", HEAD), Budget(1e6), caches=tmp_path, **options)
    made.answers, made.asked = answers, asked
    return made


def test_rounds_are_interleaved_and_everybody_is_first_in_turns(told):
    table(told)
    assert [(model, name) for _, model, name, _ in told.asked] == [
        *[("deepnotes", name) for name in ("xpcnn", "torch-eager", "torch-graph")],
        *[("torch_mnist", name) for name in ("xpcnn", "torch-eager", "torch-graph")],
        *[("deepnotes", name) for name in ("torch-eager", "torch-graph", "xpcnn")],
        *[("torch_mnist", name) for name in ("torch-eager", "torch-graph", "xpcnn")],
    ]
    assert told.unreached == []
    kept = load(told.store.path)["table"][TRAIN.name]
    assert kept["work"]["batch"] == 50 and kept["counts"] == COUNTS
    assert kept["values"] == {name: [1.0] for name in told.contenders}
    assert [len(runs) for runs in kept["runs"].values()] == [2, 2, 2]
    told.asked.clear()
    table(told)
    assert told.asked == []  # all of it is there


def test_more_rounds_go_on_where_the_others_ended(told):
    table(told)
    told.asked.clear()
    told.rounds = 3
    table(told)
    assert [name for _, model, name, _ in told.asked if model == "deepnotes"] == ["torch-graph", "xpcnn", "torch-eager"]


def test_who_failed_or_refused_is_not_asked_again_and_the_others_are(told):
    told.answers |= {"xpcnn": {"refused": "no such precision", "process_s": 1.0}, "torch-graph": {"failed": "boom"}}
    table(told)
    names = [name for _, model, name, _ in told.asked if model == "deepnotes"]
    assert names == ["xpcnn", "torch-eager", "torch-graph", "torch-eager"]
    assert told.unreached == []
    found = figures(told.store.get("table", TRAIN.name), {}, False)["contenders"]
    assert (found["xpcnn"], found["torch-graph"]) == ({"refused": "no such precision"}, {"failed": "boom"})


def test_what_there_was_no_time_for_is_named_and_measured_by_the_next_run(told):
    told.answers["torch-eager"] = OutOfTime()
    table(told)
    # in the first round it was the second one, in the second round the first
    short = "xpcnn 1 of 2, torch-eager 0 of 2, torch-graph 0 of 2"
    assert told.unreached == [f"table: {work.name}: {short}" for work in told.works]
    del told.answers["torch-eager"]
    told.unreached.clear()
    table(told)
    assert told.unreached == []
    assert len(told.store.get("table", TRAIN.name, "runs", "torch-eager")) == 2


def test_who_took_longer_than_is_left_is_not_started(told):
    told.rounds = 1
    table(told)
    told.asked.clear()
    told.rounds, told.budget = 2, Budget(8.0)  # all took 9 seconds
    table(told)
    assert told.asked == []
    assert "xpcnn 1 of 2" in told.unreached[0]


def test_losses_of_networks_with_dropout_are_compared_without(told):
    told.works = [works.WORKS["train-torch_mnist-128-float32"]]
    told.contenders = ["xpcnn"]
    table(told)
    assert [same_sums for *_, same_sums in told.asked] == [False, True, False]


def test_cold_starts_have_folders_of_their_own_and_are_looked_at_twice(told, monkeypatch):
    seen = []
    plain = run.ask
    monkeypatch.setattr(run, "ask", lambda *args: seen.append(args[-1]["CUPY_CACHE_DIR"]) or plain(*args))
    told.answers["torch-graph"] = {"failed": "boom"}
    run.cold(told)
    assert told.store.get("cold", TRAIN.name) == {
        "xpcnn": {"empty": 2.0, "filled": 2.0},
        "torch-eager": {"empty": 2.0, "filled": 2.0},
        "torch-graph": {"failed": "boom"},
    }
    own = [folder for folder in seen if not folder.startswith(str(told.caches))]
    assert len(own) == 5 and own[0] == own[1] != own[2]
    assert list(told.store.get("cold")) == [TRAIN.name]


def test_parts_that_there_is_no_time_for_are_named(told):
    told.budget, told.tests = Budget(0.0), {"ops": ["tests/ops"]}
    run.tests(told)
    told.answers |= dict.fromkeys(told.contenders, OutOfTime())
    run.accuracy(told)
    run.cold(told)
    assert told.unreached[0] == "tests: ops"
    assert "accuracy: torch-graph" in told.unreached and f"cold: {TRAIN.name}: xpcnn" in told.unreached
    assert not told.store.path.exists()


SAID = """\
tests/a.py::test_a PASSED [ 10%]
tests/a.py::test_b[x-1] FAILED [ 20%]
tests/a.py::test_c PASSED [ 30%]
"""
ENDED = """\
FAILED tests/a.py::test_b[x-1] - assert 0
ERROR tests/c.py
= 1 failed, 2 passed, 3 skipped, 1 error in 2.00s =
"""


def pytest_says(monkeypatch, told, status, out):
    asked = []
    monkeypatch.setattr(run, "execute", lambda *args: asked.append(args) or processes.Done(status, out, "", 2.0))
    told.tests, told.tests_limit = {"backend": ["tests/backend"], ".": ["tests/test_a.py"]}, 60.0
    run.tests(told)
    return asked


def test_what_pytest_says_is_kept_and_not_asked_again(told, monkeypatch):
    asked = pytest_says(monkeypatch, told, 1, SAID + ENDED)
    assert [args[0][-1] for args in asked] == ["tests/backend", "tests/test_a.py"]
    kept = told.store.get("tests", "backend")
    assert kept["last"] == "1 failed, 2 passed, 3 skipped, 1 error in 2.00s"
    assert kept["counts"] == {"failed": 1, "passed": 2, "skipped": 3, "error": 1}
    assert kept["failures"] == ["FAILED tests/a.py::test_b[x-1] - assert 0", "ERROR tests/c.py"]
    assert pytest_says(monkeypatch, told, 0, "") == [] and told.unreached == []


def test_tests_that_time_has_ended_are_shown_and_run_again(told, monkeypatch):
    told.budget = Budget(31.0)
    (args, _) = pytest_says(monkeypatch, told, None, SAID)
    assert 29.0 < args[2] < 30.0  # it ends before the run does, or nothing would be known
    kept = told.store.get("tests", "backend")
    assert kept["last"] == "2 passed, 1 failed until time ended it after 30 s"
    assert kept["failures"] == ["tests/a.py::test_b[x-1] FAILED [ 20%]"]
    assert told.unreached == ["tests: backend", "tests: ."]
    assert len(pytest_says(monkeypatch, told, 0, ENDED)) == 2


def test_all_folders_of_the_suite_are_among_the_tests():
    found = run.folders()
    assert list(found)[:3] == ["backend", "ops", "layers"] and "benchmarks" in found
    assert set(run.FIRST) <= set(found)
    assert found["layers"] == ["tests/layers"] and "tests/test_import.py" in found["."]


# Contenders


def job(folder, **changes):
    told = {"contender": "xpcnn", "model": "deepnotes", "batch": 3, "shape": (1, 28, 28), "optimizer": "momentum"}
    told |= {"dtype": "float32", "options": {}, "folder": str(folder), "device": "cpu", "tf32": False}
    return Job(**{**told, "same_sums": False, "seconds": 0.0, "began": 0.0, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("deepnotes")
    assert not prepare(made, "deepnotes", {}, (1, 28, 28))["random"]
    return made


def test_ours_steps(folder):
    answer = worker(job(folder))
    assert len(answer["values"]) == 5 and answer["values"][4] < answer["values"][0]
    assert "ms" not in answer and answer["first_step_s"] > 0 and answer["about"].startswith("xpcnn")
    answer = worker(job(folder, optimizer=None, seconds=1e-6))
    assert len(answer["values"]) == 30 and answer["ms"] > 0 and answer["clock"] == "wall"


def test_a_precision_that_is_refused_is_a_result(folder):
    assert "float8" in worker(job(folder, dtype="float8"))["refused"]


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_pytorch_has_our_losses(folder, optimizer):
    pytest.importorskip("torch")
    ours_, theirs = (worker(job(folder, optimizer=optimizer, contender=name)) for name in ("xpcnn", "torch-eager"))
    assert theirs["values"] == pytest.approx(ours_["values"], rel=1e-5)
    assert "needs a GPU" in worker(job(folder, contender="torch-graph"))["refused"]


def test_pytorch_has_our_scores(folder):
    pytest.importorskip("torch")
    ours_, theirs = (worker(job(folder, optimizer=None, contender=name)) for name in ("xpcnn", "torch-eager"))
    assert theirs["values"] == pytest.approx(ours_["values"], rel=1e-3, abs=1e-5)


def test_pytorch_in_bfloat16_computes_something_near(folder):
    pytest.importorskip("torch")
    full, half = (worker(job(folder, contender="torch-eager", dtype=dtype)) for dtype in ("float32", "bfloat16"))
    assert half["values"] != full["values"]
    assert half["values"] == pytest.approx(full["values"], rel=0.1)


def test_a_capture_leaves_network_and_optimizer_as_they_were(folder, monkeypatch):
    """CUDA's graphs are replaced by calls, so that the capture itself is one more step."""
    torch = pytest.importorskip("torch")
    from benchmarks.gpu import theirs

    class Nothing:
        def wait_stream(self, other):
            pass

        def replay(self):
            pass

    for name in ("Stream", "CUDAGraph", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, Nothing)
    for name in ("stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, lambda _: nullcontext())
    net = theirs.network(torch, str(folder), "cpu")
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    steps = []

    def step():
        optimizer.zero_grad()
        net(torch.ones(2, 1, 28, 28)).square().mean().backward()
        optimizer.step()
        steps.append(0)
        return len(steps)

    replay = theirs.captured(torch, step, net, optimizer)
    assert replay() == len(steps) == theirs.WARM_UP + 1
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(state["momentum_buffer"].any() for state in optimizer.state.values())


# Time to an accuracy


def fashion(tmp_path, contender, **changes):
    prepare(tmp_path, "fashion_small", {}, (1, 28, 28))
    told = {"device": "cpu", "data": "mnist-mini", "images": 48, "target": 0.0, "contender": contender, "began": 0.0}
    return accuracy.run({**told, "folder": str(tmp_path), **changes})


@pytest.mark.parametrize("contender", ["xpcnn", "torch-eager"])
def test_training_ends_where_the_accuracy_suffices(tmp_path, contender):
    if contender != "xpcnn":
        pytest.importorskip("torch")
    answer = fashion(tmp_path, contender)
    assert len(answer["epochs"]) == 1 and answer["reached_s"] == answer["epochs"][0]["s"]
    answer = fashion(tmp_path, contender, target=2.0)
    assert len(answer["epochs"]) == 8 and answer["reached_s"] is None
    accuracies = [one["accuracy"] for one in answer["epochs"]]
    assert all(0.0 <= one <= 1.0 for one in accuracies) and len(set(accuracies)) > 1


def test_data_that_are_not_there_are_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("XPCNN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    refused = fashion(tmp_path, "xpcnn", data="kmnist")["refused"]
    assert refused == "kmnist is not on this machine: set XPCNN_DATA_DIR to the folder that holds kmnist/"


# The probe


def test_a_figure_that_cannot_be_had_leaves_the_others():
    found = probe.tried({"a": lambda: 1, "b": lambda: 1 / 0, "c": lambda: 3})
    assert found == {"a": 1, "c": 3, "failed_figures": {"b": "ZeroDivisionError: division by zero"}}


def test_the_probe_measures_what_a_cpu_has():
    told = {"device": "cpu", "toy": True}
    rates = probe.rates({**told, "part": "rates"})
    assert set(rates) == {"copy_gb_s", "float32_tflops"} and min(rates.values()) > 0
    assert probe.rates({**told, "part": "tf32"}) == probe.cudnn(told) == {}
    assert probe.host(told)["ufunc_us"] > 0
    assert probe.versions(told)["numpy"]


@pytest.fixture
def fakes(monkeypatch):
    monkeypatch.setattr(probe.importlib, "import_module", lambda name: sys.modules[name])
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", SimpleNamespace(load_nvidia_dynamic_lib=lambda name: None))
    with installed(monkeypatch) as both:
        yield both


def test_the_probe_asks_a_gpu_for_all_it_wants_to_know(fakes, monkeypatch):
    """CuPy and cuDNN are stand-ins: what is seen is that nothing is left out and that the order is right."""
    cupy, cudnn = fakes
    told = {"device": "cuda", "toy": True}
    rates = probe.rates({**told, "part": "rates"})
    # ten calls take 6.4 seconds by the events
    assert rates["copy_gb_s"] == pytest.approx(2 * 4 * 2**20 / 0.64 / 1e9)
    assert rates["float32_tflops"] == pytest.approx(2 * 256**3 / 0.64 / 1e12)
    assert set(probe.rates({**told, "part": "tf32"})) == {"tf32_tflops"}
    found = probe.host(told)
    assert set(found) == {"ufunc_us", "raw_kernel_us", "cudnn_execute_us", "graph"}
    assert found["graph"]["kernel_us"] == pytest.approx(10_000.0) and ("graph", probe.CHAIN) in cupy.said
    built = ["validate", "build_operation_graph", "create_execution_plans", "check_support", "build_plans", "execute"]
    assert cudnn.said[:7] == [("stream", 5, 7), *built]
    assert probe.cudnn(told) == {"properties": "b'{}'"}
    monkeypatch.setattr("xpcnn.backend.resolve", lambda name: None)
    facts = probe.versions(told)
    assert (facts["device"], facts["driver_cuda"], facts["runtime_cuda"]) == ("A GPU", "13.0", "12.9")
    assert (facts["memory_gib"], facts["cudnn"]) == (128.0, 91900)
    known = ceilings({"probe": {"rates": rates, "host": found}})
    assert {"copy_gb_s", "graph_launch_us", "graph_kernel_us", "raw_kernel_us"} <= set(known)


# The command


def test_without_a_gpu_one_line_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert program.main([]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("benchmarks.gpu: device 'cuda:0': ") and err.endswith("--device cpu rehearses without one\n")


def test_works_are_the_goals_that_were_set():
    goals = {}
    for work in works.WORKS.values():
        what = "train" if work.optimizer else "infer"
        goals.setdefault((what, work.model, work.goal), []).append((work.batch, work.dtype))
    both = [(512, "bfloat16"), (512, "float32")]
    assert goals == {
        ("train", "deepnotes", 2.0): [(50, "float32"), (512, "float32")],
        ("train", "torch_mnist", 2.0): [(128, "float32"), (1024, "float32")],
        ("train", "small_vgg", 1.2): both,
        ("train", "resnet9", 1.2): both,
        ("train", "resnet18", 1.0): [(512, "bfloat16")],
        ("train", "resnet50", 1.0): [(256, "bfloat16")],
        ("infer", "torch_mnist", 1.5): [(1, "float32"), (1024, "float32")],
        ("infer", "resnet18", 1.0): [(1, "float32"), (1024, "float32")],
    }
    large = works.WORKS["train-resnet50-256-bfloat16"]
    assert large.shape == (3, 224, 224) and large.options == {"num_classes": 1000, "small_images": False}
    assert works.toy(large).shape == (3, 32, 32) and works.toy(large).batch == 4
    assert set(works.COLD) <= set(works.WORKS)


def test_a_rehearsal_runs_every_part_and_the_next_one_has_nothing_to_do(tmp_path, capsys):
    file, page = tmp_path / "gpu.json", tmp_path / "page.md"
    command = ["--device=cpu", "--work", "train-deepnotes-50-float32", "--against", "--rounds=1"]
    command += [f"--json={file}", f"--page={page}"]
    assert program.main(command) == 0
    kept = load(file)
    assert {*program.PARTS, "versions", "sessions"} <= set(kept) and kept["rehearsal"] is True
    assert kept["table"]["train-deepnotes-4-float32"]["runs"]["xpcnn"][0]["ms"] > 0
    assert kept["cold"]["train-deepnotes-4-float32"]["xpcnn"]["filled"] > 0
    assert len(kept["accuracy"]["xpcnn"]["epochs"]) == 8
    assert kept["tests"]["backend"]["counts"] and kept["sessions"][0]["unreached"] == []
    assert "These are no figures" in page.read_text()
    capsys.readouterr()
    assert program.main(command) == 0
    said = capsys.readouterr().err
    assert "which is gone on with" in said and "table:" not in said and "accuracy:" not in said
    again = load(file)
    assert len(again.pop("sessions")) == 2
    assert {part: again[part] for part in program.PARTS} == {part: kept[part] for part in program.PARTS}


@pytest.mark.gpu
def test_a_rehearsal_runs_on_a_gpu(tmp_path):
    try:
        resolve("cuda")
    except DeviceUnavailable as error:
        pytest.skip(str(error))
    file = tmp_path / "gpu.json"
    command = ["--rehearse", "--work", "train-deepnotes-50-float32", "--rounds=1", "--against", "eager", "graph"]
    command += ["--parts", "probe", "accuracy", "cold", "table", f"--json={file}", f"--page={tmp_path / 'page.md'}"]
    assert program.main(command) == 0
    kept = load(file)
    assert kept["device"] == "cuda" and {"copy_gb_s", "float32_tflops"} <= set(kept["probe"]["rates"])
    assert kept["probe"]["host"]["graph"]["kernel_us"] > 0
    assert "ms" in kept["table"]["train-deepnotes-4-float32"]["runs"]["xpcnn"][0]
    failed = {name: runs[-1] for name, runs in kept["table"]["train-deepnotes-4-float32"]["runs"].items()}
    assert not [name for name, answer in failed.items() if "failed" in answer], failed
    assert len(kept["accuracy"]["xpcnn"]["epochs"]) == 8


def test_again_measures_anew_what_was_asked_for(tmp_path, monkeypatch):
    seen = {}
    for name in program.PARTS:
        monkeypatch.setitem(program.PARTS, name, lambda told, name=name: seen.update({name: dict(told.store.data)}))
    monkeypatch.setattr(program, "ask", lambda *_: {"device": "a GPU"})
    file = tmp_path / "gpu.json"
    store = Store(file, {**HEAD, "name": "a GPU"})
    for part in program.PARTS:
        store.put(part, value={name: part for name in works.WORKS})
    monkeypatch.setattr(program, "render", lambda files: f"{len(files)} files")
    one = next(iter(works.WORKS))
    command = [f"--json={file}", f"--page={tmp_path / 'page.md'}", "--work", one, "--parts", "table", "probe"]
    assert program.main(command) == 0
    assert list(seen) == ["table", "probe"] and set(seen["table"]) >= set(program.PARTS)
    assert program.main([*command, "--again"]) == 0
    assert one not in seen["table"]["table"] and len(seen["table"]["table"]) == len(works.WORKS) - 1
    assert "probe" not in seen["table"] and "cold" in seen["table"]
    assert (tmp_path / "page.md").read_text() == f"{1 + len(program.results())} files"


def test_names_of_files_and_what_a_rehearsal_is():
    assert program.slug("NVIDIA H200 (SXM)") == "nvidia-h200-sxm"
    args = program.parse(["--device", "cpu", "--rounds", "9"])
    assert args.rehearse and args.rounds == 2 and args.against == ["eager", "compile"]
    assert Path(args.page) != program.PAGE
    args = program.parse([])
    assert not args.rehearse and args.parts == list(program.PARTS) and args.against == list(works.MODES)
    assert args.seconds == 570.0 and Path(args.page) == program.PAGE
    assert Path(program.parse(["--report"]).page) == program.PAGE


def test_a_process_is_told_its_job_and_its_folders(told, monkeypatch):
    seen = []
    monkeypatch.setattr(processes, "execute", lambda *args: seen.append(args) or processes.Done(0, "{}", "", 0.0))
    processes.ask("probe", {"part": "host"}, told.budget, 5.0, {"A": "b"})
    command, budget, limit, env = seen[0]
    assert command[:3] == [sys.executable, "-m", "benchmarks.gpu.probe"] and json.loads(command[3])["part"] == "host"
    assert (budget, limit, env) == (told.budget, 5.0, {"A": "b"})


def test_what_failed_is_measured_again_and_what_was_refused_is_not(tmp_path):
    store = Store(tmp_path / "kept.json", {})
    good = {"ms": 1.0}
    store.put("probe", "rates", value={"failed": "no memory"})
    store.put("probe", "host", value=good)
    store.put("tests", "ops", value={"status": 3, "lines": ["No module named pytest"]})
    store.put("tests", "data", value={"status": 1, "lines": ["1 failed"]})
    store.put("table", "work", "runs", "torch-graph", value=[good, {"failed": "exit status 1"}])
    store.put("table", "work", "runs", "xpcnn", value=[good])
    store.put("table", "work", "runs", "torch-eager", value=[{"refused": "no such dtype"}])
    assert store.forget_failures() == 3
    assert store.get("probe") == {"host": good}
    assert list(store.get("tests")) == ["data"]
    assert list(store.get("table", "work", "runs")) == ["xpcnn", "torch-eager"]
    assert store.forget_failures() == 0
