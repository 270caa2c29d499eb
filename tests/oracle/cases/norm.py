"""Normalization."""

from tests.strategies import Case
from xpcnn import layers as L


def _norms():
    options = {
        "": {},
        " eps": {"eps": 0.25},
        " momentum 0": {"momentum": 0.0},
        " momentum 1": {"momentum": 1.0},
        " momentum None": {"momentum": None},
        " not affine": {"affine": False},
        " not tracking": {"track_running_stats": False},
        " neither": {"affine": False, "track_running_stats": False},
    }
    for name, args in options.items():
        yield f"batch norm 2d{name}", Case(L.BatchNorm2d, {"num_features": 2, **args}, (3, 2, 2, 3))
        yield f"batch norm 1d{name}", Case(L.BatchNorm1d, {"num_features": 3, **args}, (5, 3))
    yield "batch norm 1d of sequences", Case(L.BatchNorm1d, {"num_features": 2}, (2, 2, 4))
    yield "batch norm 2d of one image", Case(L.BatchNorm2d, {"num_features": 2}, (1, 2, 2, 2))
    yield "batch norm 2d of single pixels", Case(L.BatchNorm2d, {"num_features": 2}, (4, 2, 1, 1))

    yield from _per_sample()


def _per_sample():
    """Those that normalize each sample by itself."""
    for name, args in {
        "": {}, " eps": {"eps": 0.25}, " not affine": {"elementwise_affine": False}, " no bias": {"bias": False}
    }.items():  # fmt: skip
        yield f"layer norm{name}", Case(L.LayerNorm, {"normalized_shape": 6, **args}, (4, 6))
        yield f"layer norm of images{name}", Case(L.LayerNorm, {"normalized_shape": (3, 2, 2), **args}, (2, 3, 2, 2))
    yield "layer norm of the last axis", Case(L.LayerNorm, {"normalized_shape": [5]}, (2, 3, 5))
    yield "layer norm of the last two", Case(L.LayerNorm, {"normalized_shape": (2, 5)}, (2, 3, 2, 5))
    yield "layer norm of one number", Case(L.LayerNorm, {"normalized_shape": 1}, (3, 1))
    for name, args in {"": {}, " eps": {"eps": 0.25}, " not affine": {"affine": False}}.items():
        for groups in (1, 2, 4):
            args = {"num_groups": groups, "num_channels": 4, **args}
            yield f"group norm {groups}{name}", Case(L.GroupNorm, args, (2, 4, 3, 2))
    yield "group norm of features", Case(L.GroupNorm, {"num_groups": 2, "num_channels": 6}, (3, 6))
    yield "group norm of sequences", Case(L.GroupNorm, {"num_groups": 3, "num_channels": 3}, (2, 3, 5))
    yield "group norm of single numbers", Case(L.GroupNorm, {"num_groups": 3, "num_channels": 3}, (2, 3))
    options = {
        "": {},
        " eps": {"eps": 0.25},
        " affine": {"affine": True},
        " tracking": {"track_running_stats": True},
        " both": {"affine": True, "track_running_stats": True, "momentum": 0.7},
        " momentum 0": {"track_running_stats": True, "momentum": 0.0},
        " momentum 1": {"track_running_stats": True, "momentum": 1.0},
    }
    for name, args in options.items():
        yield f"instance norm{name}", Case(L.InstanceNorm2d, {"num_features": 2, **args}, (3, 2, 2, 3))
    yield "instance norm of two pixels", Case(L.InstanceNorm2d, {"num_features": 3}, (1, 3, 2, 1))
    for size in (1, 2, 3, 4, 9):
        for name, args in {"": {}, " strong": {"alpha": 2.0, "beta": 0.5, "k": 0.5}}.items():
            yield f"response norm {size}{name}", Case(L.LocalResponseNorm, {"size": size, **args}, (2, 5, 2, 3))
    yield "response norm of sequences", Case(L.LocalResponseNorm, {"size": 3, "alpha": 1.0, "beta": 2.0}, (2, 4, 3))
    yield "response norm of one channel", Case(L.LocalResponseNorm, {"size": 5, "alpha": 1.0}, (2, 1, 2, 2))


LAYERS: dict[str, Case] = dict(_norms())
