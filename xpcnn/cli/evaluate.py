"""Print loss, accuracy and confusion matrix of a model on test images."""

import argparse
import math
import sys
from collections.abc import Sequence

from xpcnn import load
from xpcnn.training import confusion_matrix

from . import options
from .console import Console, table
from .images import fit_images, load_for

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``xpcnn evaluate``."""
    parser.add_argument("file", metavar="MODEL_FILE", help="what xpcnn train or model.save wrote")
    options.add_data(parser)
    options.add_device(parser)
    options.add_threads(parser)
    options.add_batch_size(parser)
    parser.add_argument(
        "--mirror", action="store_true",
        help="average the probabilities of each image and its mirror image (test-time augmentation)",
    )  # fmt: skip
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate; returns the exit code."""
    console = Console(as_json=args.json)
    model = load(args.file, args.device)
    data = load_for(model, args.dataset, args.data_dir)
    console.say(f"{args.file} on {model.device}; {data.name}: {len(data.x_test):,} test images from {data.source}")
    x = fit_images(data.x_test, model)
    if args.mirror:
        one, other = (model.predict_proba(side, batch_size=args.batch_size) for side in (x, x[:, :, :, ::-1]))
        probabilities = (one + other) / 2.0
        labels = probabilities.argmax(axis=1)
        figures = _figures(probabilities.tolist(), data.y_test.tolist())
    else:
        figures = model.evaluate(x, data.y_test, batch_size=args.batch_size)
        labels = model.predict(x, batch_size=args.batch_size)
    # a network may know more classes than the data set has
    count = max(len(data.classes), *model.output_shape(tuple(x.shape[1:])))
    matrix = confusion_matrix(data.y_test, labels, count).tolist()
    text = [
        "confusion matrix, a row for each true class, a column for each predicted one:",
        _matrix(matrix, data.classes),
        f"test loss {figures['loss']:.4f}",
        f"test accuracy {figures['accuracy']:.4f}",
    ]
    console.answer(
        "\n".join(text),
        {
            "test_accuracy": figures["accuracy"],
            "test_loss": figures["loss"],
            "confusion_matrix": matrix,
            "classes": list(data.classes),
            "images": len(data.x_test),
            "model": args.file,
            "mirror": args.mirror,
            "dataset": data.name,
            "source": data.source,
            "device": model.device,
        },
    )
    return 0


def _figures(probabilities: list[list[float]], labels: list[int]) -> dict[str, float]:
    """Mean cross-entropy in nats, and the share of right answers."""
    pairs = list(zip(probabilities, labels, strict=True))
    losses = (-math.log(max(p[label], sys.float_info.min)) for p, label in pairs)
    right = sum(p.index(max(p)) == label for p, label in pairs)
    return {"loss": math.fsum(losses) / len(pairs), "accuracy": right / len(pairs)}


def _matrix(matrix: list[list[int]], classes: Sequence[str]) -> str:
    """The matrix with its class numbers, and their names where these say more."""
    numbers = [str(i) for i in range(len(matrix))]
    names = [*classes, *numbers[len(classes) :]]
    named = names != numbers
    rows = [("", *numbers, *([""] if named else []))]
    rows += [
        (number, *map(str, row), *([name] if named else []))
        for number, row, name in zip(numbers, matrix, names, strict=True)
    ]
    return table(rows, right=tuple(range(len(matrix) + 1)))
