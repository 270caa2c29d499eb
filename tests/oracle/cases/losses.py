"""Losses."""

import numpy as np

from tests.strategies import LossCase
from xpcnn import layers as L

from .common import IMAGE, numbers


def _losses():
    z = numbers((4, 3), 2)
    labels, some = np.asarray([0, 2, 1, 2]), np.asarray([0, -100, 1, 2])
    q = np.abs(numbers((4, 3), 7)) + 0.125
    q = q / q.sum(axis=1, keepdims=True)
    weight = [0.5, 2.0, 1.25]
    options = {
        "": {},
        " weight": {"weight": weight},
        " smoothing": {"label_smoothing": 0.25},
        " full smoothing": {"label_smoothing": 1.0},
        " weight smoothing": {"weight": weight, "label_smoothing": 0.1},
    }
    for name, args in options.items():
        yield f"cross entropy{name}", LossCase(L.SoftmaxCrossEntropy, args, z, labels)
        yield f"cross entropy{name}, some ignored", LossCase(L.SoftmaxCrossEntropy, args, z, some)
        yield f"cross entropy{name}, ignore 2", LossCase(L.SoftmaxCrossEntropy, args | {"ignore_index": 2}, z, labels)
        yield f"cross entropy{name}, probabilities", LossCase(L.SoftmaxCrossEntropy, args, z, q)
    yield "cross entropy of scores of 1e4", LossCase(L.SoftmaxCrossEntropy, {}, z * 1e4, labels)
    masked = z.copy()
    masked[0, 1] = masked[2, 0] = -np.inf
    yield "cross entropy of masked scores", LossCase(L.SoftmaxCrossEntropy, {}, masked, labels)
    weight = {"weight": [1.0, 0.5, 2.0]}
    yield "cross entropy of masked scores, weighted", LossCase(L.SoftmaxCrossEntropy, weight, masked, labels)
    yield "cross entropy of nothing", LossCase(L.SoftmaxCrossEntropy, {}, z, np.full_like(labels, -100))
    yield "cross entropy of one class", LossCase(L.SoftmaxCrossEntropy, {}, z[:, :1].copy(), np.zeros(4, dtype="int64"))
    yield "cross entropy of one sample", LossCase(L.SoftmaxCrossEntropy, {}, z[:1].copy(), np.asarray([2]))
    yield "mse", LossCase(L.MSE, {}, z, numbers((4, 3), 4))
    yield "mse of images", LossCase(L.MSE, {}, numbers(IMAGE, 2), numbers(IMAGE, 4))


LOSSES: dict[str, LossCase] = dict(_losses())
