"""Borders."""

from hypothesis import strategies as st

from xpcnn import layers as L

from .case import Case, few, seeds


@st.composite
def padded(draw, cls, most=None):
    """Borders of any width, and crops that leave something; `most` is how much less than the image a border must be."""
    h, w = (draw(st.integers(1, 4)) for _ in range(2))
    shape = (draw(few), draw(few), h, w)

    def side(size, other=0):
        widest = 5 if most is None else max(size - most, 0)
        return draw(st.integers(max(1 - size - other, -size), widest))

    if draw(st.booleans()):
        widest = 3 if most is None else min(h, w) - most
        padding = draw(st.integers(-((min(h, w) - 1) // 2), widest))
    else:
        left, top = side(w), side(h)
        padding = (left, side(w, left), top, side(h, top))
    return Case(cls, {"padding": padding}, shape, draw(seeds))


LAYERS = {
    L.ZeroPad2d: padded(L.ZeroPad2d),
    L.ReflectionPad2d: padded(L.ReflectionPad2d, most=1),
    L.ReplicationPad2d: padded(L.ReplicationPad2d),
}
LINEAR = set(LAYERS)
