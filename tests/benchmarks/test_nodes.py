"""The table of where a step's time goes: that it names each layer and leaves all as it was."""

import pytest

import xpcnn
from benchmarks import nodes
from xpcnn.backend import cpu

pytestmark = pytest.mark.usefixtures("accelerated")


def test_each_layer_has_its_line_and_nothing_stays_wrapped(monkeypatch, capsys):
    before, threads = cpu.ReLU.forward, xpcnn.get_num_threads()
    monkeypatch.setattr(nodes, "_OPERATIONS", {"sum of 2 x 10 numbers": lambda: nodes._add(10)})
    assert nodes.main(["--model", "deepnotes", "--threads", "2", "--steps", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in ("the whole step", "Convolution (28, 28, 1)", "MaxPoolPairs (14, 14, 32)", "Flatten (7, 7, 32)"):
        assert any(line.startswith(name) for line in lines), name
    assert lines[-1].startswith("sum of 2 x 10 numbers")
    assert cpu.ReLU.forward is before
    assert xpcnn.get_num_threads() == threads


def test_rates_count_the_gradients_that_are_computed():
    model = xpcnn.Sequential(xpcnn.Conv2d(1, 2, 3), xpcnn.Conv2d(2, 2, 3))
    flops = nodes._flops(model, (1, 8, 8))
    # 36 places of 9 products of two filters; 16 places of 18; forward, and once or twice as much backward
    assert flops["Convolution (8, 8, 1)", "forward"] == 2 * 36 * 9 * 2
    assert flops["Convolution (8, 8, 1)", "backward"] == 2 * 36 * 9 * 2
    assert flops["Convolution (6, 6, 2)", "forward"] == 2 * 16 * 18 * 2
    assert flops["Convolution (6, 6, 2)", "backward"] == 4 * 16 * 18 * 2
