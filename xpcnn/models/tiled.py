"""
Which layers of a network are computed together, tile by tile, on NumPy arrays.

A pass over the layers finds runs of those that treat each sample by itself, and makes of each a
:class:`xpcnn.backend.cpu.Run`. Whatever is in no run is computed layer by layer, as on every other array library; so is
everything where ``XPCNN_KERNELS=generic`` says so, and where arrays are not what the network expects, because the
layers' own checks then say what is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from xpcnn import layers as L
from xpcnn.backend import Array, Key, cpu, is_array, kernel, library
from xpcnn.backend.registry import FLOATS
from xpcnn.errors import XpcnnError
from xpcnn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from xpcnn.ops.geometry import pads, pair

from .single import SingleLayer

__all__ = ["Plans", "Segment"]


SHAPES = 64  # for which plans are kept


class Segment(NamedTuple):
    """
    Some layers in a row.

    ``run`` computes them together; where it is None there is one layer, which computes itself. ``order`` gives for each
    node of the run the name of its layer, ``layers`` the layer. ``norms`` are those that a node computes beside its own
    layer: the node's number, the norm's name and the norm. ``expects`` are the shapes of all these layers' arrays.
    ``fused`` stands in for all of the layers without a run; see :mod:`.fused`.
    """

    names: tuple[str, ...]
    run: Any = None
    order: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    norms: tuple[tuple[int, str, Layer], ...] = ()
    expects: tuple[tuple[Layer, dict[str, tuple[int, ...]]], ...] = ()
    fused: Layer | None = None


class Plans:
    """
    The segments of a chain of layers, for every shape that was seen.

    Parameters
    ----------
    children : mapping of str to Layer
    """

    def __init__(self, children: Mapping[str, Layer]) -> None:
        self._children = children
        self._found: dict[Any, tuple[list[Segment], int]] = {}

    def __reduce__(self) -> tuple[type, tuple[Mapping[str, Layer]]]:
        return Plans, (self._children,)

    def of(self, x: Array, train: bool) -> list[Segment]:
        """The segments for a batch."""
        layers = self._children.values()
        known = is_array(x) and kernel("run", library(x)) is not None
        if not known or x.ndim not in (2, 4) or 0 in x.shape or x.dtype not in FLOATS:
            return self._one_by_one()
        single = x.shape[0] == 1 and not train
        # a layer's settings can be changed after it was made
        settings = [(id(layer), _SETTINGS.get(type(layer), _visible)(layer)) for layer in layers]
        key = (x.shape[1:], x.dtype, train, single, *settings)
        try:
            found = self._found.get(key)
        except TypeError:  # somebody set something that has no hash
            return self._one_by_one()
        if found is None:
            if len(self._found) >= SHAPES:
                self._found.clear()
            found = self._found[key] = self._make(tuple(x.shape[1:]), x.dtype, train, single)
        segments, smallest = found
        if x.shape[0] < smallest or not all(_suits(s, x.dtype) for s in segments):
            return self._one_by_one()
        return segments

    def _one_by_one(self) -> list[Segment]:
        return [Segment((name,)) for name in self._children]

    def _make(self, shape: tuple[int, ...], dtype: Any, train: bool, single: bool) -> tuple[list[Segment], int]:
        """The segments for samples of that shape, and the smallest batch that they can take."""
        segments: list[Segment] = []
        smallest = 1
        run: list[tuple[str, Any]] = []

        def end() -> None:
            if run:
                segments.append(self._segment(run, dtype, train))
                run.clear()

        try:
            for name, layer in self._children.items():
                out = layer.output_shape(shape)  # no node is made of a shape that does not fit
                node = _node(layer, shape, dtype, train, single)
                smallest = max(smallest, layer.min_batch(shape) if train or (node is not None and node.whole) else 1)
                shape = out
                if node is not None:
                    if node.whole:
                        end()
                    run.append((name, node))
                    continue
                end()
                segments.append(Segment((name,)))
            end()
        except XpcnnError:  # something does not fit: the layers say it better
            return self._one_by_one(), 1
        return segments, smallest

    def _segment(self, run: list[tuple[str, Any]], dtype: Any, train: bool) -> Segment:
        """The segment of some layers in a row, given by their names and nodes."""
        nodes = _pool_first(run)
        nodes, folded = (nodes, []) if train else _fold_norms(nodes)
        order = tuple(name for name, _ in nodes)
        layers = tuple(self._children[name] for name in order)
        norms = tuple((i, name, self._children[name]) for i, name, _ in folded)
        expects = [(layer, node.expects) for layer, (_, node) in zip(layers, nodes, strict=True)]
        expects += [(self._children[name], node.expects) for _, name, node in folded]
        names = tuple(name for name, _ in run)
        return Segment(names, cpu.Run([node for _, node in nodes], dtype), order, layers, norms, tuple(expects))


def as_it_comes(segment: Segment, x: Array) -> tuple[Segment, ...]:
    """The segment, or its layers one by one where a layer of the user's own gave something else than it announced."""
    run = segment.run
    if run is None or (is_array(x) and x.dtype == run.dtype and cpu.channels_last(x).shape[1:] == run.shapes[0]):
        return (segment,)
    return tuple(Segment((name,)) for name in segment.names)


