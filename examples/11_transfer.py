"""
Transfer: what a network learned from the digits 0 to 4 helps it to read 5 to 9 from few images.

    python examples/11_transfer.py [--seed N] [--plot FILE.png]

A network is trained on all images of 0 to 4. Then its body, two convolutions, is frozen and gets a new head, trained on
few images of 5 to 9; beside it the same network is trained from scratch on the same few. The frozen body reads some two
in a hundred more of the new images, in most draws, and trains in less than half the time, since only the head learns.
What is frozen must be of use for both: a body that ended in a dense layer of 64 did worse than none.
"""

import time

import numpy as np
from _show import options, picture, table

import xpcnn
from xpcnn.layers import Conv2d, Flatten, Linear, ReLU
from xpcnn.optimizers import Adam

FEATURES, FEW, DRAWS, EPOCHS = 16 * 7 * 7, [2, 5, 10], 4, 30


def make_body():
    return xpcnn.Sequential(
        Conv2d(1, 8, 5, stride=2, padding=2),
        ReLU(),
        Conv2d(8, 16, 5, stride=2, padding=2),
        ReLU(),
        Flatten(),
    )


def with_head(body, seed):
    return xpcnn.Sequential(body, Linear(FEATURES, 5), input_shape=(1, 28, 28), seed=seed)


def of_each(labels, number, rng):
    """Where so many samples of each class lie, by chance."""
    return np.concatenate([rng.choice(np.flatnonzero(labels == k), number, replace=False) for k in range(5)])


def main():
    args = options(__doc__, seed=True).parse_args()
    data = xpcnn.datasets.load("mnist-mini")
    low, low_test = data.y_train < 5, data.y_test < 5

    print("1. The digits 0 to 4")
    body = make_body()
    model = with_head(body, args.seed)
    model.fit(data.x_train[low], data.y_train[low], epochs=2, optimizer=Adam(lr=0.003), verbose=0)
    accuracy = model.evaluate(data.x_test[low_test], data.y_test[low_test])["accuracy"]
    print(f"{low.sum()} training images, test accuracy {accuracy:.3f}")

    print(f"\n2. The digits 5 to 9, from few images: means of {DRAWS} draws of images and first weights")
    x, y = data.x_train[~low], data.y_train[~low] - 5
    x_test, y_test = data.x_test[~low_test], data.y_test[~low_test] - 5
    rng = np.random.default_rng(args.seed)
    accuracies, seconds = np.zeros((len(FEW), DRAWS, 2)), np.zeros((len(FEW), DRAWS, 2))
    trained = {}
    for i, number in enumerate(FEW):
        for draw_number in range(DRAWS):
            few = of_each(y, number, rng)
            for k, name in enumerate(("frozen body", "from scratch")):
                model = with_head(body if name == "frozen body" else make_body(), args.seed + 1 + draw_number)
                if name == "frozen body":
                    model.freeze("0")  # the body is the first layer of this model
                start = time.perf_counter()
                model.fit(x[few], y[few], epochs=EPOCHS, batch_size=10, optimizer=Adam(lr=0.003), verbose=0)
                seconds[i, draw_number, k] = time.perf_counter() - start
                accuracies[i, draw_number, k] = model.evaluate(x_test, y_test)["accuracy"]
                trained[name] = sum(array.size for array in model.trainable.values())
    print("trained parameters: " + ", ".join(f"{number:,} ({name})" for name, number in trained.items()))
    rows = []
    for number, found, spent in zip(FEW, accuracies, seconds, strict=True):
        better = int((found[:, 0] > found[:, 1]).sum())
        means = (f"{value:.3f}" for value in found.mean(axis=0))
        rows.append((number, *means, f"{better} of {DRAWS}", *(f"{value:.2f}" for value in spent.mean(axis=0))))
    table(["images of each", *trained, "frozen is better", "seconds, frozen", "seconds, scratch"], rows)

    def draw(figure):
        ax = figure.subplots()
        for k, name in enumerate(("body of 0 to 4, frozen; new head", "from scratch")):
            (line,) = ax.plot(FEW, 100 * accuracies[..., k].mean(axis=1), marker="o", label=f"{name}: mean")
            ax.plot(FEW, 100 * accuracies[..., k], ".", color=line.get_color(), alpha=0.5)
        ax.set(title="Reading 5 to 9 from few images", xlabel="training images of each digit", xscale="log")
        ax.set(ylabel="test accuracy in percent", ylim=(45, 95))
        ax.set_xticks(FEW, [str(n) for n in FEW])
        ax.set_xticks([], minor=True)
        ax.legend(loc="lower right")

    picture(args.plot, draw, 7, 4.5)


if __name__ == "__main__":
    main()
