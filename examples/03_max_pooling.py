"""
Max pooling: a digit that moves by a pixel moves the features less; and the gradient goes to the winner alone.

    python examples/03_max_pooling.py [--plot FILE.png]

1. Edges of 200 digits, found by two fixed filters, pooled over larger and larger windows. Shift the digits by 1, 2 or 3
   pixels: without pooling the features of most pixels change; the larger the window, the smaller the change.
   What it costs is the place: 7x7 windows leave 4x4 numbers of 28x28.
2. The gradient of a 4x4 image, pooled 2x2: each window hands all of its gradient to its largest entry, of equal ones to
   the first. Average pooling hands it to all alike. No gradient is lost: the sums agree.
"""

import numpy as np
from _show import options, picture, table

import xpcnn
from xpcnn import ops

SOBEL = np.asarray([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
FILTERS = np.stack([SOBEL, SOBEL.T]).reshape(2, 1, 3, 3)
WINDOWS, SHIFTS = [1, 2, 4, 7], [1, 2, 3]


def features(images, window):
    edges = np.abs(ops.conv2d(images, FILTERS, padding=1))
    return ops.max_pool2d(edges, window)[0]


def change(images, window, shift):
    """How far the features move when the digits move to the right, as a share of their size."""
    before, after = features(images, window), features(np.roll(images, shift, axis=3), window)
    return np.linalg.norm(after - before) / np.linalg.norm(before)


def main():
    plot = options(__doc__).parse_args().plot
    data = xpcnn.datasets.load("mnist-mini")
    images = data.x_test[:200].astype("float64")

    print("1. Change of the features when a digit moves, as a share of their size")
    changes = {window: [change(images, window, shift) for shift in SHIFTS] for window in WINDOWS}
    table(
        ["window", "numbers kept", *(f"moved by {shift}" for shift in SHIFTS)],
        [
            (f"{k}x{k}" + (" (none)" if k == 1 else ""), (28 // k) ** 2, *(f"{share:.2f}" for share in shares))
            for k, shares in changes.items()
        ],
    )
    print("Read down a column: the larger the window, the less a step to the side matters.")

    print("\n2. Where the gradient goes: 2x2 windows, with 1, 2, 3 and 4 as the gradients of the four outputs")
    x = np.asarray([[1.0, 5.0, 2.0, 2.0], [3.0, 4.0, 2.0, 2.0], [9.0, 0.0, 1.0, 6.0], [0.0, 8.0, 7.0, 1.0]])
    x = x.reshape(1, 1, 4, 4)
    dy = np.asarray([[[[1.0, 2.0], [3.0, 4.0]]]])
    y, index = ops.max_pool2d(x, 2)
    by_max = ops.max_pool2d_backward(dy, index, x.shape, 2)
    by_mean = ops.avg_pool2d_backward(dy, x.shape, 2)
    print("x\n", x[0, 0])
    print("y, the largest of each window\n", y[0, 0])
    print("dx of max pooling\n", by_max[0, 0])
    print("dx of average pooling\n", by_mean[0, 0])
    table(
        ["pooling", "sum of dy", "sum of dx", "entries that get none"],
        [
            (name, f"{dy.sum():g}", f"{dx.sum():g}", f"{(dx == 0).sum()} of {dx.size}")
            for name, dx in (("max", by_max), ("average", by_mean))
        ],
    )

    def draw(figure):
        top, bottom = figure.subfigures(2, 1, height_ratios=[1, 1])
        top.suptitle("Vertical edges of a digit, and of the digit 2 pixels further")
        digit = images[data.y_test[:200] == 4][:1]
        for row, ax in zip([0, 2], top.subplots(2, 5), strict=True):
            moved = np.roll(digit, row, axis=3)
            shown = [("digit", moved[0, 0])] + [(f"pooled {k}x{k}", features(moved, k)[0, 0]) for k in WINDOWS]
            for one, (title, image) in zip(ax, shown, strict=True):
                one.imshow(image, cmap="gray")
                one.set_xticks([])
                one.set_yticks([])
                if row == 0:
                    one.set_title("no pooling" if title == "pooled 1x1" else title, fontsize=10)
            ax[0].set_ylabel("in place" if row == 0 else "2 pixels\nfurther")
        left, middle, right = bottom.subplots(1, 3)
        for window, shares in changes.items():
            left.plot(SHIFTS, [100 * share for share in shares], marker="o", label=f"{window}x{window}")
        left.set(title="Change of the features", xlabel="shift in pixels", ylabel="change in percent", xticks=SHIFTS)
        left.set_ylim(bottom=0)
        left.legend(title="window")
        for ax, name, dx in ((middle, "max", by_max), (right, "average", by_mean)):
            ax.imshow(dx[0, 0], cmap="Blues", vmin=0, vmax=6)
            for (i, j), value in np.ndenumerate(dx[0, 0]):
                ax.text(j, i, f"{value:g}", ha="center", va="center")
            ax.axhline(1.5, color="black", linewidth=1)
            ax.axvline(1.5, color="black", linewidth=1)
            ax.set(title=f"Gradient of x, {name} pooling", xlabel="column", ylabel="row", xticks=range(4))
            ax.set_yticks(range(4))

    picture(plot, draw, 11, 7)


if __name__ == "__main__":
    main()
