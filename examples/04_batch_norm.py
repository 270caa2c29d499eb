"""
Batch normalization: the same network with and without it, at a learning rate and at ten times that rate.

    python examples/04_batch_norm.py [--seed N] [--plot FILE.png]

1. What it does to one batch: 0.01 or 1000 times the numbers, and the output is the same, with mean 0 and deviation 1.
2. Two epochs on 1,500 digits. At the small rate both networks learn, the normalized one faster. At ten times the rate
   the plain one stays at guessing, one in ten, and the normalized one reads digits: with batch norm the scale of the
   weights below does not matter, so that one long step cannot ruin them.
"""

import numpy as np
from _show import options, picture, table

import xpcnn
from xpcnn import ops
from xpcnn.layers import BatchNorm1d, BatchNorm2d, Conv2d, Flatten, Linear, ReLU
from xpcnn.optimizers import SGD

RATE, BATCH, EPOCHS = 0.1, 50, 2


def network(normalized, seed):
    layers = []
    for inputs, outputs, stride in ((1, 8, 2), (8, 16, 2), (16, 16, 1)):
        layers.append(Conv2d(inputs, outputs, 5, stride=stride, padding=2))
        if normalized:
            layers.append(BatchNorm2d(outputs))
        layers.append(ReLU())
    layers += [Flatten(), Linear(16 * 7 * 7, 64)]
    if normalized:
        layers.append(BatchNorm1d(64))
    return xpcnn.Sequential(*layers, ReLU(), Linear(64, 10), seed=seed)


def train(model, rate, x, y):
    """The losses of all steps."""
    trainer = xpcnn.Trainer(model, "softmax_cross_entropy", SGD(lr=rate))
    starts = range(0, len(x), BATCH)
    return [float(trainer.step(x[i : i + BATCH], y[i : i + BATCH])) for _ in range(EPOCHS) for i in starts]


def main():
    args = options(__doc__, seed=True).parse_args()

    print("1. A batch of 200 numbers in two channels, at three scales")
    batch = np.random.default_rng(args.seed).normal([3.0, -1.0], [2.0, 0.5], size=(200, 2))
    rows = []
    for scale in (0.01, 1.0, 1000.0):
        x = scale * batch
        y = ops.batch_norm(x, *ops.batch_statistics(x), eps=1e-12)
        rows.append((f"{scale:g}", *(f"{v:.3g}" for v in (*x.mean(axis=0), *x.std(axis=0)))))
        rows[-1] += (f"{abs(y.mean(axis=0)).max():.0e}", f"{y.std(axis=0).min():.3f}")
    table(["scale", "mean 0", "mean 1", "std 0", "std 1", "largest mean after", "std after"], rows)

    print("\n2. With and without, at a rate and ten times the rate")
    data = xpcnn.datasets.load("mnist-mini")
    x, y = data.x_train[:1500], data.y_train[:1500]
    curves, rows = {}, []
    for rate in (RATE, 10 * RATE):
        for normalized in (False, True):
            model = network(normalized, args.seed)
            with np.errstate(over="ignore", invalid="ignore"):  # of the plain one at the large rate
                losses = train(model, rate, x, y)
            accuracy = model.evaluate(data.x_test, data.y_test)["accuracy"]
            name = "batch norm" if normalized else "plain"
            curves[name, rate] = losses
            rows.append((name, f"{rate:g}", f"{max(losses):.3g}", f"{np.mean(losses[-10:]):.3f}", accuracy))
    table(["network", "rate", "largest loss", "loss, last 10 steps", "test accuracy"], rows)
    print("At ten times the rate only the normalized network learns.")

    def draw(figure):
        figure.suptitle("The same network with and without batch norm, on 1,500 digits")
        axes = figure.subplots(1, 2, sharey=True)
        for ax, rate in zip(axes, (RATE, 10 * RATE), strict=True):
            for name, colour in (("plain", "tab:red"), ("batch norm", "tab:blue")):
                ax.plot(curves[name, rate], color=colour, label=name)
            ax.axhline(np.log(10), color="gray", linestyle=":", label="guessing: log 10")
            ax.set(title=f"learning rate {rate:g}", xlabel=f"step of {BATCH} images", ylim=(0, 4))
            ax.legend()
        axes[0].set_ylabel("loss of the batch (cross-entropy, in nats)")

    picture(args.plot, draw)


if __name__ == "__main__":
    main()
