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

from xpcnn.backend import Array, Key, cpu, is_array, kernel, library
from xpcnn.errors import XpcnnError
from xpcnn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Layer, MaxPool2d, ReLU
from xpcnn.ops.geometry import pads, pair

__all__ = ["Plans", "Segment"]


class Segment(NamedTuple):
    """
    Some layers in a row.

    ``run`` computes them together; where it is None there is one layer, which computes itself. ``order`` gives for each
    node of the run the name of its layer.
    """

    names: tuple[str, ...]
    run: Any = None
    order: tuple[str, ...] = ()


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
        children = self._children
        known = is_array(x) and kernel("run", library(x)) is not None
        if not known or 0 in x.shape or not _fits(x, children.values()):
            return [Segment((name,)) for name in children]
        settings = tuple(_SETTINGS[type(c)](c, train) for c in children.values() if type(c) in _SETTINGS)
        key = (x.shape[1:], x.dtype, train, settings)
        if key not in self._found:
            self._found[key] = self._make(tuple(x.shape[1:]), x.dtype, train)
        segments, smallest = self._found[key]
        return segments if x.shape[0] >= smallest else [Segment((name,)) for name in children]

    def _make(self, shape: tuple[int, ...], dtype: Any, train: bool) -> tuple[list[Segment], int]:
        """The segments for samples of that shape, and the smallest batch that they can take."""
        segments: list[Segment] = []
        smallest = 1
        run: list[tuple[str, Any]] = []

        def end() -> None:
            if run:
                nodes = _pool_first(run)
                names = tuple(name for name, _ in run)
                segments.append(Segment(names, cpu.Run([n for _, n in nodes], dtype), tuple(n for n, _ in nodes)))
                run.clear()

        try:
            for name, layer in self._children.items():
                out = layer.output_shape(shape)  # no node is made of a shape that does not fit
                node = _node(layer, shape, dtype, train)
                smallest = max(smallest, layer.min_batch(shape))
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
            return [Segment((name,)) for name in self._children], 1
        return segments, smallest


def as_it_comes(segment: Segment, x: Array) -> tuple[Segment, ...]:
    """The segment, or its layers one by one where a layer of the user's own gave something else than it announced."""
    run = segment.run
    if run is None or (is_array(x) and x.dtype == run.dtype and _last(x).shape[1:] == run.shapes[0]):
        return (segment,)
    return tuple(Segment((name,)) for name in segment.names)


def forward(
    segment: Segment, children: Mapping[str, Layer], x: Array, train: bool, key: Key
) -> tuple[Array, Any]:
    """Output of a run, and what its backward pass needs."""
    keys = [key.child(name) if children[name].random else None for name in segment.order]
    y, frame = segment.run.forward(_last(x), _params(segment, children), keys, train)
    first = children[segment.order[0]]
    if segment.run.nodes[0].whole and train and first.track_running_stats:  # type: ignore[attr-defined]
        places = math.prod(x.shape) // x.shape[1]
        first.track(frame.shared[0].mean, frame.shared[0].var, places)  # type: ignore[attr-defined]
    return _first(y), frame if train else None


def backward(
    segment: Segment, children: Mapping[str, Layer], dy: Array, frame: Any, lowest: str | None, input_grad: bool
) -> tuple[Array | None, dict[str, dict[str, Array]]]:
    """Gradient at the input of a run, or of its layer `lowest`, and those at the parameters by layer."""
    params = _params(segment, children)
    first = 0 if lowest is None else segment.order.index(lowest)
    learns = [bool(children[name].params.keys() - children[name].frozen) for name in segment.order]
    dx, grads = segment.run.backward(_last(dy), frame, params, first, input_grad, learns)
    own = dict(zip(segment.order, grads, strict=True))
    return None if dx is None else _first(dx), own


def _params(segment: Segment, children: Mapping[str, Layer]) -> list[dict[str, Array]]:
    """Parameters and buffers of each node."""
    return [{**children[name].params, **children[name].buffers} for name in segment.order]


def _last(x: Array) -> Array:
    """Images with their channels last, as they lie in memory."""
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def _first(x: Array) -> Array:
    return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x


