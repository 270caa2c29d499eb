"""
Which layers of a network are computed together, on CuPy arrays: in one kernel what would be several.

A layer with a rectifier behind it is one, and so are at inference a convolution and the batch norm behind it, by its
running statistics. What computes them stands in for the first of these layers: its name is theirs, for gradients and in
errors. It is made for one call, of the layers as they are then, so that nobody has to notice what somebody changes. For
the same reason the norm is folded into the weights in each call, on the device: weights change in place, and a captured
graph knows nothing but where they lie.

Where no kernel does all at once, the ops compute one by one, with equal bits.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from xpcnn import ops
from xpcnn.backend import Array, is_array, kernel, library
from xpcnn.layers import BatchNorm2d, Conv2d, Layer, ReLU
from xpcnn.ops.checks import common

from .tiled import Segment

__all__ = ["Folded", "Sum", "folds", "fuses", "segments"]


class Sum(NamedTuple):
    """What the last layers of a body are to add to their output, and whether to rectify that."""

    other: Array
    relu: bool


class Folded(Layer):
    """
    At inference: a convolution with batch norm behind it, then perhaps a sum, then perhaps a rectifier.

    Parameters
    ----------
    conv : Conv2d
    norm : BatchNorm2d
    relu : bool
    other : array, optional
        Added, if it has the shape of the output; who asked for the sum says so where it has not.
    """

    narrow = ("x", "y")  # weights are folded before they are rounded

    def __init__(self, conv: Any, norm: Any, relu: bool, other: Array | None = None) -> None:
        self.conv, self.norm, self.relu, self.other = conv, norm, relu, other

    def forward(self, x: Array, *, train: bool = False) -> tuple[Array, None]:
        conv, norm, settings = self.conv, self.norm, self.conv._settings()
        w, b = conv.params["weight"], conv.params.get("bias")
        buffers = norm.buffers["running_mean"], norm.buffers["running_var"]
        if conv._narrow is None:
            common("Conv2d", x=x, weight=w, bias=b)
        other = self.other
        if other is not None and tuple(other.shape) != ops.conv2d_shape(x.shape, w.shape, **settings):
            other = None
        learned = norm.params.get("weight"), norm.params.get("bias")
        return ops.conv2d_norm(x, w, b, *buffers, *learned, other, eps=norm.eps, relu=self.relu, **settings), None

    def backward(self, dy: Array, cache: Any) -> Any:
        raise NotImplementedError


def fuses(x: Array) -> bool:
    """Whether there are kernels of several layers for such arrays."""
    return is_array(x) and kernel("conv2d_norm", library(x)) is not None


def segments(children: Mapping[str, Layer], train: bool, adds: Sum | None = None) -> list[Segment]:
    """The layers of a chain, those together that are computed so."""
    rest, found = list(children.items()), []
    while rest:
        names, layers = zip(*rest[:3], strict=True)
        count = 1
        stand_in: Layer | None = None
        if not train and folds(layers[:2]):
            relu = type(layers[-1]) is ReLU
            count = len(layers) if relu else 2
            last = adds if count == len(rest) else None
            conv, norm = layers[:2]
            stand_in = Folded(conv, norm, relu or bool(last and last.relu), last and last.other)
        elif layers[0].rectifies and [type(one) for one in layers[1:2]] == [ReLU]:
            count, stand_in = 2, _rectified(layers[0])
        found.append(Segment(names[:count], fused=stand_in))
        rest = rest[count:]
    return found


def folds(layers: Sequence[Layer]) -> bool:
    """Whether these are a convolution and the batch norm behind it, by statistics that are known."""
    if [type(layer) for layer in layers] != [Conv2d, BatchNorm2d]:
        return False
    conv, norm = layers
    return norm.track_running_stats and norm.num_features == conv.out_channels  # type: ignore[attr-defined]


def _rectified(layer: Layer) -> Layer:
    """A copy that shares all arrays."""
    layer.params, layer.buffers  # noqa: B018  # drawn before, and not in the copy alone
    twin = copy.copy(layer)
    twin.rectified = True
    return twin
