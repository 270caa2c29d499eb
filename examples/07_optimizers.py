"""
Six optimizers raced: the same network, the same first weights, the same batches in the same order.

    python examples/07_optimizers.py [--seed N] [--plot FILE.png]

A table of the loss along two epochs of 2,000 digits, and the test accuracy at the end. Momentum goes further than
plain SGD at the same rate, since the steps of many batches add up. The adaptive three divide each gradient by its usual
size and need rates of their own; RMSprop at 0.002 begins as Adagrad at 0.02, since its average takes in a hundredth of
each square, and a root of that is a tenth. On a task this small the order of the first changes with the seed; plain SGD
stays last.
"""

import numpy as np
from _show import options, picture, table

import xpcnn
from xpcnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from xpcnn.optimizers import SGD, Adagrad, Adam, RMSprop

BATCH, EPOCHS, MARKS = 50, 2, (5, 20, 40, 80)


def racers():
    return {
        "SGD": SGD(lr=0.02),
        "momentum": SGD(lr=0.02, momentum=0.9),
        "Nesterov": SGD(lr=0.02, momentum=0.9, nesterov=True),
        "Adagrad": Adagrad(lr=0.02),
        "RMSprop": RMSprop(lr=0.002),
        "Adam": Adam(lr=0.005),
    }


def race(optimizer, x, y, seed):
    """The trained network, and the losses of all steps."""
    model = xpcnn.Sequential(
        Conv2d(1, 8, 5, padding=2),
        ReLU(),
        MaxPool2d(4),
        Flatten(),
        Linear(8 * 7 * 7, 32),
        ReLU(),
        Linear(32, 10),
        seed=seed,
    )
    trainer = xpcnn.Trainer(model, "softmax_cross_entropy", optimizer)
    starts = range(0, len(x), BATCH)
    return model, [float(trainer.step(x[i : i + BATCH], y[i : i + BATCH])) for _ in range(EPOCHS) for i in starts]


def smooth(losses, width=5):
    """Means of so many steps up to each."""
    return [float(np.mean(losses[max(0, i - width + 1) : i + 1])) for i in range(len(losses))]


def main():
    args = options(__doc__, seed=True).parse_args()
    data = xpcnn.datasets.load("mnist-mini")
    x, y = data.x_train[:2000], data.y_train[:2000]
    curves, rows = {}, []
    for name, optimizer in racers().items():
        model, losses = race(optimizer, x, y, args.seed)
        curves[name] = smooth(losses)
        accuracy = model.evaluate(data.x_test, data.y_test)["accuracy"]
        marks = (f"{curves[name][mark - 1]:.3f}" for mark in MARKS)
        rows.append((name, f"{optimizer.lr:g}", *marks, f"{accuracy:.3f}"))
    table(["optimizer", "rate", *(f"step {mark}" for mark in MARKS), "test accuracy"], rows)
    print("Losses are means of five steps; lower is better.")

    def draw(figure):
        ax = figure.subplots()
        for name, losses in curves.items():
            style = "--" if name == "RMSprop" else "-"  # it begins on top of Adagrad
            ax.plot(range(1, len(losses) + 1), losses, style, label=name)
        ax.set(title="Six optimizers on 2,000 digits, two epochs", xlabel=f"step of {BATCH} images", yscale="log")
        ax.set_ylabel("loss, mean of 5 steps (cross-entropy, in nats)")
        ticks = [0.2, 0.3, 0.5, 1.0, 2.0]
        ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.set_yticks([], minor=True)
        ax.grid(alpha=0.3)
        ax.legend()

    picture(args.plot, draw, 9, 5)


if __name__ == "__main__":
    main()
