"""Sliding windows as a view, on the libraries that let one choose the strides of an array."""

from typing import Any

import numpy as np

from .cuda import launch
from .namespace import Array
from .registry import accelerates

__all__ = ["strided_windows"]


def _layout(x: Array, strides: tuple[int, ...], kernel: Any, stride: Any, dilation: Any) -> tuple[Any, Any]:
    """Shape and strides of the view ``v[n, oh, ow, kh, kw, c] = x[n, oh*s + kh*d, ow*s + kw*d, c]``."""
    n, h, w, c = x.shape
    (kh, kw), (sh, sw), (dh, dw) = kernel, stride, dilation
    oh = (h - dh * (kh - 1) - 1) // sh + 1
    ow = (w - dw * (kw - 1) - 1) // sw + 1
    sn, sy, sx, sc = strides
    return (n, oh, ow, kh, kw, c), (sn, sy * sh, sx * sw, sy * dh, sx * dw, sc)


@accelerates("windows", "numpy")
def strided_windows(x: Array, kernel: Any, stride: Any, dilation: Any) -> Array:
    """Read-only view of the windows of a channels-last NumPy array; see :func:`xpcnn.ops.windows.windows`."""
    shape, strides = _layout(x, x.strides, kernel, stride, dilation)
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)


@accelerates("windows", "cupy")
def _cupy_windows(x: Array, kernel: Any, stride: Any, dilation: Any) -> Array:
    shape, strides = _layout(x, x.strides, kernel, stride, dilation)
    return launch.cupy().lib.stride_tricks.as_strided(x, shape, strides)


@accelerates("windows", "torch")
def _torch_windows(x: Array, kernel: Any, stride: Any, dilation: Any) -> Array:
    shape, strides = _layout(x, x.stride(), kernel, stride, dilation)
    return x.as_strided(shape, strides, x.storage_offset())
