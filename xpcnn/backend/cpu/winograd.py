"""
Convolution with 3x3 filters by Winograd's minimal filtering, F(2x2, 3x3): 16 products where 36 are usual.

Along one axis, two neighbouring outputs of a filter g of three taps see four inputs d, and

    m0 = (d0 - d2) g0                       m1 = (d1 + d2) (g0 + g1 + g2) / 2
    m3 = (d1 - d3) (-g2)                    m2 = (d2 - d1) (g0 - g1 + g2) / 2
    y0 = m1 + m2 + m0                       y1 = m1 - m2 + m3

are their six products in four. (The paper has m3 with the other sign; this way, what happens to 0 and 3 is one
operation on arrays.) In two dimensions it is done along both axes: an output block of 2x2 pixels sees 4x4 inputs. The
sums over input channels are in the 16 products, so these are matrix products:

    U = G w G.T     V = B.T d B     M[i, j] = V[i, j] @ U[i, j]     y = A.T M A

for each of the 16 positions (i, j), with a row for each block and a column for each channel. All is linear, and the
gradient at the filters is the adjoint, dw = G.T (V.T @ (A dy A.T)) G, with

    B.T = [1  0 -1  0]      G = [ 1    0    0 ]      A.T = [1  1  1  0]
          [0  1  1  0]          [1/2  1/2  1/2]            [0  1 -1  1]
          [0 -1  1  0]          [1/2 -1/2  1/2]
          [0  1  0 -1]          [ 0    0   -1 ]

Source: Lavin and Gray (2016), "Fast algorithms for convolutional neural networks", section 4.1; Winograd (1980). Its
sums are shorter than the usual ones, and all factors are 1 and 1/2; over no more than 128 channels at a time, rounding
errors are no larger than those of the usual way.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .caches import working_set
from .memory import empty, scratch
from .threads import spread
from .windows import MOST_STRIPS, STRIP

__all__ = ["Winograd"]

# nanoseconds: for a number in a transformed array, for a multiply-add, for a number in U; only their ratio to those of
# windows.py matters
NUMBER, PRODUCT, WEIGHT = 0.5, 0.0235, 3.5

CHANNELS = 128  # in one sum


class Winograd:
    """
    A 3x3 convolution of stride 1 of images of one size; the methods are those of `WindowConvolution`.

    Parameters
    ----------
    image : (H, W, C)
    filters : int
    border : (top, bottom, left, right)
    dtype : numpy.dtype
    """

    def __init__(
        self, image: tuple[int, int, int], filters: int, border: tuple[int, int, int, int], dtype: np.dtype
    ) -> None:
        (h, w, c), (top, bottom, left, right) = image, border
        self.image, self.filters, self.dtype = image, filters, dtype
        self.rows, self.width = h + top + bottom - 2, w + left + right - 2
        self.output = (self.rows, self.width, filters)
        self.down, self.across = -(-self.rows // 2), -(-self.width // 2)  # blocks of 2x2 outputs
        # an odd size is filled up: the last block's second row or column is computed and left out
        odd_row, odd_column = self.rows % 2, self.width % 2
        self.border = (top, bottom + odd_row, left, right + odd_column)
        self.padded = (2 * self.down + 2, 2 * self.across + 2, c)
        self.odd = bool(odd_row or odd_column)
        # Rows of blocks that a core's cache holds, in parts of about the same size; where the matrices U are much
        # larger than that, as many as it takes to make reading U worth while.
        most = max(working_set() // 2, 4 * c * filters * dtype.itemsize)
        most = max(1, most // (16 * self.across * (c + filters) * dtype.itemsize))
        self.strip = most if most > self.down else -(-self.down // -(-self.down // most))

    @property
    def cost(self) -> float:
        """About how many nanoseconds the forward pass of an image takes."""
        blocks, c, o = self.down * self.across, self.image[2], self.filters
        numbers = 16 * (c + o) + 8 * o * self.odd  # an odd size is computed beside the output and copied
        return blocks * (numbers * NUMBER + 16 * c * o * PRODUCT) * self.dtype.itemsize / 4

    @property
    def cost_of_weights(self) -> float:
        """About how many nanoseconds it takes to transform the filters."""
        return 16 * self.image[2] * self.filters * WEIGHT * self.dtype.itemsize / 4

    @property
    def images(self) -> int:
        """Images that a tile should have at least."""
        return max(1, self.strip // self.down)

    @property
    def bytes(self) -> int:
        """What is worked on for one image, beside the strip of it that is transformed."""
        numbers = self.padded[0] * self.padded[1] * self.image[2] + self.rows * self.width * self.filters
        return numbers * self.dtype.itemsize

    def describe(self, images: int) -> str:
        """The way of computing, in a few words."""
        return "Winograd F(2x2, 3x3)"

    # Weights.

    def weights(self, w: np.ndarray) -> np.ndarray:
        """U = G w G.T of the filters (O, C, 3, 3), as 16 matrices (C, O)."""
        w = w.transpose(2, 3, 1, 0)
        u = empty((4, 4, *w.shape[2:]), w.dtype)

        def work(part: slice) -> None:
            g = w[:, :, part]
            half = scratch.empty("half filters", (4, *g.shape[1:]), w.dtype)
            _filter(g[0], g[1], g[2], half)
            _filter(half[:, 0], half[:, 1], half[:, 2], u[:, :, part].swapaxes(0, 1))

        self._by_channels(work)
        return u.reshape(16, *w.shape[2:])

    def _by_channels(self, work: Callable[[slice], None]) -> None:
        """Do something for some of the input channels at a time, on several threads."""
        channels = self.image[2]
        parts = max(1, min(channels, channels * self.filters // CHANNELS**2))
        spread(lambda i: work(slice(channels * i // parts, channels * (i + 1) // parts)), parts)

    def gradient_shape(self) -> tuple[int, ...]:
        """Shape of what :meth:`weight_gradient` gives."""
        return (16, self.image[2], self.filters)

    def filters_of(self, gradient: np.ndarray) -> np.ndarray:
        """The gradient at the filters, (O, C, 3, 3), from that at U: G.T dU G."""
        du = gradient.reshape(4, 4, self.image[2], self.filters)
        dw = empty((3, 3, *du.shape[2:]), du.dtype)

        def work(part: slice) -> None:
            u = du[:, :, part]
            half = scratch.empty("half filters", (3, *u.shape[1:]), du.dtype)
            _filter_adjoint(u, half)
            _filter_adjoint(half.swapaxes(0, 1), dw[:, :, part].swapaxes(0, 1))

        self._by_channels(work)
        return dw.transpose(3, 2, 0, 1)

    # A tile.

    def forward(self, x: np.ndarray, weights: np.ndarray, y: np.ndarray, turned: bool = False) -> None:
        """
        Write the convolution of a tile (m, H, W, C) into y (m, OH, OW, O), which is contiguous.

        With `turned` the weights are those of the other direction: of filters turned by half a turn, from O channels to
        C. A filter (g0, g1, g2) has U = (g0, u1, u2, -g2), and (g2, g1, g0) has (g2, u1, u2, -g0): it takes no more
        than to exchange the first and the last, and their sign.
        """
        x = self._split(x)
        weights = weights.swapaxes(1, 2) if turned else weights
        pieces = self._pieces(len(y))

        def work(i: int) -> None:
            v = self._inputs(x, *pieces[i], turned)
            self._outputs(self._products(v, weights), y, *pieces[i], turned)

        if len(y) == 1:  # several threads share a large image
            spread(work, len(pieces))
            return
        for i in range(len(pieces)):
            work(i)

    def weight_gradient(self, x: np.ndarray, dy: np.ndarray, out: np.ndarray) -> None:
        """Write what a tile contributes to the gradient at U."""
        x = self._split(x)
        into = out
        for images, rows in self._pieces(len(dy)):
            v = self._inputs(x, images, rows)
            np.matmul(v.swapaxes(1, 2), self._outputs_adjoint(dy, images, rows), out=into)
            if into is out:
                into = scratch.empty("gradient", self.gradient_shape(), self.dtype)
            else:
                out += into

    def _products(self, v: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """M = V @ U, (16, blocks, O): in sums of so few channels that rounding errors stay as small as usual."""
        products = scratch.empty("products", (16, v.shape[1], self.filters), self.dtype)
        np.matmul(v[..., :CHANNELS], weights[:, :CHANNELS], out=products)
        for c in range(CHANNELS, v.shape[2], CHANNELS):
            more = scratch.empty("more products", products.shape, self.dtype)
            np.matmul(v[..., c : c + CHANNELS], weights[:, c : c + CHANNELS], out=more)
            products += more
        return products

    def _pieces(self, images: int) -> list[tuple[slice, slice]]:
        """What is transformed at a time: some rows of blocks of an image, or several whole images."""
        strip, several = self.strip, max(1, self.strip // self.down)
        if images == 1:
            parts = min(MOST_STRIPS, 16 * self.down * self.across * self.image[2] * self.filters // STRIP)
            strip = min(strip, -(-self.down // max(1, parts)))
        return [
            (slice(image, min(image + several, images)), slice(row, min(row + strip, self.down)))
            for image in range(0, images, several)
            for row in range(0, self.down, strip)
        ]

    def _split(self, x: np.ndarray) -> np.ndarray:
        """
        A tile with its border, even and odd columns apart: (m, PH, 2, PW / 2, C).

        The columns that are added and subtracted below then lie in one piece, as the rows do anyway.
        """
        (h, w, c), (top, _, left, _), (ph, pw, _) = self.image, self.border, self.padded
        out = scratch.empty("padded", (len(x), ph, 2, pw // 2, c), self.dtype)
        if any(self.border):
            out[...] = 0.0  # one long operation is better than many short ones around the edge
        for parity in range(2):
            first = (left + parity) % 2  # the first column of x that goes here
            start = (left + first) // 2
            columns = out[:, top : top + h, parity, start : start + (w - first + 1) // 2]
            columns[...] = x[:, :, first::2]
        return out

    def _inputs(self, x: np.ndarray, images: slice, rows: slice, turned: bool = False) -> np.ndarray:
        """V = B.T d B of a piece, (16, blocks, C)."""
        across, c = self.across, self.image[2]
        k, r = images.stop - images.start, rows.stop - rows.start
        image, row, *inside = x.strides
        half = scratch.empty("half", (4, k, r, 2, across + 1, c), self.dtype)
        # the four rows that a block sees begin one row after the other
        shape, strides = half.shape, (row, image, 2 * row, *inside)
        start = images.start * image + 2 * rows.start * row
        d = np.ndarray(shape, self.dtype, x, start, strides)
        _input(d[:2], d[2:], half, turned)
        d = half.transpose(3, 0, 1, 2, 4, 5)  # even and odd columns; the next block's are one further
        v = scratch.empty("inputs", (4, 4, k, r, across, c), self.dtype)
        _input(d[..., :-1, :], d[..., 1:, :], v.swapaxes(0, 1), turned)
        return v.reshape(16, k * r * across, c)

    def _outputs(self, products: np.ndarray, y: np.ndarray, images: slice, rows: slice, turned: bool) -> None:
        """Write y = A.T M A of a piece into the tile."""
        o, across = self.filters, self.across
        k, r = images.stop - images.start, rows.stop - rows.start
        half = scratch.empty("half out", (2, 4, k, r, across, o), self.dtype)
        _output(products.reshape(4, 4, k, r, across, o), half, half, turned)
        if self.odd:
            block = scratch.empty("block", (k, r, 2, across, 2, o), self.dtype)
        else:
            block = y.reshape(len(y), self.down, 2, across, 2, o)[images, rows]
        into = block.transpose(4, 2, 0, 1, 3, 5)  # (column, row, image, ...)
        middle = scratch.empty("middle", into.shape, self.dtype)  # in one piece, which y is not
        _output(half.swapaxes(0, 1), into, middle, turned)
        if self.odd:
            part = y[images, 2 * rows.start : 2 * rows.stop]
            part[...] = block.reshape(k, 2 * r, 2 * across, o)[:, : part.shape[1], : self.width]

    def _outputs_adjoint(self, dy: np.ndarray, images: slice, rows: slice) -> np.ndarray:
        """A dy A.T of a piece, (16, blocks, O)."""
        o, across = self.filters, self.across
        k, r = images.stop - images.start, rows.stop - rows.start
        # (row, column, image, ...): even and odd ones apart, as in _split
        block = scratch.empty("block", (2, 2, k, r, across, o), self.dtype)
        if self.odd:
            block[...] = 0.0
        for i, row in enumerate(block):
            for j, part in enumerate(row):
                of = dy[images, 2 * rows.start + i : 2 * rows.stop : 2, j::2]
                part[:, : of.shape[1], : of.shape[2]] = of
        half = scratch.empty("half out", (2, 4, k, r, across, o), self.dtype)  # (column of y, row of m)
        _output_adjoint(block, half.swapaxes(0, 1))
        dm = scratch.empty("products", (4, 4, k, r, across, o), self.dtype)
        _output_adjoint(half, dm.swapaxes(0, 1))
        return dm.reshape(16, k * r * across, o)


# Along the first axis. Where two of four go one way they are one operation: the fewer and the longer, the better.


def _input(one: np.ndarray, other: np.ndarray, v: np.ndarray, turned: bool) -> None:
    """B.T d of d = (d0, d1) and (d2, d3); `turned`, the first and the last exchanged, with the other sign."""
    if turned:
        np.subtract(other, one, out=v[::-3])
    else:
        np.subtract(one, other, out=v[::3])
    np.add(one[1], other[0], out=v[1])
    np.subtract(other[0], one[1], out=v[2])


def _output(m: np.ndarray, y: np.ndarray, middle: np.ndarray, turned: bool) -> None:
    """A.T m; `middle` is memory for a moment, and may be y."""
    np.add(m[1], m[2], out=middle[0])
    np.subtract(m[1], m[2], out=middle[1])
    np.add(middle, m[::-3] if turned else m[::3], out=y)


def _output_adjoint(y: np.ndarray, m: np.ndarray) -> None:
    """A y."""
    m[::3] = y
    np.add(y[0], y[1], out=m[1])
    np.subtract(y[0], y[1], out=m[2])


def _filter(g0: np.ndarray, g1: np.ndarray, g2: np.ndarray, u: np.ndarray) -> None:
    """G g."""
    u[0] = g0
    np.negative(g2, out=u[3])
    np.add(g0, g2, out=u[1])
    np.subtract(u[1], g1, out=u[2])
    u[1] += g1
    u[1:3] *= 0.5


def _filter_adjoint(u: np.ndarray, g: np.ndarray) -> None:
    """G.T u."""
    np.add(u[1], u[2], out=g[2])
    g[2] *= 0.5
    np.add(u[0], g[2], out=g[0])
    g[2] -= u[3]
    np.subtract(u[1], u[2], out=g[1])
    g[1] *= 0.5
