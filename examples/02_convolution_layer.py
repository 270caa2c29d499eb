"""
The convolution layer: what it computes, its gradient, and the filters that it learns.

    python examples/02_convolution_layer.py [--seed N] [--plot FILE.png]

1. Four nested loops and ops.conv2d give the same numbers.
2. So does one matrix product: each window of the image is a row, each tap of the filter a column (im2col).
3. The gradients agree with difference quotients to ten digits.
4. Without its bias the layer is a linear map A, and the gradient of the image is A transposed: <A x, y> = <x, A' y>.
5. Filters learned from digits: noise at first, in which neighbouring taps have nothing to do with each other; after two
   epochs of training neighbours resemble each other, strokes and edges grow out of the noise.

The derivation stands in xpcnn/ops/conv.py.
"""

import numpy as np
from _show import options, picture, table

import xpcnn
from xpcnn import ops
from xpcnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU

STRIDE = 2


def convolve_by_loops(x, w, b):
    """Loops over the places of the window, and over the taps in it; one image, one channel, one filter."""
    y = np.zeros((2, 2))
    for oh in range(2):
        for ow in range(2):
            y[oh, ow] = b[0]
            for i in range(3):
                for j in range(3):
                    y[oh, ow] += w[0, 0, i, j] * x[0, 0, oh * STRIDE + i, ow * STRIDE + j]
    return y


def difference_quotients(loss, a, epsilon=1e-3):
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


def likeness(filters):
    """Correlation of taps that are side by side or one above the other, over all filters (O, 1, kh, kw)."""
    left, right = filters[..., :-1].ravel(), filters[..., 1:].ravel()
    upper, lower = filters[..., :-1, :].ravel(), filters[..., 1:, :].ravel()
    return np.corrcoef(np.concatenate([left, upper]), np.concatenate([right, lower]))[0, 1]


def main():
    args = options(__doc__, seed=True).parse_args()
    x = np.arange(25.0).reshape(1, 1, 5, 5)  # one image, one channel
    w = np.asarray([[[[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.5]]]])  # one filter of 3x3
    b = np.asarray([0.25])

    print("1. Four loops")
    by_hand = convolve_by_loops(x, w, b)
    y = ops.conv2d(x, w, b, stride=STRIDE)
    print("image\n", x[0, 0])
    print("output of the loops\n", by_hand)
    print("output of ops.conv2d\n", y[0, 0])
    print(f"largest difference: {np.abs(y[0, 0] - by_hand).max():.1e}")

    print("\n2. A matrix product")
    v = ops.windows(x.transpose(0, 2, 3, 1), (3, 3), (STRIDE, STRIDE), (1, 1))  # (N, OH, OW, KH, KW, C)
    matrix = v.reshape(4, 9)
    print("window matrix V, a row for each window\n", matrix)
    print("V @ w + b\n", matrix @ w.reshape(9) + b)
    print(f"largest difference: {np.abs(matrix @ w.reshape(9) + b - y.reshape(4)).max():.1e}")

    print("\n3. The gradient of the loss L = <dy, y>")
    dy = np.asarray([[[[1.0, -2.0], [3.0, 0.5]]]])
    dx, dw, db = ops.conv2d_backward(dy, x, w, stride=STRIDE)
    print("dx: each window adds its share at the place it came from\n", dx[0, 0])

    def loss():
        return float((ops.conv2d(x, w, b, stride=STRIDE) * dy).sum())

    for name, gradient, array in (("dx", dx, x), ("dw", dw, w), ("db", db, b)):
        error = np.abs(gradient - difference_quotients(loss, array)).max()
        print(f"{name}: largest difference from difference quotients: {error:.1e}")

    print("\n4. The adjoint map")
    rng = np.random.default_rng(args.seed)
    p, q = rng.normal(size=x.shape), rng.normal(size=y.shape)
    left = float((ops.conv2d(p, w, stride=STRIDE) * q).sum())
    right = float((p * ops.conv2d_backward(q, p, w, stride=STRIDE)[0]).sum())
    print(f"<A x, y> = {left:.12f}\n<x, A'y> = {right:.12f}\ndifference: {abs(left - right):.1e}")

    print("\n5. Filters learned from 2,000 digits")
    data = xpcnn.datasets.load("mnist-mini")
    model = xpcnn.Sequential(
        Conv2d(1, 8, 7, padding=3),
        ReLU(),
        MaxPool2d(4),
        Flatten(),
        Linear(8 * 7 * 7, 10),
        seed=args.seed,
    )
    stages = []
    for epochs in (0, 2):
        if epochs:
            sgd = xpcnn.optimizers.SGD(lr=0.05, momentum=0.9)
            model.fit(data.x_train[:2000], data.y_train[:2000], epochs=epochs, optimizer=sgd, verbose=0)
        stages.append((epochs, model.params["0.weight"].copy(), model.evaluate(data.x_test, data.y_test)["accuracy"]))
    table(
        ["epochs", "likeness of neighbouring taps", "test accuracy"],
        [(epochs, f"{likeness(filters):.2f}", f"{accuracy:.3f}") for epochs, filters, accuracy in stages],
    )
    print("Likeness is a correlation: 0 is noise, 1 a single shade.")

    def draw(figure):
        figure.suptitle("Eight filters of 7x7 taps, before and after two epochs on 2,000 digits, and what they answer")
        axes = figure.subplots(3, 8)
        digit = data.x_test[4:5]
        answers = np.maximum(model[0](digit)[0], 0.0)
        for k in range(8):
            for row, (_, filters, _) in enumerate(stages):
                shown = axes[row, k].imshow(filters[k, 0], cmap="RdBu", vmin=-0.6, vmax=0.6)
            bright = axes[2, k].imshow(answers[k], cmap="gray", vmin=0, vmax=answers.max())
            axes[0, k].set_title(f"filter {k}", fontsize=10)
        for ax in axes.flat:
            ax.set_xticks([])
            ax.set_yticks([])
        for ax, name in zip(axes[:, 0], ["before", "after", "answer\nafter ReLU"], strict=True):
            ax.set_ylabel(name)
        figure.colorbar(shown, ax=axes[:2], label="weight")
        figure.colorbar(bright, ax=axes[2], label="answer")

    picture(args.plot, draw, 11, 4.6)


if __name__ == "__main__":
    main()
