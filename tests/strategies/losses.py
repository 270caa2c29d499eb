"""Losses."""

import numpy as np
from hypothesis import strategies as st

from xpcnn import layers as L
from xpcnn.backend import Key, normal, uniform

from .case import LossCase, any_rank, seeds

REDUCTIONS = st.sampled_from(["mean", "sum", "none"])
GAMMAS = st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0])


def class_weights(k):
    return st.one_of(st.none(), st.lists(st.sampled_from([0.25, 1.0, 3.0]), min_size=k, max_size=k))


@st.composite
def labels(draw, n, k, args):
    """Labels of K classes of which one may be ignored, in any integer dtype that holds them."""
    ignore = args["ignore_index"]
    some = [i for i in range(k) if i != ignore] or [ignore]
    target = np.asarray([draw(st.sampled_from([*some, ignore])) for _ in range(n)], dtype=np.int64)
    if some != [ignore]:
        target[0] = some[0]  # with every sample ignored there is nothing to average
    elif k == 1:
        args["ignore_index"] = -100
    if args["ignore_index"] == -100 and target.min() >= 0:
        target = target.astype(draw(st.sampled_from(["int64", "int32", "uint8"])))
    return target


def classes(cls, **options):
    """Losses that take labels: options by name, "weights" stands for a weight of each class."""

    @st.composite
    def strategy(draw):
        # of a single class focal loss is 0, with a slope at which autograd fails
        n, k, seed = draw(st.integers(1, 4)), draw(st.integers(1 + (cls is L.FocalLoss), 5)), draw(seeds)
        args = {"ignore_index": draw(st.sampled_from([-100, 0, 2])), "reduction": draw(REDUCTIONS)}
        args |= {name: draw(class_weights(k) if kind == "weights" else kind) for name, kind in options.items()}
        if cls is L.SoftmaxCrossEntropy and draw(st.booleans()):
            q = uniform((n, k), Key(seed, "q")) + 0.01
            target = q / q.sum(axis=1, keepdims=True)
        else:
            target = draw(labels(n, k, args))
        scores = normal((n, k), Key(seed, "z"))
        if cls is L.NLLLoss:
            scores = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return LossCase(cls, args, scores, target)

    return strategy()


def entries(cls, yes_or_no=False, **options):
    """Losses of entries: normal errors, or targets of 0 and 1."""

    @st.composite
    def strategy(draw):
        shape, seed = draw(any_rank()), draw(seeds)
        args = {"reduction": draw(REDUCTIONS)} | {name: draw(kind) for name, kind in options.items()}
        target = normal(shape, Key(seed, "t"))
        target = np.where(target > 0.0, 1.0, 0.0) if yes_or_no else target
        return LossCase(cls, args, normal(shape, Key(seed, "x")), target)

    return strategy()


@st.composite
def bce_with_logits(draw):
    shape, seed = draw(any_rank()), draw(seeds)
    args = {"reduction": draw(REDUCTIONS)}
    for name in ("weight", "pos_weight"):
        kind = draw(st.sampled_from(["none", "one", "last", "all", "column"]))
        sizes = {"one": (), "last": shape[-1:], "all": shape, "column": (*shape[:-1], 1)}.get(kind)
        args[name] = None if sizes is None else (uniform(sizes, Key(seed, name)) + 0.5).tolist()
    target = uniform(shape, Key(seed, "t"))
    if draw(st.booleans()):
        target = np.where(target > 0.5, 1.0, 0.0)
    return LossCase(L.BCEWithLogitsLoss, args, normal(shape, Key(seed, "x")), target)


smoothing = st.sampled_from([0.0, 0.1, 0.75, 1.0])
LOSSES = {
    L.SoftmaxCrossEntropy: classes(L.SoftmaxCrossEntropy, weight="weights", label_smoothing=smoothing),
    L.NLLLoss: classes(L.NLLLoss, weight="weights"),
    L.FocalLoss: classes(L.FocalLoss, alpha="weights", gamma=GAMMAS),
    L.BCEWithLogitsLoss: bce_with_logits(),
    L.SigmoidFocalLoss: entries(
        L.SigmoidFocalLoss, yes_or_no=True, alpha=st.sampled_from([None, 0.25, 0.0, 1.0]), gamma=GAMMAS
    ),
    L.MSE: entries(L.MSE),
    L.L1Loss: entries(L.L1Loss),
    L.HuberLoss: entries(L.HuberLoss, delta=st.sampled_from([1.0, 0.25, 3.0])),
    L.SmoothL1Loss: entries(L.SmoothL1Loss, beta=st.sampled_from([1.0, 0.25, 3.0, 0.0])),
}
