"""Layers of several inputs, which the laws see as one array that is cut into them."""

from dataclasses import dataclass

from hypothesis import strategies as st

from xpcnn import layers as L
from xpcnn.layers import Layer
from xpcnn.ops.checks import check_shape, common

from .case import Case, few, seeds


class Packed(Layer):
    """A merging layer behind a cut: (N, all entries of a sample's inputs) to what the layer makes of these inputs."""

    def __init__(self, inner, shapes):
        self.inner, self.shapes = inner, shapes
        self.sizes = [_product(shape) for shape in shapes]

    def forward(self, x, *, train=False):
        xp = common("Packed", x=x)
        check_shape("Packed", "x", x.shape, ("N", sum(self.sizes)))
        parts, start = [], 0
        for size, shape in zip(self.sizes, self.shapes, strict=True):
            parts.append(xp.reshape(x[:, start : start + size], (x.shape[0], *shape)))
            start += size
        y, cache = self.inner.forward(tuple(parts), train=train)
        return y, self.keep(y, xp, cache) if train else None

    def backward(self, dy, cache):
        xp, own = self.recall(dy, cache)
        dxs, grads = self.inner.backward(dy, own)
        return xp.concat([xp.reshape(dx, (dy.shape[0], -1)) for dx in dxs], axis=1), grads

    def output_shape(self, input_shape):
        return self.inner.output_shape(self.shapes)


def _product(shape):
    out = 1
    for size in shape:
        out *= size
    return out


@dataclass(frozen=True, eq=False)
class MergeCase(Case):
    """A merging layer, and the shapes of its inputs without the batch axis."""

    shapes: tuple[tuple[int, ...], ...] = ()

    def layer(self, built=None):
        return Packed(self.cls(**self.args), self.shapes)

    def __repr__(self):
        return f"{super().__repr__()}, inputs of {self.shapes}"


def merging(cls, shapes, batch=2, seed=0, **args):
    return MergeCase(cls, args, (batch, sum(map(_product, shapes))), seed, shapes=tuple(map(tuple, shapes)))


shapes_of_one = st.lists(few, min_size=1, max_size=3).map(tuple)


@st.composite
def add(draw):
    return merging(L.Add, [draw(shapes_of_one)] * draw(st.integers(1, 4)), draw(few), draw(seeds))


@st.composite
def multiply(draw):
    whole = draw(shapes_of_one)
    stretched = [tuple(size if draw(st.booleans()) else 1 for size in whole) for _ in range(draw(few))]
    return merging(L.Multiply, draw(st.permutations([whole, *stretched])), draw(few), draw(seeds))


@st.composite
def concatenate(draw):
    first = draw(shapes_of_one)
    dim = draw(st.sampled_from([d for d in range(-len(first), len(first) + 1) if d]))
    place = dim - 1 if dim > 0 else dim
    shapes = [list(first) for _ in range(draw(few))]
    for shape in shapes:
        shape[place] = draw(few)
    return merging(L.Concatenate, shapes, draw(few), draw(seeds), dim=dim)


LAYERS = {L.Add: add(), L.Multiply: multiply(), L.Concatenate: concatenate()}
LINEAR = {L.Add, L.Concatenate}
