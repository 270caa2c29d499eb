"""Losses."""

import numpy as np
from hypothesis import strategies as st

from xpcnn import layers as L
from xpcnn.backend import Key, normal, uniform

from .case import LossCase, any_rank, seeds


@st.composite
def softmax_cross_entropy(draw):
    n, k, seed = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(seeds)
    ignore = draw(st.sampled_from([-100, 0, 2]))
    args = {
        "weight": draw(st.one_of(st.none(), st.lists(st.sampled_from([0.25, 1.0, 3.0]), min_size=k, max_size=k))),
        "ignore_index": ignore,
        "label_smoothing": draw(st.sampled_from([0.0, 0.1, 0.75, 1.0])),
    }
    if draw(st.booleans()):
        q = uniform((n, k), Key(seed, "q")) + 0.01
        target = q / q.sum(axis=1, keepdims=True)
    else:
        labels = [i for i in range(k) if i != ignore] or [ignore]
        target = np.asarray([draw(st.sampled_from([*labels, ignore])) for _ in range(n)], dtype=np.int64)
        if labels != [ignore]:
            target[0] = labels[0]  # with every sample ignored there is nothing to average
        elif k == 1:
            args["ignore_index"] = -100
    if target.dtype == np.int64 and args["ignore_index"] == -100:
        target = target.astype(draw(st.sampled_from(["int64", "int32", "uint8"]))) if target.min() >= 0 else target
    return LossCase(L.SoftmaxCrossEntropy, args, normal((n, k), Key(seed, "z")), target)


@st.composite
def mse(draw):
    shape, seed = draw(any_rank()), draw(seeds)
    return LossCase(L.MSE, {}, normal(shape, Key(seed, "x")), normal(shape, Key(seed, "t")))


LOSSES = {L.SoftmaxCrossEntropy: softmax_cross_entropy(), L.MSE: mse()}
