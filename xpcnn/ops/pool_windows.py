"""Where the windows of pooling lie: settings and shapes, checked."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from xpcnn.backend import Array, array_namespace
from xpcnn.errors import ConfigError
from xpcnn.settings import flag

from .checks import check_images
from .geometry import Pads, Pair, output_size, pads, pair
from .windows import tap

__all__ = ["PoolWindows", "pool_shape", "pool_windows"]

Size = int | Sequence[int]


class PoolWindows(NamedTuple):
    """Where the windows lie on an image."""

    out: Pair
    kernel: Pair
    stride: Pair
    dilation: Pair
    border: Pads  # the padding, and behind it what ceil_mode lets the last windows reach over

    def taps(self) -> Iterator[tuple[int, slice, slice]]:
        """Number, rows and columns of each position in a window."""
        (oh, ow), (kh, kw), (sh, sw), (dh, dw) = self.out, self.kernel, self.stride, self.dilation
        for i in range(kh):
            for j in range(kw):
                yield i * kw + j, tap(i, oh, sh, dh), tap(j, ow, sw, dw)

    def zeros(self, like: Array, shape: tuple[int, ...]) -> Array:
        """Zeros for the images of that shape with their border, channels-last in memory."""
        xp = array_namespace(like)
        n, c, h, w = shape
        top, bottom, left, right = self.border
        size = (n, top + h + bottom, left + w + right, c)
        return xp.permute_dims(xp.zeros(size, dtype=like.dtype, device=like.device), (0, 3, 1, 2))


def pool_windows(
    who: str,
    shape: tuple[int, ...],
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
) -> PoolWindows:
    """
    Where the windows of a pooling layer lie on images of a shape (N, C, H, W).

    Raises
    ------
    ConfigError, ShapeError
    """
    kernel, dilations = pair(who, "kernel_size", kernel_size), pair(who, "dilation", dilation)
    ceil_mode = flag(who, "ceil_mode", ceil_mode)
    strides = kernel if stride is None else pair(who, "stride", stride)
    if isinstance(padding, str):
        message = f"{who}: expected padding in numbers, got {padding!r}"
        raise ConfigError(message)
    border = pads(who, padding, kernel)
    for before, after, k in ((*border[:2], kernel[0]), (*border[2:], kernel[1])):
        if max(before, after) > k // 2:
            message = f"{who}: expected padding of at most half the kernel {kernel}, got {padding!r}"
            raise ConfigError(message)
    check_images(who, shape)
    size = (shape[2], shape[3])
    out = output_size(who, size, kernel, strides, dilations, border, ceil_mode=ceil_mode)
    reach = []
    for axis in range(2):
        last = (out[axis] - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
        before, after = border[2 * axis], border[2 * axis + 1]
        reach += [before, max(after, last - size[axis] - before)]
    return PoolWindows(out, kernel, strides, dilations, (reach[0], reach[1], reach[2], reach[3]))


def pool_shape(
    who: str,
    shape: tuple[int, ...],
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> tuple[int, int, int, int]:
    """
    Shape (N, C, OH, OW) of a pooling layer's output.

    Examples
    --------
    >>> pool_shape("MaxPool2d", (2, 3, 7, 7), 2), pool_shape("MaxPool2d", (2, 3, 7, 7), 2, ceil_mode=True)
    ((2, 3, 3, 3), (2, 3, 4, 4))
    """
    return (*shape[:2], *pool_windows(who, shape, kernel_size, stride, padding, dilation, ceil_mode).out)  # type: ignore
