"""Images at another size."""

from hypothesis import strategies as st

from xpcnn import layers as L

from .case import Case, both, either, few, seeds


@st.composite
def upsample(draw):
    mode = draw(st.sampled_from(["nearest", "bilinear"]))
    args = {"mode": mode}
    h, w = (draw(st.integers(1, 6)) for _ in range(2))
    if draw(st.booleans()):
        args["size"] = draw(either(st.integers(1, 9)))
    else:
        # whole, fractional, and smaller than one; 1.1 keeps the size of small images
        factors = st.one_of(st.integers(1, 3), st.floats(0.3, 3.5), st.sampled_from([1.1, 0.5, 2.0, 1.5, 7 / 3]))
        args["scale_factor"] = draw(either(factors))
        least = min(both(args["scale_factor"]))
        h, w = (size if size * least >= 1.0 else 4 for size in (h, w))
    if mode == "bilinear":
        args["align_corners"] = draw(st.sampled_from([None, False, True]))
    return Case(L.Upsample, args, (draw(few), draw(few), h, w), draw(seeds))


LAYERS = {L.Upsample: upsample()}
LINEAR = {L.Upsample}
