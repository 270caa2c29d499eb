"""
MNIST put together: train the tutorial's network on the digits that come with xpcnn, look at its mistakes, save it.

    python examples/08_classify_mnist.py [--epochs N] [--data NAME] [--seed N] [--plot FILE.png]

The learning rate falls along half a cosine, and training stops early when the validation loss no longer gets smaller;
the weights of the best epoch stay. Then: a confusion matrix, the worst mistakes, and a file that gives the same bits.
Two epochs of 4,000 images by default, which take some seconds and read about 96 of 100 digits. `--data mnist` is the
full set, and `--epochs 10` more to the purpose.
"""

import tempfile
from pathlib import Path

import numpy as np
from _show import options, picture, table

import xpcnn
from xpcnn.optimizers import SGD
from xpcnn.optimizers.schedules import CosineAnnealingLR
from xpcnn.training import EarlyStopping, confusion_matrix

BATCH, VALIDATION = 50, 1000


def main():
    parser = options(__doc__, seed=True)
    parser.add_argument("--epochs", type=int, default=2, help="at most (default: 2)")
    parser.add_argument("--data", default="mnist-mini", help="mnist-mini (default) or mnist")
    args = parser.parse_args()
    data = xpcnn.datasets.load(args.data)
    model = xpcnn.models.deepnotes(seed=args.seed)
    print(model.summary(batch=BATCH))

    x_train, y_train = data.x_train[:-VALIDATION], data.y_train[:-VALIDATION]
    validation = data.x_train[-VALIDATION:], data.y_train[-VALIDATION:]
    if args.data == "mnist-mini":  # seconds, not minutes
        x_train, y_train = x_train[:4000], y_train[:4000]
    steps = args.epochs * -(-len(x_train) // BATCH)
    print(f"\ntraining images {len(x_train)}, validation images {VALIDATION}, test images {len(data.x_test)}")
    stop = EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    history = model.fit(
        x_train,
        y_train,
        epochs=args.epochs,
        batch_size=BATCH,
        optimizer=SGD(lr=CosineAnnealingLR(0.05, steps), momentum=0.9, nesterov=True),
        validation_data=validation,
        callbacks=[stop],
        verbose=0,
    ).history
    names = ["loss", "accuracy", "val_loss", "val_accuracy"]
    rows = zip(*(history[name] for name in names), strict=True)
    table(["epoch", *names], [(i + 1, *(f"{value:.4f}" for value in row)) for i, row in enumerate(rows)])
    print(f"the weights are those of epoch {stop.best_epoch + 1}")

    probabilities = model.predict_proba(data.x_test)
    answers = probabilities.argmax(axis=1)
    print(f"\ntest accuracy {(answers == data.y_test).mean():.4f}")
    confusion = confusion_matrix(data.y_test, answers, num_classes=10)
    print("confusion matrix, a row for each true digit, a column for each answer")
    print(confusion)

    print("\nThe worst mistakes: the truth was given the least probability")
    truth = probabilities[np.arange(len(answers)), data.y_test]
    worst = truth.argsort()[:8]
    table(
        ["test image", "truth", "answer", "probability of the answer", "of the truth"],
        [(i, data.y_test[i], answers[i], f"{probabilities[i].max():.3f}", f"{truth[i]:.1e}") for i in worst],
    )

    # one file holds the architecture and the weights
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.safetensors"
        model.save(path)
        loaded = xpcnn.load(path)
        size = path.stat().st_size
    some = data.x_test[:100]
    same = bool((loaded.predict_proba(some) == model.predict_proba(some)).all())
    print(f"\nsaved {size:,} bytes; the loaded model gives the same bits: {same}")

    def draw(figure):
        left, right = figure.subfigures(1, 2, width_ratios=[1, 1.3])
        ax = left.subplots()
        mistakes = np.where(np.eye(10) == 1, 0, confusion)
        ax.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(4, mistakes.max()))
        for (i, j), n in np.ndenumerate(confusion):
            if n:
                ax.text(j, i, n, ha="center", va="center", fontsize=9, color="gray" if i == j else "black")
        ax.set(title="Confusion matrix (test images)", xlabel="answer", ylabel="truth")
        ax.set_xticks(range(10))
        ax.set_yticks(range(10))
        right.suptitle("The worst mistakes")
        for one, i in zip(right.subplots(2, 4).flat, worst, strict=True):
            one.imshow(data.x_test[i, 0], cmap="gray_r")
            percent = 100 * probabilities[i].max()
            one.set_title(f"a {data.y_test[i]}, taken for a {answers[i]}\nwith {percent:.0f} %", fontsize=10)
            one.set_xticks([])
            one.set_yticks([])

    picture(args.plot, draw, 12, 5)


if __name__ == "__main__":
    main()
