"""Normalization."""

import numpy as np
from hypothesis import strategies as st

from xpcnn import layers as L

from .case import Case, few, images, seeds


def batch_norm(cls, shapes):
    @st.composite
    def strategy(draw):
        shape = draw(shapes)
        if np.prod(shape) // shape[1] < 3:  # with two values the output is +-1, whatever they are
            shape = (3, *shape[1:])
        args = {
            "num_features": shape[1],
            "eps": draw(st.sampled_from([1e-5, 1e-3, 0.5])),
            "momentum": draw(st.sampled_from([0.1, 0.0, 1.0, 0.7, None])),
            "affine": draw(st.booleans()),
            "track_running_stats": draw(st.booleans()),
        }
        return Case(cls, args, shape, draw(seeds))

    return strategy()


LAYERS = {
    L.BatchNorm1d: batch_norm(L.BatchNorm1d, st.one_of(st.tuples(few, few), st.tuples(few, few, few))),
    L.BatchNorm2d: batch_norm(L.BatchNorm2d, images()),
}
USES_BATCH = {L.BatchNorm1d, L.BatchNorm2d}  # in training, a sample's output depends on the others
