"""
Dropout: how much better a network is on the images that it was trained on than on new ones, with and without.

    python examples/05_dropout.py [--seed N] [--plot FILE.png]

1. Dropout sets a share p of the entries to zero and scales the others up, so that the mean stays.
2. A network of 200,000 parameters, 500 images, and a fifth of their labels wrong. Without dropout it learns all of them
   by heart, the wrong ones too, and pays on new images. With half of the entries dropped it cannot: the gap closes, the
   wrong labels are not believed, and more of the new images are read right.
"""

import numpy as np
from _show import options, picture, table

import xpcnn
from xpcnn import ops
from xpcnn.backend import Key
from xpcnn.layers import Dropout, Flatten, Linear, ReLU

IMAGES, WRONG, EPOCHS = 500, 100, 25
CHANCES = [0.0, 0.25, 0.5]


def some_wrong(labels, seed):
    """Replace some labels by another digit."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(labels))[:WRONG]
    labels = labels.copy()
    labels[chosen] = (labels[chosen] + rng.integers(1, 10, size=WRONG)) % 10
    return labels


def main():
    args = options(__doc__, seed=True).parse_args()

    print("1. Dropout of 100,000 ones")
    rows = []
    for p in CHANCES:
        y, _ = ops.dropout(np.ones((1, 100_000)), p, Key(args.seed))
        rows.append((p, f"{(y == 0).mean():.3f}", f"{y.max():.3f}", f"{y.mean():.3f}"))
    table(["p", "share of zeros", "the others", "mean"], rows)

    print(f"\n2. {IMAGES} training images, {WRONG} of them with a wrong label, {EPOCHS} epochs")
    data = xpcnn.datasets.load("mnist-mini")
    x, y = data.x_train[:IMAGES], some_wrong(data.y_train[:IMAGES], args.seed)
    rows, curves = [], {}
    for p in CHANCES:
        model = xpcnn.Sequential(
            Flatten(),
            Dropout(p),
            Linear(28 * 28, 256),
            ReLU(),
            Dropout(p),
            Linear(256, 10),
            seed=args.seed,
        )
        history = model.fit(x, y, epochs=EPOCHS, validation_data=(data.x_test, data.y_test), verbose=0)
        curves[p] = history.history["val_accuracy"]
        seen = model.evaluate(x, y)["accuracy"]  # without dropout, unlike what fit saw
        new = model.evaluate(data.x_test, data.y_test)["accuracy"]
        rows.append((p, f"{seen:.3f}", f"{new:.3f}", f"{seen - new:.3f}"))
    table(["p", "accuracy, seen", "accuracy, new", "gap"], rows)
    print("Seen are the training images with their labels as given: 0.8 of these are right, more is learned by heart.")

    def draw(figure):
        figure.suptitle(f"{IMAGES} training images, a fifth of the labels wrong")
        left, right = figure.subplots(1, 2)
        places = np.arange(len(CHANCES))
        for offset, column, name in ((-0.2, 1, "training images, as labelled"), (0.2, 2, "new images")):
            bars = left.bar(places + offset, [100 * float(row[column]) for row in rows], 0.38, label=name)
            left.bar_label(bars, fmt="%.0f")
        left.set(title="Dropout closes the gap", xlabel="p, share of entries dropped", ylabel="accuracy in percent")
        left.set_xticks(places, [f"{p:g}" for p in CHANCES])
        left.set_ylim(0, 125)
        left.legend(loc="upper center", ncols=2)
        for p, values in curves.items():
            right.plot(range(1, EPOCHS + 1), [100 * value for value in values], label=f"p = {p:g}")
        right.set(title="New images, epoch by epoch", xlabel="epoch", ylabel="accuracy in percent")
        right.legend()

    picture(args.plot, draw)


if __name__ == "__main__":
    main()
