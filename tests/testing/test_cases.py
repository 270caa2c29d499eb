"""The certificate's cases leave nothing out, and avoid where there is no derivative."""

import inspect

import numpy as np

import xpcnn.layers
import xpcnn.models
from xpcnn.backend import Key
from xpcnn.layers import BatchNorm2d, Layer, Loss, Upsample
from xpcnn.models import Sequential
from xpcnn.testing.cases import LayerCase, LossCase, cases

# where a model lives, in which dtype, and how exactly a GPU computes: that the certificate says itself
OWN_CHOICE = ("device", "dtype", "allow_tf32", "deterministic")


def exported():
    for module in (xpcnn.layers, xpcnn.models):
        for name in module.__all__:
            cls = getattr(module, name)
            if inspect.isclass(cls) and issubclass(cls, (Layer, Loss)) and not inspect.isabstract(cls):
                yield cls


def missing(found):
    """Exported layers and losses in no case, and options that no case gives a value that is not the default."""
    for cls in dict.fromkeys(exported()):
        own = [case.arguments for case in found if case.cls is cls]
        if not own:
            yield cls.__name__
        for option in inspect.signature(cls).parameters.values() if own else ():
            if option.name in OWN_CHOICE and issubclass(cls, xpcnn.models.Model):
                continue
            default = () if option.kind is option.VAR_POSITIONAL else option.default
            if all(arguments.get(option.name, default) == default for arguments in own):
                yield f"{cls.__name__}.{option.name}"


def test_every_layer_loss_and_option_is_in_a_case():
    assert list(missing(cases())) == [], "add a line to xpcnn/testing/cases.py"


def test_the_search_for_what_is_in_no_case_finds_it():
    found = cases()
    assert list(missing([case for case in found if case.cls is not Upsample])) == ["Upsample"]
    without = [case for case in found if "align_corners" not in case.arguments]
    assert list(missing(without)) == ["Upsample.align_corners"]
    assert "MSE.reduction" in missing([case for case in found if "reduction" not in case.arguments])
    assert "Sequential.layers" in missing([LayerCase(Sequential, (), {}, (1, 1))])


def test_the_cases_hold_every_public_layer_once_by_name():
    assert {case.cls for case in cases()} == set(exported())
    assert len({case.name for case in cases()}) == len(set(exported()))


def test_inputs_of_the_cases_have_no_ties_and_no_zeros(cpu):
    for case in cases():
        if isinstance(case, LossCase):
            x, target, _ = case.arrays(cpu.device, Key(0))
            arrays = [x - target] if case.target == "numbers" else [x]
        else:
            x = case.x(cpu.device, Key(0))
            arrays = x if isinstance(x, tuple) else [x]
        for a in arrays:
            assert np.abs(a).min() > 1e-3, str(case)
            assert np.diff(np.sort(a, axis=None)).min(initial=1.0) > 1e-3, str(case)


def test_parameters_of_the_cases_are_not_zeros_and_ones(cpu):
    for case in cases():
        if isinstance(case, LayerCase):
            layer = case.layer(cpu.device, Key(0))
            for name, a in layer.params.items():
                assert a.dtype == np.float64
                assert not np.isin(a, [0.0, 1.0, -1.0]).any(), f"{case}: {name}"


def test_layers_with_running_averages_are_checked_with_frozen_ones_too(cpu):
    layers = [(case, case.layer(cpu.device, Key(0))) for case in cases() if isinstance(case, LayerCase)]
    averaging = {case.cls for case, layer in layers if "running_mean" in layer.buffers}
    averages = {"running_mean", "running_var"}
    frozen = {case.cls for case, layer in layers if averages <= layer.frozen & set(layer.buffers)}
    assert frozen == averaging >= {BatchNorm2d}


def test_what_is_far_from_zero_is_reached(cpu):
    reached = set()
    for case in cases():
        if case.name in ("Hardswish", "Softplus"):
            beta, threshold = (case.arguments.get(name, default) for name, default in (("beta", 1), ("threshold", 20)))
            knee = 3.0 if case.name == "Hardswish" else threshold / beta
            x = case.x(cpu.device, Key(0))
            if (x < -knee).any() and (x > knee).any():
                reached.add(case.name)
    assert reached == {"Hardswish", "Softplus"}
