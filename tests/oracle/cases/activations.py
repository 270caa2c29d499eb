"""Activations and softmax."""

from tests.strategies import Case
from xpcnn import layers as L

OPTIONS = {
    L.ELU: {" 0.5": {"alpha": 0.5}, " -1": {"alpha": -1.0}, " 0": {"alpha": 0.0}},
    L.GELU: {" tanh": {"approximate": "tanh"}},
    L.Softplus: {
        " beta 2": {"beta": 2.0},
        " threshold 1": {"threshold": 1.0},  # inputs of exactly 1 are on it
        " beta 0.5 threshold 0": {"beta": 0.5, "threshold": 0.0},
    },
    L.PReLU: {" each": {"num_parameters": 3}},
}
LAYERS: dict[str, Case] = {
    "relu": Case(L.ReLU, {}, (4, 9)),
    "leaky relu": Case(L.LeakyReLU, {}, (4, 9)),
    "leaky relu 0.5": Case(L.LeakyReLU, {"negative_slope": 0.5}, (2, 2, 3, 3)),
    "leaky relu -1": Case(L.LeakyReLU, {"negative_slope": -1.0}, (4, 9)),
    **{
        f"{cls.__name__}{name}": Case(cls, args, (2, 3, 4))
        for cls in (L.ELU, L.SELU, L.GELU, L.SiLU, L.Mish, L.Hardswish, L.Softplus, L.PReLU)
        for name, args in {"": {}, **OPTIONS.get(cls, {})}.items()
    },
    "prelu of features": Case(L.PReLU, {"num_parameters": 9}, (4, 9)),
    "prelu of images": Case(L.PReLU, {"num_parameters": 2}, (2, 2, 3, 3)),
    "sigmoid": Case(L.Sigmoid, {}, (4, 9)),
    "tanh": Case(L.Tanh, {}, (4, 9)),
    **{
        f"{cls.__name__} dim {dim} of {shape}": Case(cls, {"dim": dim}, shape)
        for cls in (L.Softmax, L.LogSoftmax)
        for dim, shape in ((1, (4, 5)), (-1, (4, 5)), (1, (2, 3, 2, 2)), (2, (2, 3, 4)), (-2, (2, 3, 4)), (1, (2, 1)))
    },
}
