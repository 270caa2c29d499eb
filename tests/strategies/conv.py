"""Convolutions."""

from hypothesis import strategies as st

from xpcnn import layers as L

from .case import Case, borders, both, either, few, image_sizes, seeds

small = st.integers(0, 2)
WORDS = ("same", "valid")
words = st.sampled_from(WORDS)


@st.composite
def common_args(draw, size):
    """What all convolutions have; `size` makes a kernel size, a stride or a dilation out of a number."""
    groups = draw(few)
    return {
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 2)),
        "kernel_size": draw(size(few)),
        "dilation": draw(size(few)),
        "groups": groups,
        "bias": draw(st.booleans()),
        "init": draw(st.sampled_from(["he_normal", "xavier_uniform"])),
    }


def strides(padding, size):
    return st.just(1) if padding == "same" else size(st.integers(1, 4))


@st.composite
def conv2d(draw):
    args = draw(common_args(either))
    args["padding"] = draw(st.one_of(either(small), st.tuples(small, small, small, small), words))
    args["stride"] = draw(strides(args["padding"], either))
    size = draw(image_sizes(args["kernel_size"], args["dilation"], args["padding"]))
    return Case(L.Conv2d, args, (draw(few), args["in_channels"], *size), draw(seeds))


@st.composite
def conv1d(draw):
    args = draw(common_args(lambda element: element))
    args["padding"] = draw(st.one_of(small, st.tuples(small, small), words))
    args["stride"] = draw(strides(args["padding"], lambda element: element))
    reach = args["dilation"] * (args["kernel_size"] - 1) + 1
    added = borders(args["padding"], (1, reach))[1] if args["padding"] in WORDS else sum(both(args["padding"]))
    length = max(1, reach - added) + draw(st.integers(0, 4))
    return Case(L.Conv1d, args, (draw(few), args["in_channels"], length), draw(seeds))


@st.composite
def conv_transpose2d(draw):
    args = draw(common_args(either))
    args["padding"] = draw(st.one_of(either(small), st.tuples(small, small, small, small), words))
    args["stride"] = draw(strides(args["padding"], either))
    kernel, stride, dilation = (both(args[name]) for name in ("kernel_size", "stride", "dilation"))
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    args["output_padding"] = extra[0] if extra[0] == extra[1] and draw(st.booleans()) else extra
    size = []
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    for r, s, e, cropped in zip(reach, stride, extra, borders(args["padding"], reach), strict=True):
        smallest = 1 + max(0, -((r + e - cropped - 1) // s))  # one pixel of output is left
        size.append(smallest + draw(st.integers(0, 2)))
    return Case(L.ConvTranspose2d, args, (draw(few), args["in_channels"], *size), draw(seeds))


LAYERS = {L.Conv1d: conv1d(), L.Conv2d: conv2d(), L.ConvTranspose2d: conv_transpose2d()}
LINEAR = {L.Conv1d, L.Conv2d, L.ConvTranspose2d}
