"""Pooling."""

from hypothesis import strategies as st

from xpcnn import layers as L

from .case import Case, borders, both, either, few, image_sizes, images, plain, seeds


@st.composite
def pool_args(draw):
    kernel = draw(either(few))
    most = [k // 2 for k in both(kernel)]
    high, wide = st.integers(0, most[0]), st.integers(0, most[1])
    padding = draw(st.one_of(st.integers(0, min(most)), st.tuples(high, wide), st.tuples(wide, wide, high, high)))
    return {
        "kernel_size": kernel,
        "stride": draw(st.one_of(st.none(), either(st.integers(1, 4)))),
        "padding": padding,
        "ceil_mode": draw(st.booleans()),
    }


@st.composite
def max_pool2d(draw):
    args = draw(pool_args())
    # with dilation a window may hold nothing but padding; then there is no maximum to speak of
    args["dilation"] = 1 if any(borders(args["padding"], (1, 1))) else draw(either(few))
    size = draw(image_sizes(args["kernel_size"], args["dilation"], args["padding"]))
    return Case(L.MaxPool2d, args, (draw(few), draw(few), *size), draw(seeds))


@st.composite
def avg_pool2d(draw):
    args = draw(pool_args()) | {"count_include_pad": draw(st.booleans())}
    size = draw(image_sizes(args["kernel_size"], 1, args["padding"]))
    return Case(L.AvgPool2d, args, (draw(few), draw(few), *size), draw(seeds))


@st.composite
def adaptive(draw, cls):
    """Windows that overlap, that are equal, that are single pixels, and more windows than pixels."""
    one = st.integers(1, 5)
    size = draw(st.one_of(one, st.tuples(st.one_of(st.none(), one), st.one_of(st.none(), one))))
    shape = (draw(few), draw(few), draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    return Case(cls, {"output_size": size}, shape, draw(seeds))


LAYERS = {
    L.AdaptiveAvgPool2d: adaptive(L.AdaptiveAvgPool2d),
    L.AdaptiveMaxPool2d: adaptive(L.AdaptiveMaxPool2d),
    L.MaxPool2d: max_pool2d(),
    L.AvgPool2d: avg_pool2d(),
    L.GlobalAvgPool2d: plain(L.GlobalAvgPool2d, images()),
    L.GlobalMaxPool2d: plain(L.GlobalMaxPool2d, images()),
}
LINEAR = {L.AdaptiveAvgPool2d, L.AvgPool2d, L.GlobalAvgPool2d}
