"""Activations and softmax."""

from hypothesis import strategies as st

from xpcnn import layers as L

from .case import Case, any_rank, plain, seeds


@st.composite
def leaky_relu(draw):
    slope = draw(st.sampled_from([0.01, 0.0, 0.5, 1.0, 2.0, -0.3]))
    return Case(L.LeakyReLU, {"negative_slope": slope}, draw(any_rank()), draw(seeds))


def softmaxes(cls):
    @st.composite
    def strategy(draw):
        shape = draw(any_rank())
        rank = len(shape)
        dim = draw(st.sampled_from([d for d in range(-rank + 1, rank) if d]))
        return Case(cls, {"dim": dim}, shape, draw(seeds))

    return strategy()


LAYERS = {
    L.ReLU: plain(L.ReLU, any_rank()),
    L.LeakyReLU: leaky_relu(),
    L.Sigmoid: plain(L.Sigmoid, any_rank()),
    L.Tanh: plain(L.Tanh, any_rank()),
    L.Softmax: softmaxes(L.Softmax),
    L.LogSoftmax: softmaxes(L.LogSoftmax),
}
