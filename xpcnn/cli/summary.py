"""Print the layers of a network: shapes, parameters, multiply-adds, bytes."""

import argparse
import os

from xpcnn import load
from xpcnn.errors import ConfigError
from xpcnn.models import Model
from xpcnn.settings import like

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
        help="of one image (default: the network's own); " + _choice(),
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print the summary; returns the exit code."""
    shape = None if args.input_shape is None else tuple(args.input_shape)
    model = _model(args.model, shape)
    shape = shape or model.input_shape
    title = args.model if shape is None else f"{args.model}, images of {shape}"
    Console().answer(f"{title}\n\n{model.summary(shape, batch=args.batch)}", None)
    return 0


def _model(name: str, shape: tuple[int, ...] | None) -> Model:
    if name not in networks.NETWORKS:
        if not os.path.exists(name) and os.path.basename(name) == name and not os.path.splitext(name)[1]:
            known, hint = ", ".join(networks.NETWORKS), like(name, networks.NETWORKS) or ": there is no such file"
            message = f"summary: expected one of {known}, or a model file, got {name!r}{hint}"
            raise ConfigError(message)
        return load(name)
    network = networks.NETWORKS[name]
    if shape is None:
        return network.build()
    if network.channels not in (None, shape[0]) or network.size not in (None, shape[1:]):
        message = f"summary: expected --input-shape {_said(network)} for {name}, got {' '.join(map(str, shape))}"
        raise ConfigError(message)
    return networks.make(name, shape)


def _said(network: networks.Network) -> str:
    """The shape that a network takes, as it is written on the command line."""
    height, width = network.size or ("H", "W")
    return f"{network.channels or 'C'} {height} {width}"


def _choice() -> str:
    """For the help: which networks leave one, and between what."""
    texts = [f"{name} {_said(n)}" for name, n in networks.NETWORKS.items() if n.channels is None]
    return f"free for {', '.join(texts)} and model files; fixed for the others"
