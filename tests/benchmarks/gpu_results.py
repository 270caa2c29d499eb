"""A file of results as `benchmarks.gpu` writes it, made up."""

from benchmarks.gpu.store import SCHEMA
from benchmarks.gpu.works import WORKS

TRAIN = WORKS["train-deepnotes-50-float32"]
BFLOAT16 = WORKS["train-resnet18-512-bfloat16"]

COUNTS = {"macs": 1_000_000, "weights": 1_000, "input": 100, "train_numbers": 2_000, "infer_numbers": 1_500}
COUNTS |= {"train_kernels": 20, "infer_kernels": 6}

PROBE = {
    "rates": {"copy_gb_s": 4_000.0, "float32_tflops": 50.0, "process_s": 9.0},
    "tf32": {"tf32_tflops": 400.0},
    "host": {
        **{"ufunc_us": 19.5, "raw_kernel_us": 3.0, "graph": {"launch_us": 6.0, "kernel_us": 1.5}},
        "failed_figures": {"cudnn_execute_us": "ModuleNotFoundError: No module named 'cudnn'"},
    },
}


def measured(*rounds_ms, first=2.0, clock="events"):
    """What the processes of a contender answered."""
    return [{"ms": ms, "first_step_s": first, "clock": clock, "about": "it", "process_s": 9.0} for ms in rounds_ms]


def row(work=TRAIN, runs=None, values=None):
    """A row of the table: ours and three modes in three rounds."""
    runs = runs or {
        "xpcnn": measured(2.0, 2.2, 2.4),
        "xpcnn-compiled": measured(0.5, 1.0, 0.5, clock="wall"),
        "torch-eager": measured(3.0, 3.0, 3.0),
        "torch-graph": measured(1.5, 1.0, 1.25),
        "torch-compile": [{"failed": "exit status 1: a | b", "log": [], "process_s": 1.0}],
    }
    losses = [2.5, 2.0, 1.5, 1.25, 1.0]
    if values is None:
        values = {name: losses for name in runs if "ms" in runs[name][0]}
    return {"work": work.told(), "counts": COUNTS, "runs": runs, "values": values}


def results(**changes):
    """The whole file."""
    refused = [{"refused": "expected float32, got 'bfloat16'", "process_s": 1.0}]
    both = {"xpcnn": refused, "torch-eager": measured(10.0)}
    return {
        **{"schema": SCHEMA, "device": "cuda", "name": "NVIDIA H200", "rehearsal": False, "tf32": False},
        "versions": {"device": "NVIDIA H200", "torch": "2.11.0", "process_s": 3.0},
        "sessions": [
            {"date": "2026-11-24", "commit": "0123456789", "spent_s": 500.0, "unreached": ["gone"]},
            {"date": "2026-11-25", "commit": "abcdefabcd", "spent_s": 300.0, "unreached": ["cold: somebody"]},
        ],
        "probe": PROBE,
        "tests": {
            "backend": {"last": "3 passed, 1 failed in 2.00s", "failures": ["FAILED tests/a.py::b"], "lines": []},
            ".": {"last": "2 passed", "failures": [], "lines": []},
        },
        "table": {TRAIN.name: row(), BFLOAT16.name: row(BFLOAT16, both, {"torch-eager": [1.0]})},
        "cold": {TRAIN.name: {"xpcnn": {"empty": 9.0, "filled": 1.25}, "torch-graph": {"failed": "no"}}},
        "accuracy": {
            "xpcnn": {"reached_s": 12.3, "target": 0.92, "epochs": [{"accuracy": 0.9, "s": 6.0}, {"accuracy": 0.92}]},
            "torch-eager": {"reached_s": None, "target": 0.92, "epochs": [{"accuracy": 0.9, "s": 6.0}]},
            "torch-graph": {"refused": "no GPU"},
        },
        **changes,
    }
