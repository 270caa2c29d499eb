"""The short version of `python -m tests.faults.fuzz`, and the inputs that once went wrong."""

import json
import random
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.faults import fuzz
from xpcnn.errors import DataError

REGRESSIONS = json.loads((Path(__file__).parent / "regressions.json").read_text())


@pytest.fixture(scope="module", params=fuzz.TARGETS)
def target(request):
    if request.param == "picture":
        pytest.importorskip("PIL")
    return request.param


@pytest.fixture(scope="module")
def judge(target):
    return fuzz.Judge(target)


def test_any_input_gives_a_result_or_a_typed_error(target, judge):
    seeds = list(fuzz.TARGETS[target][1]())
    changed = st.builds(
        lambda seed, other, number: fuzz.mutated(seed, other, random.Random(number)),
        st.sampled_from(seeds), st.sampled_from(seeds), st.integers(0, 2**32),
    )  # fmt: skip

    @settings(max_examples=300)
    @given(st.one_of(st.binary(max_size=100), changed))
    @example(b"")
    def check(data):
        judge(data)

    check()
    assert sum(judge.ends.values()) >= 200, judge.ends
    assert set(judge.ends) <= {"valid", "DataError", "ShapeError", "CheckpointError"}, judge.ends


def test_seeds_lead_to_results_and_to_errors(target):
    """Else the fuzzer would only knock at the door."""
    judge = fuzz.Judge(target)
    for data in fuzz.inputs(target, 400, seed=1):
        judge(data)
    assert judge.ends["valid"] >= 3, judge.ends
    assert judge.ends.total() - judge.ends["valid"] >= 50, judge.ends


@pytest.mark.parametrize(
    ("name", "what"), [(name, what) for name, inputs in REGRESSIONS.items() for what in inputs], ids=lambda text: text
)
def test_what_once_went_wrong_does_so_no_more(name, what):
    fuzz.Judge(name)(bytes.fromhex(REGRESSIONS[name][what]))


def test_the_same_seed_gives_the_same_inputs(target):
    first, again, other = (list(fuzz.inputs(target, 60, seed)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [(DataError("no"), 0, "9 DataError"), (KeyError("x"), 1, "KeyError"), (UserWarning("w"), 1, "UserWarning")],
)
def test_an_error_that_is_not_typed_and_a_warning_are_bugs(monkeypatch, capsys, error, code, words):
    import warnings

    def broken(data):
        if isinstance(error, Warning):
            warnings.warn(error, stacklevel=1)
        else:
            raise error

    monkeypatch.setitem(fuzz.TARGETS, "broken", (lambda: broken, lambda: [b"seed"]))
    assert fuzz.main(["broken", "--own", "--inputs", "9"]) == code
    assert words in capsys.readouterr().out


def test_unknown_targets_are_refused(capsys):
    with pytest.raises(SystemExit):
        fuzz.main(["nothing"])
    assert "expected targets of idx" in capsys.readouterr().err


def test_without_atheris_it_runs_all_the_same(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "atheris", None)
    assert fuzz.main(["idx", "--inputs", "50"]) == 0
    assert "50 inputs" in capsys.readouterr().out
