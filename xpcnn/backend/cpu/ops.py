"""
Kernels behind single functions of ``xpcnn.ops``: runs of one layer.

They answer None where the generic body does better or they lack an option (see :mod:`xpcnn.backend.registry`). A run
knows shapes and settings only, so one serves all calls that agree in these.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from xpcnn.backend.random import Key
from xpcnn.backend.registry import FLOATS, accelerates

from .conv import Convolution
from .nodes import Dropout, Node, channels_first, channels_last
from .norm import BatchNorm
from .pool import MaxPool
from .tiles import Frame, Run

__all__: list[str] = []  # they are found by their names in the registry

SMALL = 1 << 19  # numbers that the caches hold anyway: there only convolution and pooling gain from tiles

AXES = {"batch_norm": (4,), "dropout": (2, 4)}

Images = tuple[int, int, int]  # shape (H, W, C)


def lacks(op: str, shape: tuple[int, ...]) -> str:
    """What keeps the kernel of batch norm or dropout from an array, in a few words; nothing where it answers."""
    if len(shape) not in AXES[op]:
        return f"arrays of {len(shape)} axes"
    return f"fewer than {SMALL:,} numbers" if math.prod(shape) < SMALL else ""


# Convolution of one group. `cut` is the op's `Cuts`.


@accelerates("conv2d", "numpy")
def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, cut: Any) -> np.ndarray | None:
    """See :func:`xpcnn.ops.conv2d`."""
    if Convolution.lacks(cut.groups) or x.dtype not in FLOATS:
        return None
    params = {"weight": w} if b is None else {"weight": w, "bias": b}
    return _forward(_convolution(_images(x.shape), w.shape[0], cut, x.dtype), x, params)[0]


@accelerates("conv2d_backward", "numpy")
def conv2d_backward(
    dy: np.ndarray, x: np.ndarray, w: np.ndarray, cut: Any, input_grad: bool
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray] | None:
    """See :func:`xpcnn.ops.conv2d_backward`."""
    if Convolution.lacks(cut.groups) or x.dtype not in FLOATS:
        return None
    run = _convolution(_images(x.shape), w.shape[0], cut, x.dtype)
    dx, grads = _backward(run, dy, {"weight": w}, x=x, input_grad=input_grad)
    return dx, grads["weight"], grads["bias"]


@functools.lru_cache(256)
def _convolution(images: Images, filters: int, cut: Any, dtype: np.dtype) -> Run:
    return _run(Convolution(images, filters, cut.kernel, cut.stride, cut.dilation, cut.border, True, dtype))


# Max pooling. `win` is the op's `PoolWindows`, and x has its border already.


@accelerates("max_pool2d", "numpy")
def max_pool2d(x: np.ndarray, win: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """See :func:`xpcnn.ops.max_pool2d`."""
    if x.dtype not in FLOATS or not channels_last(x).flags.c_contiguous:
        return None  # in another memory order slices of the image are as good, and y need not be in this one
    run = _pool(_images(x.shape), win, x.dtype)
    if run is None:
        return None
    y, frame = _forward(run, x, {}, train=True)
    return y, channels_first(frame.kept[0])


@accelerates("max_pool2d_backward", "numpy")
def max_pool2d_backward(dy: np.ndarray, index: np.ndarray, shape: tuple[int, ...], win: Any) -> np.ndarray | None:
    """See :func:`xpcnn.ops.max_pool2d_backward`; the gradient has the border, `shape` has not."""
    if dy.dtype not in FLOATS or win.kernel[0] > win.stride[0] or win.kernel[1] > win.stride[1]:
        return None  # where windows overlap it is slower on one thread
    h, w, c = _images(shape)
    top, bottom, left, right = win.border
    run = _pool((top + h + bottom, left + w + right, c), win, dy.dtype)
    return None if run is None else _backward(run, dy, {}, kept=index)[0]


@functools.lru_cache(256)
def _pool(images: Images, win: Any, dtype: np.dtype) -> Run | None:
    if MaxPool.lacks(win.kernel, win.dilation):
        return None
    return _run(MaxPool(images, win.kernel, win.stride, dtype))


# Batch norm of images.


@accelerates("batch_statistics", "numpy")
def batch_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """See :func:`xpcnn.ops.batch_statistics`; in float64."""
    if not _many_images(x):
        return None
    run = _norm(_images(x.shape), 1.0, False, x.dtype)
    found = run.nodes[0].begin(channels_last(x), {}, run.tiles(len(x)))
    return found.mean, found.var


@accelerates("batch_norm", "numpy")
def batch_norm(
    x: np.ndarray, mean: np.ndarray, var: np.ndarray, w: np.ndarray | None, b: np.ndarray | None, eps: float
) -> np.ndarray | None:
    """See :func:`xpcnn.ops.batch_norm`."""
    if not _many_images(x):
        return None
    return _forward(_norm(_images(x.shape), eps, True, x.dtype), x, _statistics(mean, var, weight=w, bias=b))[0]


@accelerates("batch_norm_backward", "numpy")
def batch_norm_backward(
    dy: np.ndarray, x: np.ndarray, mean: np.ndarray, var: np.ndarray, w: np.ndarray | None, eps: float, fixed: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """See :func:`xpcnn.ops.batch_norm_backward`."""
    if not _many_images(x):
        return None
    params = _statistics(mean, var, weight=w)
    shared = _norm(_images(x.shape), eps, True, x.dtype).nodes[0].prepare(params, len(x))
    dx, grads = _backward(_norm(_images(x.shape), eps, fixed, x.dtype), dy, params, x=x, shared=shared)
    return dx, grads["weight"], grads["bias"]


@functools.lru_cache(256)
def _norm(images: Images, eps: float, fixed: bool, dtype: np.dtype) -> Run:
    return _run(BatchNorm(images, eps, True, fixed, dtype))


def _many_images(x: np.ndarray) -> bool:
    return x.dtype in FLOATS and not lacks("batch_norm", x.shape)


def _statistics(mean: np.ndarray, var: np.ndarray, **others: np.ndarray | None) -> dict[str, np.ndarray]:
    given = {name: a for name, a in others.items() if a is not None}
    return {"running_mean": mean, "running_var": var, **given}


# Dropout: the random numbers are what takes the time.


@accelerates("dropout", "numpy")
def dropout(x: np.ndarray, p: float, key: Key) -> tuple[np.ndarray, np.ndarray] | None:
    """See :func:`xpcnn.ops.dropout`."""
    if not p or x.dtype not in FLOATS or lacks("dropout", x.shape):
        return None
    y, frame = _forward(_dropout(channels_last(x).shape[1:], p, x.dtype), x, {}, key=key, train=True)
    return y, channels_first(frame.kept[0])


@functools.lru_cache(256)
def _dropout(shape: tuple[int, ...], p: float, dtype: np.dtype) -> Run:
    return _run(Dropout(shape, p, dtype))


# Runs of one node, from and to channels first.


def _run(node: Node) -> Run:
    return Run([node], node.dtype)


def _forward(
    run: Run, x: np.ndarray, params: dict[str, np.ndarray], *, key: Key | None = None, train: bool = False
) -> tuple[np.ndarray, Frame]:
    y, frame = run.forward(channels_last(x), [params], [key], train)
    return channels_first(y), frame


def _backward(
    run: Run,
    dy: np.ndarray,
    params: dict[str, np.ndarray],
    *,
    x: np.ndarray | None = None,
    kept: np.ndarray | None = None,
    shared: Any = None,
    input_grad: bool = True,
) -> tuple[Any, dict[str, np.ndarray]]:
    """Gradients at the input and at the parameters, from what a forward pass would have left."""
    if shared is None:
        shared = run.nodes[0].prepare(params, len(dy))
    x, kept = (None if a is None else channels_last(a) for a in (x, kept))
    frame = Frame([x, None], [kept], [shared])
    dx, (grads,) = run.backward(channels_last(dy), frame, [params], 0, input_grad, [True])
    return None if dx is None else channels_first(dx), grads


def _images(shape: tuple[int, ...]) -> Images:
    return shape[2], shape[3], shape[1]