def _fits(x: Array, layers: Any) -> bool:
    """Whether all arrays are NumPy's and of one dtype."""
    if x.ndim not in (2, 4) or x.dtype.kind != "f":
        return False
    own = (a for c in layers if type(c) in _NODES for held in (c.params, c.buffers) for a in held.values())
    return all(library(a) == "numpy" and (a.dtype == x.dtype or a.dtype.kind != "f") for a in own)


def _pool_first(run: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """
    The nodes with max pooling before the rectifier that stands before it.

    The largest of rectified numbers is the rectified largest, the gradient goes the same way, and there is a fourth of
    the numbers left to rectify.
    """
    nodes = list(run)
    for i in range(len(nodes) - 1):
        (relu, first), (pool, second) = nodes[i : i + 2]
        if isinstance(first, cpu.ReLU) and isinstance(second, cpu.MaxPool):
            nodes[i : i + 2] = [(pool, second), (relu, cpu.ReLU(second.out, second.out, second.dtype))]
    return nodes


# Layers as nodes. A layer's settings can be changed after it was made, so they are part of what a plan is known by.


def _conv(layer: Conv2d, shape: tuple[int, ...], dtype: Any, train: bool) -> Any:
    if layer.groups != 1 or len(shape) != 3:
        return None
    border = pads("Conv2d", layer.padding, layer.kernel_size, layer.stride, layer.dilation)
    image = (shape[1], shape[2], shape[0])
    return cpu.Convolution(
        image, layer.out_channels, layer.kernel_size, layer.stride, layer.dilation, border, layer.bias, dtype
    )


def _relu(layer: ReLU, shape: tuple[int, ...], dtype: Any, train: bool) -> Any:
    own = _memory_order(shape)
    return None if own is None else cpu.ReLU(own, own, dtype)


def _pool(layer: MaxPool2d, shape: tuple[int, ...], dtype: Any, train: bool) -> Any:
    kernel_size, stride = pair("MaxPool2d", "kernel_size", layer.kernel_size), _stride(layer)
    plain = not any(pads("MaxPool2d", layer.padding, kernel_size)) and pair("", "", layer.dilation) == (1, 1)
    if len(shape) != 3 or not plain or kernel_size[0] * kernel_size[1] > 255:
        return None
    node = cpu.MaxPool((shape[1], shape[2], shape[0]), kernel_size, stride, dtype)
    # in ceil mode a last window may reach over the edge
    return node if layer.output_shape(shape)[1:] == node.out[:2] else None


def _dropout(layer: Dropout, shape: tuple[int, ...], dtype: Any, train: bool) -> Any:
    own = _memory_order(shape)
    return None if own is None else cpu.Dropout(own, layer.p if train else 0.0, dtype)


def _flatten(layer: Flatten, shape: tuple[int, ...], dtype: Any, train: bool) -> Any:
    own = _memory_order(shape)
    return None if own is None or len(own) != 3 else cpu.Flatten(own, dtype)


def _norm(layer: BatchNorm2d, shape: tuple[int, ...], dtype: Any, train: bool) -> Any:
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


def _node(layer: Layer, shape: tuple[int, ...], dtype: Any, train: bool) -> Any:
    make = _NODES.get(type(layer))
    return None if make is None else make(layer, shape, dtype, train)


_NODES: dict[type, Callable[..., Any]] = {
    BatchNorm2d: _norm,
    Conv2d: _conv,
    ReLU: _relu,
    MaxPool2d: _pool,
    Dropout: _dropout,
    Flatten: _flatten,
}

_SETTINGS: dict[type, Callable[..., Any]] = {
    Conv2d: lambda c, train: (c.stride, c.padding, c.dilation, c.groups, c.bias, c.out_channels, c.kernel_size),
    MaxPool2d: lambda c, train: (c.kernel_size, c.stride, c.padding, c.dilation, c.ceil_mode),
    Dropout: lambda c, train: c.p if train else None,
    BatchNorm2d: lambda c, train: (c.is_fixed(), c.eps, c.affine, c.track_running_stats),
}
