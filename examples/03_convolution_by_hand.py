"""
What a convolution computes: against four nested loops, as a matrix product, and its gradient by finite differences.

    python examples/03_convolution_by_hand.py

The derivation stands in xpcnn/ops/conv.py.
"""

import numpy as np

from xpcnn import ops

STRIDE = 2
x = np.arange(25.0).reshape(1, 1, 5, 5)  # one image, one channel
w = np.array([[[[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.5]]]])  # one filter of 3x3
b = np.array([0.25])

# 1. Four loops: over the places of the window, and over the taps in it.

by_hand = np.zeros((2, 2))
for oh in range(2):
    for ow in range(2):
        by_hand[oh, ow] = b[0]
        for i in range(3):
            for j in range(3):
                by_hand[oh, ow] += w[0, 0, i, j] * x[0, 0, oh * STRIDE + i, ow * STRIDE + j]

y = ops.conv2d(x, w, b, stride=STRIDE)
print("image\n", x[0, 0])
print("output of the loops\n", by_hand)
print("output of ops.conv2d\n", y[0, 0])
print(f"largest difference: {np.abs(y[0, 0] - by_hand).max():.1e}")

# 2. The same as a matrix product: each window is a row, each tap a column.

v = ops.windows(x.transpose(0, 2, 3, 1), (3, 3), (STRIDE, STRIDE), (1, 1))  # (N, OH, OW, KH, KW, C)
matrix = v.reshape(4, 9)
print("\nwindow matrix V, a row for each window\n", matrix)
print("V @ w + b\n", matrix @ w.reshape(9) + b)
print(f"largest difference: {np.abs(matrix @ w.reshape(9) + b - y.reshape(4)).max():.1e}")

# 3. The gradient, against finite differences of the loss L = <dy, y>.

dy = np.array([[[[1.0, -2.0], [3.0, 0.5]]]])
dx, dw, db = ops.conv2d_backward(dy, x, w, stride=STRIDE)


def loss():
    return float((ops.conv2d(x, w, b, stride=STRIDE) * dy).sum())


def differences(a, epsilon=1e-3):
    """Central differences, entry by entry. The loss is linear in each array, so that only rounding errs."""
    gradient = np.zeros_like(a)
    for index in np.ndindex(*a.shape):
        value = a[index]
        a[index] = value + epsilon
        above = loss()
        a[index] = value - epsilon
        gradient[index] = (above - loss()) / (2 * epsilon)
        a[index] = value
    return gradient


print("\ndx, the gradient of the image: each window adds its share at the place it came from\n", dx[0, 0])
for name, gradient, array in (("dx", dx, x), ("dw", dw, w), ("db", db, b)):
    print(f"{name}: largest difference from finite differences: {np.abs(gradient - differences(array)).max():.1e}")

# 4. Without its bias the layer is a linear map A of the image, and dx is A transposed: <A x, y> = <x, A' y>.

rng = np.random.default_rng(0)
p, q = rng.normal(size=x.shape), rng.normal(size=y.shape)
left = float((ops.conv2d(p, w, stride=STRIDE) * q).sum())
right = float((p * ops.conv2d_backward(q, p, w, stride=STRIDE)[0]).sum())
print(f"\n<A x, y> = {left:.12f}\n<x, A'y> = {right:.12f}\ndifference: {abs(left - right):.1e}")
