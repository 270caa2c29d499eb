"""Convolutions."""

from hypothesis import strategies as st

from xpcnn import layers as L

from .case import Case, either, few, image_sizes, seeds


@st.composite
def conv2d(draw):
    groups = draw(few)
    args = {
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 2)),
        "kernel_size": draw(either(few)),
        "dilation": draw(either(few)),
        "groups": groups,
        "bias": draw(st.booleans()),
        "init": draw(st.sampled_from(["he_normal", "xavier_uniform"])),
    }
    small = st.integers(0, 2)
    words = st.sampled_from(["same", "valid"])
    args["padding"] = draw(st.one_of(either(small), st.tuples(small, small, small, small), words))
    args["stride"] = 1 if args["padding"] == "same" else draw(either(st.integers(1, 4)))
    size = draw(image_sizes(args["kernel_size"], args["dilation"], args["padding"]))
    return Case(L.Conv2d, args, (draw(few), args["in_channels"], *size), draw(seeds))


LAYERS = {L.Conv2d: conv2d()}
LINEAR = {L.Conv2d}
