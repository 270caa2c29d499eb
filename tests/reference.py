"""The layers' formulas once more, as slow loops over single numbers: nothing here is shared with the package."""

import math

import numpy as np


def conv2d(x, w, b=None, stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    """Index form of the convolution; pads are (top, bottom, left, right)."""
    n, _, h, wide = x.shape
    o, c_group, kh, kw = w.shape
    top, bottom, left, right = pads
    oh = (h + top + bottom - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (wide + left + right - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, o, oh, ow))
    for i, k, p, q in np.ndindex(*y.shape):
        first = (k // (o // groups)) * c_group
        total = 0.0 if b is None else b[k]
        for cc, u, v in np.ndindex(c_group, kh, kw):
            row, col = p * stride[0] + u * dilation[0] - top, q * stride[1] + v * dilation[1] - left
            if 0 <= row < h and 0 <= col < wide:
                total += w[k, cc, u, v] * x[i, first + cc, row, col]
        y[i, k, p, q] = total
    return y


def windows(x, kernel, stride, dilation):
    """All windows of (N, H, W, C) images, entry by entry."""
    n, h, w, c = x.shape
    oh = (h - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    ow = (w - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
    v = np.zeros((n, oh, ow, *kernel, c))
    for index in np.ndindex(*v.shape):
        i, p, q, u, t, cc = index
        v[index] = x[i, p * stride[0] + u * dilation[0], q * stride[1] + t * dilation[1], cc]
    return v


def batch_norm(x, w, b, eps):
    """Normalized per channel over everything else, with Python's exact sums."""
    y = np.zeros_like(x)
    for c in range(x.shape[1]):
        values = x[:, c].ravel().tolist()
        mean = math.fsum(values) / len(values)
        var = math.fsum((v - mean) ** 2 for v in values) / len(values)
        y[:, c] = w[c] * (x[:, c] - mean) / math.sqrt(var + eps) + b[c]
    return y


def cross_entropy(z, labels):
    """Mean of -log softmax in exact sums, for scores of moderate size."""
    total = [math.log(math.fsum(math.exp(v) for v in row)) - row[k] for row, k in zip(z.tolist(), labels, strict=True)]
    return math.fsum(total) / len(total)
