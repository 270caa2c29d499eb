"""Print the class number of each image, one a line."""

import argparse

from xpcnn import load
from xpcnn.errors import ConfigError

from . import options
from .console import Console
from .images import fit_images, load_for, read_images

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``xpcnn predict``."""
    parser.add_argument("file", metavar="MODEL_FILE", help="what xpcnn train or model.save wrote")
    parser.add_argument(
        "input", metavar="INPUT", nargs="?",
        help="idx file, plain or .gz, or NumPy file of images (N, H, W) or (N, C, H, W): bytes, or numbers from 0 to 1",
    )  # fmt: skip
    options.add_data(parser, default=None)
    parser.add_argument(
        "--split", type=options.one_of(["train", "test"]), metavar="{train,test}",
        help="part of the data set (default: test)",
    )  # fmt: skip
    parser.add_argument("--limit", type=options.positive, metavar="N", help="the first N images only")
    options.add_device(parser)
    options.add_threads(parser)
    options.add_batch_size(parser)
    options.add_json(parser, "print labels and probabilities as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Predict; returns the exit code."""
    if (args.input is None) == (args.dataset is None):
        got = "neither" if args.input is None else "both"
        message = f"predict: expected a file of images or --dataset NAME, got {got}"
        raise ConfigError(message)
    if args.input is not None and (args.split or args.data_dir):
        message = "predict: --split and --data-dir belong to --dataset, got a file of images"
        raise ConfigError(message)
    console = Console(as_json=args.json)
    model = load(args.file, args.device)
    if args.input is not None:
        x = read_images(args.input, model)
    else:
        data = load_for(model, args.dataset, args.data_dir)
        x = fit_images(data.x_train if args.split == "train" else data.x_test, model)
    if args.limit is not None:
        x = x[: args.limit]
    if args.json:
        probabilities = model.predict_proba(x, batch_size=args.batch_size)
        labels = probabilities.argmax(axis=1).tolist()
        console.answer("", {"labels": labels, "probabilities": probabilities.tolist()})
    else:
        console.answer("\n".join(map(str, model.predict(x, batch_size=args.batch_size).tolist())), None)
    return 0
