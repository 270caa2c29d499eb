"""
Receptive fields and shared weights, by hand: why a convolution needs so few parameters, and still sees the whole image.

    python examples/01_receptive_fields.py [--plot FILE.png]

1. The parameters of three layers from a 28x28 image to eight feature maps of 28x28: each output looks at the whole
   image; at 5x5 pixels; at 5x5 pixels with the same weights everywhere, which is a convolution. 4.9 million become 208.
2. What one output sees of the image, layer by layer: by the formula, and by the gradient of that output.
3. Two filters of nine numbers, written by hand, that find edges: a one is all vertical edges. And since the weights are
   shared, a shifted digit has a shifted answer: the same numbers, elsewhere.
"""

import numpy as np
from _show import options, picture, table

import xpcnn
from xpcnn import ops
from xpcnn.layers import AvgPool2d, Conv2d, Linear

SOBEL = np.asarray([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
VERTICAL, HORIZONTAL = SOBEL.reshape(1, 1, 3, 3), SOBEL.T.reshape(1, 1, 3, 3)  # one filter, one channel

# kernel and stride of each layer
STACK = [("conv 3x3", 3, 1), ("conv 3x3", 3, 1), ("pool 2x2", 2, 2), ("conv 3x3", 3, 1), ("conv 3x3", 3, 1)]
STACK += [("pool 2x2", 2, 2), ("conv 3x3", 3, 1)]
SIZE = 48  # of the image that is looked at through the stack


def count(layer):
    return sum(array.size for array in layer.params.values())


def fields_by_formula():
    """Each layer widens the field by (kernel - 1) jumps; a jump is how far apart neighbours lie in the image."""
    field, jump, fields = 1, 1, []
    for _, kernel, stride in STACK:
        field += (kernel - 1) * jump
        jump *= stride
        fields.append(field)
    return fields


def gradient_of_one_output(depth):
    """The gradient of the middle output of the first layers with respect to the image; all weights are 1."""
    layers = [
        Conv2d(1, 1, kernel, padding=1, bias=False) if name.startswith("conv") else AvgPool2d(kernel)
        for name, kernel, _ in STACK[:depth]
    ]
    model = xpcnn.Sequential(*layers, dtype="float64")
    for name, weight in model.params.items():
        model.params[name] = np.ones_like(weight)
    y, cache = model.forward(np.zeros((1, 1, SIZE, SIZE)), train=True)
    dy = np.zeros_like(y)
    dy[0, 0, y.shape[2] // 2, y.shape[3] // 2] = 1.0
    dx, _ = model.backward(dy, cache)
    return dx[0, 0]


def width(gradient):
    columns = np.flatnonzero(gradient.any(axis=0))
    return columns[-1] - columns[0] + 1


def main():
    plot = options(__doc__).parse_args().plot

    print("1. Parameters of a layer from 1x28x28 to 8x28x28")
    dense = count(Linear(28 * 28, 8 * 28 * 28))
    local = 8 * 28 * 28 * (5 * 5 + 1)  # each output has 25 weights and a bias of its own
    shared = count(Conv2d(1, 8, 5, padding=2))
    rows = [("dense", "784", dense), ("local 5x5", "25", local), ("local 5x5, shared: Conv2d", "25", shared)]
    table(["layer", "pixels seen", "parameters"], [(name, seen, f"{n:,}") for name, seen, n in rows])
    print(f"Looking at 5x5 pixels saves a factor of {dense / local:.0f}, sharing weights another {local // shared}.")

    print("\n2. What one output sees of the image, in pixels across")
    gradients = [gradient_of_one_output(depth + 1) for depth in range(len(STACK))]
    fields = list(zip((name for name, _, _ in STACK), fields_by_formula(), map(width, gradients), strict=True))
    table(["after", "formula", "gradient"], fields)
    print("Small windows in a row see far, and the further apart their steps, the faster.")

    print("\n3. Edges by two filters of nine numbers: mean size of the answer over the test images")
    data = xpcnn.datasets.load("mnist-mini")
    images, labels = data.x_test.astype("float64"), data.y_test
    across = np.abs(ops.conv2d(images, VERTICAL, padding=1)).mean(axis=(1, 2, 3))
    along = np.abs(ops.conv2d(images, HORIZONTAL, padding=1)).mean(axis=(1, 2, 3))
    rows = [(k, across[labels == k].mean(), along[labels == k].mean()) for k in range(10)]
    table(
        ["digit", "vertical edges", "horizontal edges", "ratio"],
        [(k, f"{a:.3f}", f"{b:.3f}", f"{a / b:.2f}") for k, a, b in rows],
    )
    best = max(rows, key=lambda row: row[1] / row[2])[0]
    print(f"The largest ratio is that of the {best}.")

    # the shared weights give the same answer wherever the digit lies
    digit = images[labels == 7][:1]
    answer = ops.conv2d(digit, VERTICAL, padding=1)
    answer_of_shifted = ops.conv2d(np.roll(digit, 3, axis=3), VERTICAL, padding=1)
    difference = np.abs(answer_of_shifted - np.roll(answer, 3, axis=3)).max()
    print(f"The digit 3 pixels further: the answer is 3 pixels further, largest difference {difference:.1e}")

    def draw(figure):
        figure.suptitle("One filter, everywhere (top); what one output sees of the image (bottom)")
        axes = figure.subplots(2, 4)
        shown = [("a digit", digit), ("vertical edges", answer)]
        shown += [("horizontal edges", ops.conv2d(digit, HORIZONTAL, padding=1))]
        shown += [("vertical edges,\ndigit 3 pixels further", answer_of_shifted)]
        for ax, (title, image) in zip(axes[0], shown, strict=True):
            limits = {"cmap": "gray"} if title == "a digit" else {"cmap": "RdBu", "vmin": -4, "vmax": 4}
            bar = figure.colorbar(ax.imshow(image[0, 0], **limits), ax=ax, shrink=0.8)
            bar.set_label("brightness" if title == "a digit" else "answer")
            ax.set_title(title, fontsize=10)
        axes[0, 0].set_ylabel("row in pixels")
        for ax, depth in zip(axes[1], [0, 1, 4, 6], strict=True):
            ax.imshow(gradients[depth], cmap="viridis")
            name, field, _ = fields[depth]
            ax.set_title(f"after layer {depth + 1} ({name}):\n{field} pixels across", fontsize=10)
            ax.set_xlabel("column in pixels")
        axes[1, 0].set_ylabel("row in pixels")

    picture(plot, draw, 11, 5.6)


if __name__ == "__main__":
    main()
