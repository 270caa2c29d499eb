"""Print the layers of a network: shapes, parameters, multiply-adds, bytes."""

import argparse
import os

from xpcnn import load
from xpcnn.errors import ConfigError
from xpcnn.models import Sequential

from . import networks, options
from .console import Console

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``xpcnn summary``."""
    names = ", ".join(networks.NETWORKS)
    parser.add_argument("model", metavar="MODEL", help=f"{names}, or a model file")
    parser.add_argument("--batch", type=options.positive, default=1, metavar="N", help="images in a batch (default: 1)")
    parser.add_argument(
        "--input-shape", type=options.positive, nargs=3, metavar=("C", "H", "W"),
        help="of one image (default: the network's own)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print the summary; returns the exit code."""
    shape = None if args.input_shape is None else tuple(args.input_shape)
    model = _model(args.model, shape)
    shape = shape or model.input_shape
    title = args.model if shape is None else f"{args.model}, images of {shape}"
    Console().answer(f"{title}\n\n{model.summary(shape, batch=args.batch)}", None)
    return 0


def _model(name: str, shape: tuple[int, ...] | None) -> Sequential:
    if name not in networks.NETWORKS:
        if not os.path.exists(name) and os.path.basename(name) == name and not os.path.splitext(name)[1]:
            known = ", ".join(networks.NETWORKS)
            message = f"summary: expected one of {known}, or a model file, got {name!r}: there is no such file"
            raise ConfigError(message)
        return load(name)
    if shape is None:
        return networks.NETWORKS[name].build()
    model = networks.make(name, shape)
    if model.input_shape != shape:
        message = f"summary: expected images of shape {model.input_shape} for {name}, got {shape}"
        raise ConfigError(message)
    return model