def forward(segment: Segment, x: Array, train: bool, key: Key) -> tuple[Array, Any]:
    """Output of a run, and what its backward pass needs."""
    layers, run = segment.layers, segment.run
    named = zip(segment.order, layers, strict=True)
    keys = [key.child(name) if train and layer.random else None for name, layer in named]
    params: list[dict[str, Any]] = [_arrays(layer) for layer in layers]
    for i, _, norm in segment.norms:
        params[i] = {**params[i], "norm": _arrays(norm)}
    y, frame = run.forward(cpu.channels_last(x), params, keys, train)
    first = layers[0]
    if train and run.nodes[0].whole and isinstance(first, BatchNorm2d) and first.track_running_stats:
        first.track(frame.shared[0].mean, frame.shared[0].var, math.prod(x.shape) // x.shape[1])
    return cpu.channels_first(y), frame if train else None


def backward(
    segment: Segment, dy: Array, frame: Any, lowest: str | None, input_grad: bool
) -> tuple[Array | None, dict[str, dict[str, Array]]]:
    """Gradient at the input of a run, or of its layer `lowest`, and those at the parameters by layer."""
    first = 0 if lowest is None else segment.order.index(lowest)
    learns = [bool(layer.params.keys() - layer.frozen) for layer in segment.layers]
    params = [_arrays(layer) for layer in segment.layers]
    dx, grads = segment.run.backward(cpu.channels_last(dy), frame, params, first, input_grad, learns)
    return None if dx is None else cpu.channels_first(dx), dict(zip(segment.order, grads, strict=True))


def _arrays(layer: Layer) -> dict[str, Array]:
    """Parameters and buffers."""
    return {**layer.params, **layer.buffers} if layer.buffers else layer.params


def _suits(segment: Segment, dtype: Any) -> bool:
    """Whether parameters and buffers are still what the run was made for; somebody may have assigned others."""
    for layer, expects in segment.expects:
        for arrays in (layer.params, layer.buffers):
            if arrays and not cpu.suits(arrays, dtype, expects):
                return False
    return True


def _pool_first(run: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """
    The nodes with max pooling before the rectifier that stands before it.

    The largest of rectified numbers is the rectified largest, the gradient goes the same way, and there is a fourth of
    the numbers left to rectify.
    """
    nodes = list(run)
    for i in range(len(nodes) - 1):
        (relu, first), (pool, second) = nodes[i : i + 2]
        if isinstance(first, cpu.ReLU) and isinstance(second, (cpu.MaxPool, cpu.MaxPoolPairs)):
            nodes[i : i + 2] = [(pool, second), (relu, cpu.ReLU(second.out, second.out, second.dtype))]
    return nodes


def _fold_norms(run: Sequence[tuple[str, Any]]) -> tuple[list[tuple[str, Any]], list[tuple[int, str, Any]]]:
    """
    The nodes with batch norm by running statistics made a part of the convolution that stands before it.

    And which norms these are: for each the number of the convolution, its name and its node.
    """
    nodes: list[tuple[str, Any]] = []
    norms = []
    for name, node in run:
        last = nodes[-1][1] if nodes else None
        folds = isinstance(node, cpu.BatchNorm) and not node.whole
        if folds and isinstance(last, cpu.Convolution) and last.norm is None:
            nodes[-1] = (nodes[-1][0], last.folding(node))
            norms.append((len(nodes) - 1, name, node))
        else:
            nodes.append((name, node))
    return nodes, norms


# Layers as nodes. A layer's settings can be changed after it was made, so they are part of what a plan is known by.


def _conv(layer: Conv2d, shape: tuple[int, ...], dtype: Any, train: bool, single: bool) -> Any:
    if len(shape) != 3 or cpu.Convolution.lacks(layer.groups):
        return None
    border = pads("Conv2d", layer.padding, layer.kernel_size, layer.stride, layer.dilation)
    image = (shape[1], shape[2], shape[0])
    return cpu.Convolution(
        image, layer.out_channels, layer.kernel_size, layer.stride, layer.dilation, border, layer.bias, dtype
    )


def _relu(layer: ReLU, shape: tuple[int, ...], dtype: Any, train: bool, single: bool) -> Any:
    own = _memory_order(shape)
    return None if own is None else cpu.ReLU(own, own, dtype)


def _pool(layer: MaxPool2d, shape: tuple[int, ...], dtype: Any, train: bool, single: bool) -> Any:
    kernel_size, stride = pair("MaxPool2d", "kernel_size", layer.kernel_size), _stride(layer)
    border, dilation = pads("MaxPool2d", layer.padding, kernel_size), pair("MaxPool2d", "dilation", layer.dilation)
    if len(shape) != 3 or any(border) or cpu.MaxPool.lacks(kernel_size, dilation):
        return None
    image = (shape[1], shape[2], shape[0])
    pairs = kernel_size == stride == (2, 2)
    node = cpu.MaxPoolPairs(image, dtype) if pairs else cpu.MaxPool(image, kernel_size, stride, dtype)
    # in ceil mode a last window may reach over the edge
    return node if layer.output_shape(shape)[1:] == node.out[:2] else None


def _dropout(layer: Dropout, shape: tuple[int, ...], dtype: Any, train: bool, single: bool) -> Any:
    own = _memory_order(shape)
    return None if own is None else cpu.Dropout(own, layer.p if train else 0.0, dtype)


def _flatten(layer: Flatten, shape: tuple[int, ...], dtype: Any, train: bool, single: bool) -> Any:
    own = _memory_order(shape)
    return None if own is None or len(own) != 3 else cpu.Flatten(own, dtype)


def _linear(layer: Linear, shape: tuple[int, ...], dtype: Any, train: bool, single: bool) -> Any:
    # each tile reads the weights: a large matrix is for the whole batch
    small = layer.in_features * layer.out_features * dtype.itemsize <= cpu.level2() // 8
    return cpu.Linear(layer.in_features, layer.out_features, layer.bias, dtype) if small or single else None


def _norm(layer: BatchNorm2d, shape: tuple[int, ...], dtype: Any, train: bool, single: bool) -> Any:
    if len(shape) != 3:
        return None
    fixed = layer.track_running_stats and (layer.is_fixed() or not train)
    return cpu.BatchNorm((shape[1], shape[2], shape[0]), layer.eps, layer.affine, fixed, dtype)


def _stride(layer: MaxPool2d) -> tuple[int, int]:
    return pair("MaxPool2d", "stride", layer.kernel_size if layer.stride is None else layer.stride)


def _memory_order(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    if len(shape) == 3:
        return (shape[1], shape[2], shape[0])
    return shape if len(shape) == 1 else None


def _node(layer: Layer, shape: tuple[int, ...], dtype: Any, train: bool, single: bool) -> Any:
    make = _NODES.get(type(layer))
    node = None if make is None else make(layer, shape, dtype, train, single)
    if node is not None or type(layer) not in _BY_ITSELF:
        return node
    own, out = _memory_order(shape), _memory_order(layer.output_shape(shape))
    return None if own is None or out is None else SingleLayer(layer, own, out, dtype)


_NODES: dict[type, Callable[..., Any]] = {
    BatchNorm2d: _norm,
    Conv2d: _conv,
    ReLU: _relu,
    MaxPool2d: _pool,
    Dropout: _dropout,
    Flatten: _flatten,
    Linear: _linear,
}

# These treat each sample by itself, whatever their settings.
_BY_ITSELF = frozenset(
    {
        *(L.AdaptiveAvgPool2d, L.AdaptiveMaxPool2d, L.AvgPool2d, L.GlobalAvgPool2d, L.GlobalMaxPool2d, L.MaxPool2d),
        *(L.Conv2d, L.ConvTranspose2d, L.Dropout2d, L.Upsample, L.ReflectionPad2d, L.ReplicationPad2d, L.ZeroPad2d),
        *(L.ELU, L.GELU, L.Hardswish, L.LeakyReLU, L.Mish, L.PReLU, L.SELU, L.SiLU, L.Sigmoid, L.Softplus, L.Tanh),
        *(L.GroupNorm, L.LayerNorm, L.LocalResponseNorm, L.LogSoftmax, L.Softmax),
    }
)


def _visible(layer: Layer) -> Any:
    """All that can be set on a layer which computes itself; lists as tuples, since these have a hash."""
    if type(layer) not in _BY_ITSELF:
        return None
    return tuple(tuple(v) if type(v) is list else v for name, v in vars(layer).items() if name[0] != "_")


_SETTINGS: dict[type, Callable[[Any], Any]] = {
    BatchNorm2d: lambda c: (c.is_fixed(), c.eps, c.affine, c.track_running_stats),
    Conv2d: lambda c: (c.stride, c.padding, c.dilation, c.groups, c.bias, c.out_channels, c.kernel_size),
    Dropout: lambda c: c.p,
    Linear: lambda c: (c.in_features, c.out_features, c.bias),
    MaxPool2d: lambda c: (c.kernel_size, c.stride, c.padding, c.dilation, c.ceil_mode),
}
