"""Activations and softmax."""

from tests.strategies import Case
from xpcnn import layers as L

LAYERS: dict[str, Case] = {
    "relu": Case(L.ReLU, {}, (4, 9)),
    "leaky relu": Case(L.LeakyReLU, {}, (4, 9)),
    "leaky relu 0.5": Case(L.LeakyReLU, {"negative_slope": 0.5}, (2, 2, 3, 3)),
    "leaky relu -1": Case(L.LeakyReLU, {"negative_slope": -1.0}, (4, 9)),
    "sigmoid": Case(L.Sigmoid, {}, (4, 9)),
    "tanh": Case(L.Tanh, {}, (4, 9)),
    **{
        f"{cls.__name__} dim {dim} of {shape}": Case(cls, {"dim": dim}, shape)
        for cls in (L.Softmax, L.LogSoftmax)
        for dim, shape in ((1, (4, 5)), (-1, (4, 5)), (1, (2, 3, 2, 2)), (2, (2, 3, 4)), (-2, (2, 3, 4)), (1, (2, 1)))
    },
}
