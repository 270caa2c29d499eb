"""No layer, loss or option is left out of the strategies."""

import inspect

import pytest
from hypothesis import Phase, given, settings

import xpcnn.layers
import xpcnn.models
from tests.strategies import EXEMPT, LAYERS, LOSSES, options
from xpcnn.layers import BatchNorm2d, Conv2d, Layer, Loss, MaxPool2d
from xpcnn.models import Residual


def exported(base):
    for module in (xpcnn.layers, xpcnn.models):
        for name in module.__all__:
            cls = getattr(module, name)
            if inspect.isclass(cls) and issubclass(cls, base) and not inspect.isabstract(cls):
                yield cls


def drawn(strategy, count=250):
    seen = []

    @settings(max_examples=count, phases=[Phase.generate])
    @given(strategy)
    def draw(case):
        seen.append(case)

    draw()
    return seen


def test_every_exported_layer_and_loss_has_a_strategy():
    assert set(exported(Layer)) == set(LAYERS)
    assert set(exported(Loss)) == set(LOSSES)


@pytest.mark.parametrize("cls", [*LAYERS, *LOSSES], ids=lambda cls: cls.__name__)
def test_every_option_of_the_constructor_is_varied(cls):
    cases = drawn((LAYERS | LOSSES)[cls])
    variadic = {p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.VAR_POSITIONAL}
    for option in options(cls):
        if option in variadic:
            values = {len(case.parts) for case in cases}
        else:
            values = {repr(case.args.get(option)) for case in cases}
        assert len(values) > 1, f"{cls.__name__}.{option} is always {values}"
    assert {case.shape[0] for case in cases if hasattr(case, "shape")} != {1}


def test_exemptions_are_arguments_that_exist():
    for cls, names in EXEMPT.items():
        assert names <= set(inspect.signature(cls).parameters)


def test_the_hard_values_are_drawn():
    convs = [case.args | {"shape": case.shape} for case in drawn(LAYERS[Conv2d], 400)]

    def kind(padding):
        return padding if isinstance(padding, str) else len(padding) if isinstance(padding, tuple) else 1

    def first(value):
        return value[0] if isinstance(value, tuple) else value

    assert {kind(a["padding"]) for a in convs} == {1, 2, 4, "same", "valid"}
    assert any(a["groups"] == a["in_channels"] > 1 for a in convs), "depthwise"
    assert any(a["groups"] > 1 and a["in_channels"] > a["groups"] for a in convs)
    assert any(first(a["stride"]) > first(a["kernel_size"]) for a in convs)
    assert any(a["shape"][:2] == (1, 1) for a in convs)
    assert any(a["shape"][2] != a["shape"][3] for a in convs)

    assert {case.args["momentum"] for case in drawn(LAYERS[BatchNorm2d])} >= {None, 0.0, 1.0}
    assert any(case.args["ceil_mode"] and first(case.args["padding"]) for case in drawn(LAYERS[MaxPool2d]))
    assert {"shortcut" in case.args for case in drawn(LAYERS[Residual])} == {True, False}
