"""
Convolution as one matrix product a tile: windows laid out in rows, several pixels of a row at a time.

A tile is a few images, (m, H, W, C) in memory. With a window of k pixels, s neighbouring outputs of a row see k + s - 1
pixels; taken together they are one output of s O channels and a window that is s - 1 pixels wider, whose weights are
the filter's, shifted by one pixel for each of the s outputs, and zeros elsewhere. The product has some zeros in it, but
s times fewer and longer pieces are copied, and a wide matrix multiplies faster: with one input channel twice as fast.
The output lies in memory as it would otherwise.
"""

from __future__ import annotations

import numpy as np

from .caches import level2
from .memory import scratch
from .products import matmul
from .threads import spread

__all__ = ["WindowConvolution"]

# nanoseconds: to begin a copied piece, to copy a byte, for a multiply-add, to add a number of a window to an image; and
# by how many columns a product seems wider. Only their ratios matter, and not much.
PIECE, BYTE, PRODUCT, NARROW, ADDITION = 5.0, 0.03, 0.0222, 5, 0.5
# multiply-adds and rows of the matrix in a strip of a single image, at least; strips, at most
STRIP, PLACES, MOST_STRIPS = 1 << 23, 64, 8


class WindowConvolution:
    """
    A convolution of images of one size.

    Parameters
    ----------
    image : (H, W, C)
    filters : int
        Output channels O.
    kernel, stride, dilation : pairs (height, width)
    border : (top, bottom, left, right)
        Zeros around the image.
    dtype : numpy.dtype
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        filters: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        dilation: tuple[int, int],
        border: tuple[int, int, int, int],
        dtype: np.dtype,
    ) -> None:
        (h, w, c), (kh, kw), (sh, sw), (dh, dw), (top, bottom, left, right) = image, kernel, stride, dilation, border
        self.image, self.filters, self.kernel, self.stride, self.dilation = image, filters, kernel, stride, dilation
        self.border, self.dtype = border, dtype
        self.padded = (h + top + bottom, w + left + right, c)
        self.rows = (self.padded[0] - dh * (kh - 1) - 1) // sh + 1
        self.width = (self.padded[1] - dw * (kw - 1) - 1) // sw + 1
        self.output = (self.rows, self.width, filters)
        self.pixels = self._best_pixels()
        self.wide = kw + self.pixels - 1
        self.places = self.rows * self.width // self.pixels  # rows of the matrix, for one image
        self.terms = kh * self.wide * c  # its columns
        self.plain = kernel == (1, 1) and stride == (1, 1) and not any(border)

    @property
    def cost(self) -> float:
        """About how many nanoseconds the forward pass of an image takes."""
        return self._cost(self.pixels)

    @property
    def strips(self) -> int:
        """Parts into which a single image is cut."""
        work = self.places * self.terms * self.pixels * self.filters
        return max(1, min(MOST_STRIPS, self.rows, work // STRIP, self.places // PLACES))

    @property
    def images(self) -> int:
        """Images that a tile should have at least: where the weights are large, reading them has to be worth while."""
        large = self.terms * self.pixels * self.filters * self.dtype.itemsize > level2() // 4
        return max(1, 128 // self.places) if large else 1

    @property
    def bytes(self) -> int:
        """What is worked on for one image."""
        return (self.places * self.terms + 2 * self.rows * self.width * self.filters) * self.dtype.itemsize

    def _cost(self, pixels: int, training: bool = False) -> float:
        """About how many nanoseconds an image takes, forward, or in all three products of a training step."""
        wide = self.kernel[1] + pixels - 1
        places, run = self.rows * self.width / pixels, wide * self.image[2]
        numbers, size = places * self.kernel[0] * run, self.dtype.itemsize
        copying = places * self.kernel[0] * PIECE + numbers * size * BYTE
        columns = pixels * self.filters  # of the matrix of weights: narrow ones multiply slower
        product = numbers * (columns + NARROW) * PRODUCT * size / 4
        return 2 * copying + 3 * product + numbers * ADDITION * size / 4 if training else copying + product

    def _best_pixels(self) -> int:
        if self.stride[1] != 1 or self.dilation[1] != 1 or self.kernel[1] == 1:
            return 1
        choices = (s for s in range(1, 9) if self.width % s == 0)
        return min(choices, key=lambda pixels: self._cost(pixels, training=True))

    def describe(self, images: int) -> str:
        """The way of computing so many images, in a few words."""
        if self.plain:
            return "a matrix product, no copies"
        text = "windows" if self.pixels == 1 else f"windows, {self.pixels} pixels at a time"
        return text if images > 1 or self.strips == 1 else f"{text}, {self.strips} strips of the image"

    # Weights.

    def weights(self, w: np.ndarray) -> np.ndarray:
        """Filters (O, C, KH, KW) as the matrix to multiply windows by, (terms, pixels * O)."""
        w = w.transpose(2, 3, 1, 0)
        kh, kw, c, o = w.shape
        if self.pixels == 1:
            return w.reshape(-1, o)
        matrix = np.zeros((kh, self.wide, c, self.pixels, o), w.dtype)
        for t in range(self.pixels):
            matrix[:, t : t + kw, :, t, :] = w
        return matrix.reshape(self.terms, -1)

    def gradient_shape(self) -> tuple[int, ...]:
        """Shape of what :meth:`weight_gradient` gives."""
        return (self.terms, self.pixels * self.filters)

    def filters_of(self, gradient: np.ndarray) -> np.ndarray:
        """The gradient at the filters, (O, C, KH, KW), from that at the matrix: the adjoint of :meth:`weights`."""
        (kh, kw), c = self.kernel, self.image[2]
        matrix = gradient.reshape(kh, self.wide, c, self.pixels, self.filters)
        w = matrix[:, :kw, :, 0, :]
        for t in range(1, self.pixels):
            w = w + matrix[:, t : t + kw, :, t, :]
        return w.transpose(3, 2, 0, 1)

    # A tile.

    def forward(self, x: np.ndarray, weights: np.ndarray, y: np.ndarray) -> None:
        """Write the convolution of a tile (m, H, W, C) into y (m, OH, OW, O), which is contiguous."""
        parts = 1 if len(x) > 1 else self.strips
        if parts == 1:
            product = np.matmul if len(x) > 1 else matmul  # one small image: several threads share the filters
            product(self._windows(self._padded(x)), weights, y.reshape(-1, self.pixels * self.filters))
            return
        # one large image: several threads, and each strip of its rows fits into a cache
        x = self._padded(x)

        def work(i: int) -> None:
            first, stop = self.rows * i // parts, self.rows * (i + 1) // parts
            out = y[:, first:stop].reshape(-1, self.pixels * self.filters)
            np.matmul(self._windows(x, first, stop), weights, out=out)

        spread(work, parts)

    def weight_gradient(self, x: np.ndarray, dy: np.ndarray, out: np.ndarray) -> None:
        """Write what a tile contributes to the gradient at the matrix."""
        np.matmul(self._windows(self._padded(x)).T, dy.reshape(-1, self.pixels * self.filters), out=out)

    def scatter(self, dy: np.ndarray, weights: np.ndarray, dx: np.ndarray) -> None:
        """
        Write the gradient at the input of a tile into dx: that of each window, added up where windows overlap.

        First along the height, in long runs, which leaves a KH-th of the numbers to be added along the width.
        """
        m, s, c = len(dy), self.pixels, self.image[2]
        dy = dy.reshape(-1, s * self.filters)
        if self.plain:
            np.matmul(dy, weights.T, out=dx.reshape(-1, c))
            return
        (kh, _), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        (height, width, _), n, b = self.padded, self.width // s, self.dtype.itemsize
        columns = scratch.empty("columns", (m, self.rows, n, kh, self.wide * c), self.dtype)
        np.matmul(dy, weights.T, out=columns.reshape(-1, self.terms))
        down = scratch.empty("down", (m, height, n, self.wide * c), self.dtype)
        down[...] = 0.0
        for i in range(kh):
            part = down[:, i * dh : i * dh + sh * (self.rows - 1) + 1 : sh]
            part += columns[:, :, :, i]
        into = scratch.empty("padded", (m, *self.padded), self.dtype) if any(self.border) else dx
        into[...] = 0.0
        row = width * c * b
        for j in range(0, self.wide, s):
            taps = min(s, self.wide - j)  # as many as do not meet those of the next window
            shape, strides = (m, height, n, taps * c), (height * row, row, s * sw * c * b, b)
            part = np.ndarray(shape, self.dtype, into, j * dw * c * b, strides)
            part += down[..., j * c : (j + taps) * c]
        if into is not dx:
            dx[...] = self._inside(into)

    def _inside(self, padded: np.ndarray) -> np.ndarray:
        (h, w, _), (top, _, left, _) = self.image, self.border
        return padded[:, top : top + h, left : left + w]

    def _padded(self, x: np.ndarray) -> np.ndarray:
        """A tile with its border, contiguous."""
        if any(self.border):
            return pad(x, self.padded, self.border, self.dtype)
        if x.flags.c_contiguous:
            return x
        copied = scratch.empty("padded", (len(x), *self.padded), self.dtype)
        copied[...] = x
        return copied

    def _windows(self, x: np.ndarray, first: int = 0, stop: int | None = None) -> np.ndarray:
        """The windows of a tile with border in rows, (m * places, terms); or those of some rows of outputs."""
        m, c = len(x), self.image[2]
        if self.plain:
            return x[:, first:stop].reshape(-1, c)
        rows = (self.rows if stop is None else stop) - first
        (kh, _), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        b, n = self.dtype.itemsize, self.width // self.pixels
        sx = c * b
        sy, sm = self.padded[1] * sx, self.padded[0] * self.padded[1] * sx
        if dw == 1:
            shape: tuple[int, ...] = (m, rows, n, kh, self.wide * c)
            strides: tuple[int, ...] = (sm, sy * sh, sx * sw * self.pixels, sy * dh, b)
        else:
            shape = (m, rows, n, kh, self.wide, c)
            strides = (sm, sy * sh, sx * sw, sy * dh, sx * dw, b)
        columns = scratch.empty("columns", shape, self.dtype)
        columns[...] = np.ndarray(shape, self.dtype, x, first * sh * sy, strides)
        return columns.reshape(m * rows * n, self.terms)


def pad(
    x: np.ndarray, padded: tuple[int, int, int], border: tuple[int, int, int, int], dtype: np.dtype
) -> np.ndarray:
    """A tile (m, H, W, C) with a border of zeros, in this thread's scratch memory."""
    out = scratch.empty("padded", (len(x), *padded), dtype)
    top, bottom, left, right = border
    out[...] = 0.0  # one long operation is better than four short ones around the edge
    out[:, top : padded[0] - bottom, left : padded[1] - right] = x
    return out
