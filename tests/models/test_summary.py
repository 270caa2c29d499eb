"""What the summary forecasts is what a step keeps."""

import re

import numpy as np
import pytest

from tests.models.nets import READY_MADE, branching, nested, plain
from xpcnn.backend import Key, normal
from xpcnn.errors import ConfigError, ShapeError
from xpcnn.layers import Add, AvgPool2d, Cache, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from xpcnn.models import Graph, Residual, Sequential, SqueezeExcite

UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def arrays_in(value):
    """All arrays inside of nested caches."""
    if isinstance(value, Cache):
        yield from arrays_in(value.saved)
    elif isinstance(value, dict):
        yield from arrays_in(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from arrays_in(item)
    elif isinstance(value, np.ndarray):
        yield value


def memory(a):
    """Where an array begins, whatever view of it this is."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a.__array_interface__["data"][0]


def kept(model, shape, batch):
    x = normal((batch, *shape), Key(0)).astype(model.dtype)
    _, cache = model.forward(x, train=True)
    distinct = {memory(a): a.nbytes for a in arrays_in(cache) if a.shape[0] == batch and a.ndim > 1}
    return sum(distinct.values())


def forecast(model, batch, shape=None):
    text = model.summary(shape, batch=batch)
    number, unit = re.search(r"activations\s+([\d.,]+) (\w+) kept", text).groups()
    return float(number.replace(",", "")) * UNITS[unit], UNITS[unit]


NETS = {
    **{name: (make, shape) for name, (make, _, shape) in READY_MADE.items() if not name.startswith("resnet")},
    "plain": (lambda: plain(input_shape=(1, 4, 4)), (1, 4, 4)),
    "nested": (nested, (2, 6, 6)),
    "float64": (lambda: plain(input_shape=(1, 4, 4), dtype="float64"), (1, 4, 4)),
    "dropout": (lambda: Sequential(Linear(6, 5), Dropout(0.5), ReLU(), Linear(5, 2), input_shape=(6,)), (6,)),
    "large pool": (lambda: Sequential(MaxPool2d(17), Flatten(), Linear(2, 2), input_shape=(2, 17, 17)), (2, 17, 17)),
    "squeeze and excite": (lambda: Sequential(Conv2d(2, 4, 1), SqueezeExcite(4, 2), input_shape=(2, 4, 4)), (2, 4, 4)),
    "graph": (branching, (2, 6, 6)),
    "residual": (
        lambda: Sequential(Residual(Sequential(Conv2d(2, 2, 1), ReLU())), AvgPool2d(2), input_shape=(2, 4, 4)),
        (2, 4, 4),
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_activations_kept_are_those_in_the_cache(name, monkeypatch):
    monkeypatch.setenv("XPCNN_KERNELS", "generic")  # accelerated ones keep less
    make, shape = NETS[name]
    model = make()
    bytes_kept = kept(model, shape, 3)
    told, unit = forecast(model, 3)
    assert abs(told - bytes_kept) <= 0.051 * unit, f"{told} told, {bytes_kept} kept"
    assert model.cost(shape, int(model.dtype[5:]) // 8).extra * 3 == bytes_kept


def test_summary_tables_shapes_parameters_and_multiply_adds():
    text = READY_MADE["deepnotes"][0]().summary(batch=50)
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    # 28*28 places, 16 filters of 25 taps; 14*14 places, 32 filters of 16*25 taps; two matrices; times 50
    macs = 50 * (28 * 28 * 16 * 25 + 14 * 14 * 32 * 16 * 25 + 1568 * 120 + 120 * 10)
    assert re.search(r"\(50, 16, 28, 28\)\s+416\s+15,680,000$", lines["0"])
    assert re.search(r"\(50, 10\)\s+1,210\s+60,000$", lines["9"])
    assert "202,738" in lines["parameters"]
    assert f"{macs:,}" in lines["multiply-adds"]
    assert "workspace" in text


def test_a_shared_layer_counts_once():
    layer = Linear(4, 4)
    text = Sequential(layer, ReLU(), layer, input_shape=(4,)).summary()
    assert "(shared)" in text
    assert re.search(r"parameters\s+20 ", text)


def test_shape_may_be_given_later_or_not_at_all():
    model = plain()
    assert "(7, 3)" in model.summary((1, 4, 4), batch=7)
    assert "unknown" in model.summary()
    with pytest.raises(ShapeError, match=r"Linear: .*layer '4' of Sequential"):
        model.summary((1, 5, 5))
    for batch in (0, -1, 2.0, True):
        with pytest.raises(ConfigError, match="expected batch to be an integer of at least 1"):
            model.summary((1, 4, 4), batch=batch)


def test_summary_changes_nothing():
    model = plain()
    before = {n: a.tobytes() for n, a in model.state_dict().items()}
    model.summary((1, 4, 4))
    assert {n: a.tobytes() for n, a in model.state_dict().items()} == before


def test_batch_may_be_a_numpy_integer():
    model = READY_MADE["deepnotes"][0]()
    assert model.summary(batch=np.int64(2)) == model.summary(batch=2)


def test_a_number_of_samples_in_the_place_of_the_shape_gets_a_suggestion():
    model = plain(input_shape=(1, 4, 4))
    text = r"^Sequential.summary: expected input_shape to be a tuple of integers, got 50: did you mean batch=50\?$"
    with pytest.raises(ConfigError, match=text):
        model.summary(50)
    with pytest.raises(ConfigError, match=r"^Graph.summary: .* did you mean batch=8\?$"):
        branching().summary(np.int64(8))
    with pytest.raises(ConfigError, match="expected input_shape to be a tuple of integers of at least 1"):
        model.summary((1, 5.5, 4))


def test_a_graph_of_several_inputs_takes_a_shape_for_each():
    graph = Graph({"sum": (Add(), "a", "b"), "head": (Linear(4, 2), "sum")}, inputs=("a", "b"))
    lines = graph.summary(((4,), (4,)), batch=3).splitlines()
    assert "(3, 4)" in lines[2] and "(3, 2)" in lines[3]
    with pytest.raises(ShapeError, match="expected a tuple of 2 shapes"):
        graph.summary((4,))
