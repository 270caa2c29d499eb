"""
What recorded cases start from: inputs that need no generator of random numbers.

Inputs are small multiples of 1/8, so that sums and products of them are exact in float64 in any order.
"""

import numpy as np

from tests.strategies import Case, LossCase
from xpcnn.backend import to_numpy

IMAGE = (2, 2, 6, 5)
THREE = (1, 2, 7, 8)


def numbers(shape, seed: int, span: int = 31) -> np.ndarray:
    """Multiples of 1/8 from about -2 to 2, with repetitions: a fixed scramble of 0, 1, 2, ..."""
    i = np.arange(int(np.prod(shape)), dtype=np.int64) + 97 * seed
    scrambled = (i * i * 7 + i * 11 + 3 * seed) % 1009 % span
    return ((scrambled - span // 2) / 8.0).reshape(shape)


def state(case: Case) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Parameters and buffers that a case starts from."""
    layer = case.layer()
    params = {name: numbers(p.shape, 3 + i, 15) for i, (name, p) in enumerate(layer.params.items())}
    buffers = {}
    for i, (name, b) in enumerate(layer.buffers.items()):
        values = numbers(b.shape, 13 + i, 15)
        buffers[name] = np.asarray(2) if name.endswith("tracked") else np.abs(values) + 0.5 if "var" in name else values
    return params, buffers


def output_gradient(case: Case) -> np.ndarray:
    shape = (case.shape[0], *case.layer().output_shape(case.shape[1:]))
    return numbers(shape, 5, 17)


def ours(case: Case, space, train: bool = True) -> dict[str, np.ndarray]:
    """xpcnn's answer on an array library, by the names that the recording has."""
    layer = space.settle(case.layer())
    params, buffers = state(case)
    for own, values in ((layer.params, params), (layer.buffers, buffers)):
        for name, value in values.items():
            own[name] = space.asarray(value)
    y, cache = layer.forward(space.asarray(numbers(case.shape, 1)), train=train)
    if not train:
        return {"y": to_numpy(y)}
    dx, grads = layer.backward(space.asarray(output_gradient(case)), cache)
    out = {"y": y, "dx": dx, **{f"d {n}": g for n, g in grads.items()}, **layer.buffers}
    return {name: to_numpy(a) for name, a in out.items()}


def ours_of_loss(case: LossCase, space) -> dict[str, np.ndarray]:
    value, gradient = case.loss()(space.asarray(case.prediction), space.asarray(case.target))
    return {"value": to_numpy(value), "gradient": to_numpy(gradient)}
