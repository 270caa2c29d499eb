"""
Convolution and its gradients by cuDNN, on images and filters that lie channels-last in memory.

The graphs have the names and shapes of :mod:`xpcnn.ops.conv`: images (N, C, H, W), filters (O, C / groups, KH, KW). In
which order they lie, strides say; how many groups there are follows from the shapes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpcnn.backend.cuda.launch import channels_first, channels_last, empty, launch, rows, wide
from xpcnn.backend.cuda.options import options
from xpcnn.backend.namespace import Array
from xpcnn.backend.registry import accelerates

from .plans import aligned, answers, plan, tensor_of

__all__: list[str] = []  # found by their names in the registry


@accelerates("conv2d", "cupy")
def conv2d(x: Array, w: Array, b: Array | None, cut: Any, relu: bool = False) -> Array | None:
    """
    See :func:`xpcnn.ops.conv2d`; the bias is added in the same kernel.

    Returns
    -------
    y : array, shape (N, O, OH, OW), channels-last in memory; None where cuDNN has no plan
    """
    if not answers(x, w):
        return None
    x, w = _last(x), _last(w)
    inputs = [x, w] if b is None else [x, w, _bias(b)]
    y = _images((x.shape[0], w.shape[0], *_places(x.shape, cut)), x.dtype)
    build = forward_relu if relu else forward
    made = plan(build, [tensor_of(a) for a in (*inputs, y)], options(), *_settings(cut), spare=relu)
    if made is None:
        return None
    made(*inputs, y)
    return y


@accelerates("conv2d_relu", "cupy")
def conv2d_relu(x: Array, w: Array, b: Array | None, cut: Any) -> Array | None:
    """As :func:`conv2d`, rectified in the same kernel, too."""
    return conv2d(x, w, b, cut, relu=True)


@accelerates("conv2d_norm", "cupy")
def conv2d_norm(
    x: Array, w: Array, b: Array | None, norm: tuple[Any, ...], eps: float, z: Array | None, relu: bool, cut: Any
) -> Array | None:
    """
    See :func:`xpcnn.ops.conv2d_norm`: the norm is a part of the weights and the bias, and all is one kernel.

    These are made anew in every call, by one kernel, from what stands in their memory then.

    Parameters
    ----------
    norm : tuple of mean, variance, scale and shift
        The last two may be None.
    z : array, shape of y, optional
        Added.

    Returns
    -------
    y : array, shape (N, O, OH, OW), channels-last in memory
        None where cuDNN has no plan, and where it is no gain.
    """
    mean, var, *others = norm
    of_one_kind = [a for a in (b, *others) if a is not None]
    if not answers(x) or w.dtype != wide(x.dtype) or mean.dtype != w.dtype or var.dtype != w.dtype:
        return None
    if any(a.dtype != w.dtype for a in of_one_kind):
        return None
    y = _images((x.shape[0], w.shape[0], *_places(x.shape, cut)), x.dtype)
    if not folding_pays(w.size, y.size, w.dtype == x.dtype):
        return None
    if z is not None and (z.dtype != x.dtype or z.shape != y.shape):
        return None
    folded, bias = _images(w.shape, x.dtype), empty((w.shape[0],), x.dtype)
    inputs = [_last(x), folded, _bias(bias)] + ([] if z is None else [_last(z)])
    build = (forward_relu if relu else forward) if z is None else (forward_add_relu if relu else forward_add)
    made = plan(build, [tensor_of(a) for a in (*inputs, y)], options(), *_settings(cut), spare=True)
    if made is None:
        return None
    arrays = [np.uintp(0) if a is None else rows(a) for a in (b, mean, var, *others)]
    sizes = np.int64(w.size), np.int64(w.size // w.shape[0]), np.float64(eps)
    last = channels_last(w), *arrays, channels_last(folded), bias, *sizes
    launch("norm", "fold", w.size, *last, Number=x.dtype, Stat=mean.dtype)
    made(*inputs, y)
    return y


def folding_pays(weights: int, outputs: int, of_one_dtype: bool) -> bool:
    """
    Whether to fold a norm into so many weights, for so many numbers in the images that come out.

    That is a pass over the weights in place of one over the images; and nothing where the weights are float32 beside
    images of 16 bits, and would be cast anyway.
    """
    return weights <= outputs or not of_one_dtype


@accelerates("conv2d_backward", "cupy")
def conv2d_backward(
    dy: Array, x: Array, w: Array, cut: Any, input_grad: bool
) -> tuple[Array | None, Array, None] | None:
    """
    See :func:`xpcnn.ops.conv2d_backward`; the op adds up the gradient at the bias.

    Returns
    -------
    dx, dw : arrays with the shapes of x and w, channels-last in memory
        dx is None without `input_grad`. Both at once are None where cuDNN has no plan for one of them.
    db : None
    """
    if not answers(x, w):
        return None
    dy, x, w = _last(dy), _last(x), _last(w)
    dx, dw = _images(x.shape, x.dtype) if input_grad else None, _images(w.shape, w.dtype)
    arguments = [(weight_gradient, (dy, x, dw))]
    if dx is not None:
        arguments.append((input_gradient, (dy, w, dx)))
    found = [plan(build, [tensor_of(a) for a in arrays], options(), *_settings(cut)) for build, arrays in arguments]
    if any(made is None for made in found):
        return None
    for made, (_, arrays) in zip(found, arguments, strict=True):
        made(*arrays)  # type: ignore[misc]  # none is None
    return dx, dw, None


# The graphs: operations that cuDNN makes one kernel of.


def forward(graph: Any, inputs: list[Any], *settings: Any) -> Any:
    """``y = conv(x, w)``, and ``+ b`` where there is one."""
    x, w, *bias = inputs
    y = graph.conv_fprop(image=x, weight=w, **_named(*settings))
    return graph.bias(input=y, bias=bias[0]) if bias else y


def forward_relu(graph: Any, inputs: list[Any], *settings: Any) -> Any:
    """What :func:`forward` gives, rectified."""
    return graph.relu(input=forward(graph, inputs, *settings))


def forward_add(graph: Any, inputs: list[Any], *settings: Any) -> Any:
    """What :func:`forward` gives, and the last input added."""
    *others, z = inputs
    return graph.add(a=forward(graph, others, *settings), b=z)


def forward_add_relu(graph: Any, inputs: list[Any], *settings: Any) -> Any:
    """What :func:`forward_add` gives, rectified."""
    return graph.relu(input=forward_add(graph, inputs, *settings))


def input_gradient(graph: Any, inputs: list[Any], *settings: Any) -> Any:
    """The gradient at x, given that at y."""
    dy, w = inputs
    return graph.conv_dgrad(loss=dy, filter=w, **_named(*settings))


def weight_gradient(graph: Any, inputs: list[Any], *settings: Any) -> Any:
    """The gradient at w, given that at y."""
    dy, x = inputs
    return graph.conv_wgrad(image=x, loss=dy, **_named(*settings))


def _settings(cut: Any) -> tuple[Any, ...]:
    top, bottom, left, right = cut.border
    return (top, left), (bottom, right), cut.stride, cut.dilation


def _named(before: Any, behind: Any, stride: Any, dilation: Any) -> dict[str, list[int]]:
    return {
        "pre_padding": list(before), "post_padding": list(behind), "stride": list(stride), "dilation": list(dilation)
    }


def _places(shape: tuple[int, ...], cut: Any) -> tuple[int, int]:
    """Windows along height and width."""
    top, bottom, left, right = cut.border
    sizes = zip((top + shape[2] + bottom, left + shape[3] + right), cut.kernel, cut.stride, cut.dilation, strict=True)
    oh, ow = ((size - d * (k - 1) - 1) // s + 1 for size, k, s, d in sizes)
    return oh, ow


def _last(x: Array) -> Array:
    """Images or filters that lie channels-last, where a kernel can read sixteen bytes at a time."""
    return channels_first(aligned(channels_last(x)))


def _bias(b: Array) -> Array:
    return aligned(b).reshape(1, -1, 1, 1)


def _images(shape: tuple[int, ...], dtype: Any) -> Array:
    n, c, h, w = shape
    return channels_first(empty((n, h, w, c), dtype))
