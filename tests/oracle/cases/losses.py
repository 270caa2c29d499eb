"""Losses."""

import numpy as np

from tests.strategies import LossCase
from xpcnn import layers as L

from .common import IMAGE, numbers

REDUCTIONS = ("mean", "sum", "none")


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
    for reduction in ("sum", "none"):
        args = {"reduction": reduction, "weight": [0.5, 2.0, 1.25], "label_smoothing": 0.25}
        yield f"cross entropy, {reduction}", LossCase(L.SoftmaxCrossEntropy, args, z, some)
        yield f"cross entropy, {reduction}, probabilities", LossCase(L.SoftmaxCrossEntropy, args, z, q)
    yield from _more_of_classes(z, labels, some)
    yield from _entries()
    yield "mse", LossCase(L.MSE, {}, z, numbers((4, 3), 4))
    yield "mse of images", LossCase(L.MSE, {}, numbers(IMAGE, 2), numbers(IMAGE, 4))


def _more_of_classes(z, labels, some):
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    weight = [0.5, 2.0, 1.25]
    for reduction in REDUCTIONS:
        for name, args in {"": {}, " weight": {"weight": weight}}.items():
            args = args | {"reduction": reduction}
            yield f"nll{name}, {reduction}", LossCase(L.NLLLoss, args, logp, labels)
            yield f"nll{name}, {reduction}, some ignored", LossCase(L.NLLLoss, args, logp, some)
        for gamma in (0.0, 0.5, 2.0):
            args = {"gamma": gamma, "reduction": reduction}
            yield f"focal {gamma}, {reduction}", LossCase(L.FocalLoss, args, z, labels)
            yield f"focal {gamma} alpha, {reduction}", LossCase(L.FocalLoss, args | {"alpha": weight}, z, some)
    masked = logp.copy()
    masked[0, 1] = masked[2, 0] = -np.inf
    yield "nll of masked scores", LossCase(L.NLLLoss, {"weight": weight}, masked, labels)
    yield "nll of nothing", LossCase(L.NLLLoss, {}, logp, np.full_like(labels, -100))
    yield "nll of everything but 2", LossCase(L.NLLLoss, {"ignore_index": 2}, logp, labels)


def _entries():
    x, t = numbers((4, 3), 2), numbers((4, 3), 4)
    t[0] = x[0]  # no error at all
    t[1] = x[1] - 1.0  # where the cases of Huber and smooth L1 meet
    hard = np.where(t > 0.0, 1.0, 0.0)
    soft = (t + 4.0) / 8.0
    options = {
        "l1": (L.L1Loss, {}),
        "huber": (L.HuberLoss, {}),
        "huber 0.25": (L.HuberLoss, {"delta": 0.25}),
        "smooth l1": (L.SmoothL1Loss, {}),
        "smooth l1 0.25": (L.SmoothL1Loss, {"beta": 0.25}),
        "smooth l1 0": (L.SmoothL1Loss, {"beta": 0.0}),
    }
    weights = {
        "": {},
        " weight": {"weight": [0.5, 2.0, 1.25]},
        " column": {"weight": [[1.0], [0.0], [2.0], [0.5]]},
        " pos": {"pos_weight": [3.0, 1.0, 0.5]},
        " weight pos": {"weight": [0.5, 2.0, 1.25], "pos_weight": 2.0},
    }
    for reduction in REDUCTIONS:
        for name, (cls, args) in options.items():
            yield f"{name}, {reduction}", LossCase(cls, args | {"reduction": reduction}, x, t)
            yield f"{name} of 1e4, {reduction}", LossCase(cls, args | {"reduction": reduction}, x * 1e4, t)
        for name, args in weights.items():
            args = args | {"reduction": reduction}
            yield f"bce{name}, {reduction}", LossCase(L.BCEWithLogitsLoss, args, x, hard)
            yield f"bce{name}, {reduction}, soft", LossCase(L.BCEWithLogitsLoss, args, x, soft)
            yield f"bce{name} of 1e4, {reduction}", LossCase(L.BCEWithLogitsLoss, args, x * 1e4, hard)
        for gamma in (0.0, 0.5, 2.0):
            for alpha in (0.25, None):
                args = {"alpha": alpha, "gamma": gamma, "reduction": reduction}
                yield f"sigmoid focal {gamma} {alpha}, {reduction}", LossCase(L.SigmoidFocalLoss, args, x, hard)
        yield f"mse, {reduction}", LossCase(L.MSE, {"reduction": reduction}, x, t)


LOSSES: dict[str, LossCase] = dict(_losses())
