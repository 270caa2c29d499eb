"""Convolutions: one window beside one filter. A transposed one's forward is another's backward, so both share this."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from xpcnn.layers import Conv1d, Conv2d, ConvTranspose2d
from xpcnn.ops.geometry import pads

from .page import Page, peak
from .record import Call
from .registry import backward, forward

Term = tuple[float, float]


class Windows(NamedTuple):
    """
    How windows of large images lie under the pixels of small ones.

    Weights are (A, B / groups, KH, KW): A channels of the small images, B of the large ones. A convolution makes the
    small from the large; a transposed one the large from the small.
    """

    weight: Any
    stride: tuple[int, int]
    dilation: tuple[int, int]
    top: int
    left: int
    groups: int

    def row(self, oh: int, i: int) -> int:
        """Row of the image that tap row i of windows in row oh reads."""
        return oh * self.stride[0] + i * self.dilation[0] - self.top

    def column(self, ow: int, j: int) -> int:
        """Column of the image that tap column j of windows in column ow reads."""
        return ow * self.stride[1] + j * self.dilation[1] - self.left

    def taps(self) -> Iterator[tuple[int, int]]:
        """All positions in the kernel, row by row."""
        _, _, kh, kw = self.weight.shape
        return ((i, j) for i in range(kh) for j in range(kw))

    def first(self, a: int) -> int:
        """First channel of the large images that filter a sees."""
        return a // (self.weight.shape[0] // self.groups) * self.weight.shape[1]

    def window(self, large: Any, n: int, a: int, b: int, oh: int, ow: int) -> list[list[float]]:
        """What lies under filter a at (oh, ow) in the b-th channel that it sees; zeros outside."""
        _, _, kh, kw = self.weight.shape
        c = self.first(a) + b
        return [[_at(large, n, c, self.row(oh, i), self.column(ow, j)) for j in range(kw)] for i in range(kh)]

    def gathered(self, large: Any, n: int, a: int, oh: int, ow: int) -> list[list[Term]]:
        """Weight times pixel, for each channel that filter a sees."""
        out = []
        for b in range(self.weight.shape[1]):
            window = self.window(large, n, a, b, oh, ow)
            out.append([(float(self.weight[a, b, i, j]), window[i][j]) for i, j in self.taps()])
        return out

    def scattered(self, small: Any, n: int, c: int, h: int, w: int) -> list[Term]:
        """Weight times pixel, for each window that covers (h, w) in channel c of the large images."""
        filters = self.weight.shape[0] // self.groups
        group, b = divmod(c, self.weight.shape[1])
        terms = []
        for a in range(group * filters, (group + 1) * filters):
            for i, j in self.taps():
                oh, below = divmod(h + self.top - i * self.dilation[0], self.stride[0])
                ow, beside = divmod(w + self.left - j * self.dilation[1], self.stride[1])
                inside = 0 <= oh < small.shape[2] and 0 <= ow < small.shape[3]
                if not below and not beside and inside:
                    terms.append((float(self.weight[a, b, i, j]), float(small[n, a, oh, ow])))
        return terms

    def met(self, small: Any, large: Any, index: tuple[int, ...]) -> list[Term]:
        """All pairs of pixels that the weight at an index multiplied, but for those outside of the image."""
        a, b, i, j = index
        c, terms = self.first(a) + b, []
        for n in range(small.shape[0]):
            for oh in range(small.shape[2]):
                for ow in range(small.shape[3]):
                    h, w = self.row(oh, i), self.column(ow, j)
                    if 0 <= h < large.shape[2] and 0 <= w < large.shape[3]:
                        terms.append((float(small[n, a, oh, ow]), float(large[n, c, h, w])))
        return terms


def _joined(parts: list[list[Term]]) -> list[Term]:
    return [term for part in parts for term in part]


def _at(a: Any, n: int, c: int, h: int, w: int) -> float:
    return float(a[n, c, h, w]) if 0 <= h < a.shape[2] and 0 <= w < a.shape[3] else 0.0


def _flat(call: Call) -> bool:
    return isinstance(call.layer, Conv1d)


def _image(a: Any, call: Call) -> Any:
    """Sequences as images of one row."""
    return a[..., None, :] if _flat(call) else a


def _index(index: tuple[int, ...], call: Call) -> tuple[int, ...]:
    return (*index[:-2], index[-1]) if _flat(call) else index


def _windows(call: Call) -> Windows:
    layer: Any = call.layer

    def two(value: Any, missing: int) -> tuple[int, int]:
        return (missing, value) if _flat(call) else value

    kernel, stride, dilation = two(layer.kernel_size, 1), two(layer.stride, 1), two(layer.dilation, 1)
    padding = layer.padding
    if _flat(call) and not isinstance(padding, str):
        padding = (*(padding if isinstance(padding, tuple) and len(padding) == 2 else (padding,) * 2), 0, 0)
    top, _, left, _ = pads(type(layer).__name__, padding, kernel, stride, dilation)
    return Windows(_image(call.params["weight"], call), stride, dilation, top, left, layer.groups)


@forward(Conv2d, Conv1d)
def conv(page: Page, call: Call) -> None:
    """The window with the strongest answer, beside the filter."""
    win, x, y = _windows(call), _image(call.x, call), _image(call.y, call)
    n, o, oh, ow = index = peak(y, page.n)
    products = win.gathered(x, n, o, oh, ow)
    b = max(range(len(products)), key=lambda k: abs(sum(f * v for f, v in products[k])))
    _, _, kh, kw = win.weight.shape
    c = win.first(o) + b
    if _flat(call):
        place = f"x[{n}, {c}, {_span(win.column(ow, 0), win.dilation[1], kw)}]"
    else:
        rows, columns = _span(win.row(oh, 0), win.dilation[0], kh), _span(win.column(ow, 0), win.dilation[1], kw)
        place = f"x[{n}, {c}, {rows}, {columns}]"
    page.line(f"the entry of y that is largest in size: its window in input channel {c}, and its filter there")
    page.grids((place, win.window(x, n, o, b, oh, ow)), (f"w[{o}, {b}]", win.weight[o, b]))
    bias = call.params.get("bias")
    lead = None if bias is None else (f"b[{o}]", float(bias[o]))
    page.total("y", _index(index, call), _joined(products), y[index], lead=lead)


def _span(start: int, step: int, count: int) -> str:
    return f"{start}:{start + step * (count - 1) + 1}" + (f":{step}" if step > 1 and count > 1 else "")


@forward(ConvTranspose2d)
def conv_transpose(page: Page, call: Call) -> None:
    """One pixel of the larger image, and all that were stamped on it."""
    win = _windows(call)
    n, o, oh, ow = index = peak(call.y, page.n)
    terms = win.scattered(call.x, *index)
    bias = call.params.get("bias")
    lead = None if bias is None else (f"b[{o}]", float(bias[o]))
    page.line(f"each pixel of x stamps the filter, times itself, onto y; y[{n}, {o}, {oh}, {ow}] is under {len(terms)}")
    page.total("y", index, terms, call.y[index], lead=lead)


@backward(Conv2d, Conv1d, ConvTranspose2d)
def conv_backward(page: Page, call: Call) -> None:
    """One entry of each gradient."""
    win, dy, dx = _windows(call), _image(call.dy, call), _image(call.dx, call)
    transposed = isinstance(call.layer, ConvTranspose2d)
    if "bias" in call.grads:
        o = peak(call.grads["bias"])[0]
        terms: list[tuple[float | None, float]] = [(None, v) for v in dy[:, o].ravel().tolist()]
        page.total("db", (o,), terms, call.grads["bias"][o])
    if "weight" in call.grads:
        dw = _image(call.grads["weight"], call)
        index = peak(dw)
        x = _image(call.x, call)
        pairs = win.met(x, dy, index) if transposed else win.met(dy, x, index)
        page.total("dw", _index(index, call), pairs, dw[index])
        a, b = index[:2]
        page.grids((f"dw[{a}, {b}]", dw[a, b], (index[2], index[3])))
    n, c, h, w = index = peak(dx, page.n)
    terms_x = _joined(win.gathered(dy, n, c, h, w)) if transposed else win.scattered(dy, n, c, h, w)
    page.total("dx", _index(index, call), terms_x, dx[index])
