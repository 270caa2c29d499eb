"""Linear layers, flattening and dropout."""

from hypothesis import strategies as st

from xpcnn import layers as L

from .case import Case, any_rank, few, images, plain, seeds


@st.composite
def linear(draw):
    args = {
        "in_features": draw(st.integers(1, 5)),
        "out_features": draw(st.integers(1, 5)),
        "bias": draw(st.booleans()),
        "init": draw(st.sampled_from(["he_normal", "xavier_uniform"])),
    }
    return Case(L.Linear, args, (draw(few), args["in_features"]), draw(seeds))


@st.composite
def dropout(draw):
    return Case(L.Dropout, {"p": draw(st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]))}, draw(any_rank()), draw(seeds))


@st.composite
def dropout2d(draw):
    return Case(L.Dropout2d, {"p": draw(st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]))}, draw(images()), draw(seeds))


LAYERS = {
    L.Linear: linear(),
    L.Dropout: dropout(),
    L.Dropout2d: dropout2d(),
    L.Flatten: plain(L.Flatten, any_rank()),
}
LINEAR = {L.Linear, L.Dropout, L.Dropout2d, L.Flatten}
