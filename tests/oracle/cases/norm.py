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


LAYERS: dict[str, Case] = dict(_norms())
