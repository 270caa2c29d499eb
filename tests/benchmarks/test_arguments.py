"""The command lines of the benchmarks: what they refuse before anything is measured, and what --help says."""

import argparse

import pytest

from benchmarks import nodes, step, timeline
from benchmarks.cpu import __main__ as cpu
from benchmarks.gpu import __main__ as gpu

PROGRAMS = {"cpu": cpu, "gpu": gpu, "nodes": nodes, "step": step, "timeline": timeline}
COUNTS = {
    "cpu": ("--rounds", "--steps", "--threads"),
    "gpu": ("--rounds",),
    "nodes": ("--threads", "--steps"),
    "step": ("--batch", "--rounds", "--steps", "--threads"),
    "timeline": ("--batch", "--threads", "--steps"),
}


def refusal(name, capsys, *arguments):
    """The last line that a parser says before it ends the program with status 2."""
    with pytest.raises(SystemExit) as end:
        PROGRAMS[name].parser().parse_args(arguments)  # not main, which would measure if it were not refused
    out, err = capsys.readouterr()
    assert end.value.code == 2 and out == ""
    return err.splitlines()[-1]


@pytest.mark.parametrize(("name", "option"), [(name, option) for name, own in COUNTS.items() for option in own])
def test_what_is_counted_is_at_least_one(name, option, capsys):
    for wrong in ("0", "-1", "1.5", "many"):
        last = refusal(name, capsys, f"{option}={wrong}")
        assert last.endswith(f"argument {option}: expected a whole number of at least 1, got {wrong}")
    assert getattr(PROGRAMS[name].parser().parse_args([option, "1"]), option[2:]) == 1


def test_a_time_is_finite_and_not_negative(capsys):
    for wrong in ("-1", "nan", "inf", "long"):
        last = refusal("cpu", capsys, f"--seconds={wrong}")
        assert last.endswith(f"argument --seconds: expected a number of seconds of at least 0, got {wrong}")
    assert cpu.parse(["--seconds", "0"]).seconds == 0.0


FILES = [("cpu", "--json"), ("gpu", "--json"), ("gpu", "--page"), ("timeline", "--save")]


@pytest.mark.parametrize(("name", "option"), FILES)
def test_a_file_is_in_a_folder_that_is_there(name, option, tmp_path, capsys):
    for wrong in (tmp_path / "no" / "file.png", tmp_path):
        last = refusal(name, capsys, option, str(wrong))
        assert last.endswith(f"argument {option}: expected a file in a folder that is there, got {wrong}")


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_explains_the_program_and_each_option_with_its_default(name, capsys):
    with pytest.raises(SystemExit) as end:
        PROGRAMS[name].main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    for line in PROGRAMS[name].__doc__.splitlines():
        assert line in shown
    for action in PROGRAMS[name].parser()._actions:
        if action.help == argparse.SUPPRESS:
            continue
        assert action.help, action.option_strings
        if action.default not in (None, False, argparse.SUPPRESS) and action.dest != "parts":
            assert "default" in action.help, action.option_strings
