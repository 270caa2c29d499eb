"""Linear layers, flattening and dropout."""

from tests.strategies import Case
from xpcnn import layers as L

LAYERS: dict[str, Case] = {
    "linear": Case(L.Linear, {"in_features": 5, "out_features": 3}, (4, 5)),
    "linear no bias": Case(L.Linear, {"in_features": 5, "out_features": 3, "bias": False}, (4, 5)),
    "linear one by one": Case(L.Linear, {"in_features": 1, "out_features": 1}, (1, 1)),
    "flatten": Case(L.Flatten, {}, (2, 3, 2, 2)),
    "dropout none": Case(L.Dropout, {"p": 0.0}, (4, 9)),
    "dropout all": Case(L.Dropout, {"p": 1.0}, (4, 9)),
    "dropout2d none": Case(L.Dropout2d, {"p": 0.0}, (2, 3, 2, 2)),
    "dropout2d all": Case(L.Dropout2d, {"p": 1.0}, (2, 3, 2, 2)),
}
