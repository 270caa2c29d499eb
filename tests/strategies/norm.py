"""Normalization."""

import numpy as np
from hypothesis import strategies as st

from xpcnn import layers as L

from .case import Case, any_rank, few, images, seeds


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


epsilons = st.sampled_from([1e-5, 1e-3, 0.5])


def enough(count: int) -> bool:
    """Two numbers normalized by themselves are +-1, whatever they are: no difference quotient likes that."""
    return count != 2


@st.composite
def layer_norm(draw):
    shape = draw(any_rank())
    axes = draw(st.integers(1, len(shape) - 1))
    if not enough(np.prod(shape[-axes:])):
        shape = (*shape[:-1], 4)
    sizes = shape[-axes:]
    args = {
        "normalized_shape": draw(st.sampled_from([sizes, list(sizes)])) if axes > 1 else sizes[0],
        "eps": draw(epsilons),
        "elementwise_affine": draw(st.booleans()),
        "bias": draw(st.booleans()),
    }
    return Case(L.LayerNorm, args, shape, draw(seeds))


@st.composite
def group_norm(draw):
    groups, per_group = draw(few), draw(few)
    places = tuple(draw(st.lists(few, max_size=2)))
    if not enough(per_group * np.prod(places)):
        per_group += 1
    channels = groups * per_group
    args = {"num_groups": groups, "num_channels": channels, "eps": draw(epsilons), "affine": draw(st.booleans())}
    n = draw(st.integers(2, 3)) if per_group * np.prod(places) == 1 else draw(few)  # PyTorch refuses one number
    return Case(L.GroupNorm, args, (n, channels, *places), draw(seeds))


@st.composite
def instance_norm(draw):
    n, c, h, w = draw(images())
    args = {
        "num_features": c,
        "eps": draw(epsilons),
        "momentum": draw(st.sampled_from([0.1, 0.0, 1.0, 0.7])),
        "affine": draw(st.booleans()),
        "track_running_stats": draw(st.booleans()),
    }
    return Case(L.InstanceNorm2d, args, (n, c, h, w if h * w > 2 else 3), draw(seeds))


@st.composite
def response_norm(draw):
    args = {
        "size": draw(st.integers(1, 5)),
        "alpha": draw(st.sampled_from([1e-4, 0.0, 0.5, 3.0])),
        "beta": draw(st.sampled_from([0.75, 0.0, 1.0, -0.5])),
        "k": draw(st.sampled_from([1.0, 2.0, 0.5])),
    }
    shape = (draw(few), draw(st.integers(1, 5)), *draw(st.lists(few, min_size=1, max_size=2)))
    return Case(L.LocalResponseNorm, args, shape, draw(seeds))


LAYERS = {
    L.BatchNorm1d: batch_norm(L.BatchNorm1d, st.one_of(st.tuples(few, few), st.tuples(few, few, few))),
    L.BatchNorm2d: batch_norm(L.BatchNorm2d, images()),
    L.LayerNorm: layer_norm(),
    L.GroupNorm: group_norm(),
    L.InstanceNorm2d: instance_norm(),
    L.LocalResponseNorm: response_norm(),
}
USES_BATCH = {L.BatchNorm1d, L.BatchNorm2d}  # in training, a sample's output depends on the others
