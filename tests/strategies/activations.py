"""Activations and softmax."""

from hypothesis import strategies as st

from xpcnn import layers as L

from .case import Case, any_rank, plain, seeds


@st.composite
def leaky_relu(draw):
    slope = draw(st.sampled_from([0.01, 0.0, 0.5, 1.0, 2.0, -0.3]))
    return Case(L.LeakyReLU, {"negative_slope": slope}, draw(any_rank()), draw(seeds))


def elementwise(cls, **options):
    """Any rank, with each option drawn from some values."""

    @st.composite
    def strategy(draw):
        args = {name: draw(st.sampled_from(values)) for name, values in options.items()}
        return Case(cls, args, draw(any_rank()), draw(seeds))

    return strategy()


@st.composite
def prelu(draw):
    shape = draw(any_rank())
    args = {"num_parameters": draw(st.sampled_from([1, shape[1]])), "init": draw(st.sampled_from([0.25, 0.0, -1.5]))}
    return Case(L.PReLU, args, shape, draw(seeds))


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
    L.ELU: elementwise(L.ELU, alpha=[1.0, 0.0, 0.3, 2.0, -0.5]),
    L.SELU: plain(L.SELU, any_rank()),
    L.GELU: elementwise(L.GELU, approximate=["none", "tanh"]),
    L.SiLU: plain(L.SiLU, any_rank()),
    L.Mish: plain(L.Mish, any_rank()),
    L.Hardswish: plain(L.Hardswish, any_rank()),
    L.Softplus: elementwise(L.Softplus, beta=[1.0, 0.5, 3.0], threshold=[20.0, 100.0]),
    L.PReLU: prelu(),
    L.Sigmoid: plain(L.Sigmoid, any_rank()),
    L.Tanh: plain(L.Tanh, any_rank()),
    L.Softmax: softmaxes(L.Softmax),
    L.LogSoftmax: softmaxes(L.LogSoftmax),
}
