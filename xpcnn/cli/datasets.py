"""List the data sets, and where they are or how to get them."""

import argparse

from xpcnn.data import DatasetInfo
from xpcnn.data import datasets as library

from . import options
from .console import Console, table

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``xpcnn datasets``."""
    parser.add_argument("--data-dir", metavar="DIR", help="look in this folder only")
    options.add_json(parser, "print one JSON array")


def run(args: argparse.Namespace) -> int:
    """List; returns the exit code."""
    records = library.available(args.data_dir)
    head = ("name", "images", "size", "classes", "MB", "licence", "where")
    rows = [head, *(_row(info, args.data_dir) for info in records)]
    Console(as_json=args.json).answer(table(rows, right=(1, 3, 4)), [info._asdict() for info in records])
    return 0


def _row(info: DatasetInfo, data_dir: str | None) -> tuple[str, ...]:
    images = f"{info.train_shape[0]:,} + {info.test_shape[0]:,}"
    channels, height, width = info.train_shape[1:]
    size = f"{height}x{width}" + (f"x{channels}" if channels > 1 else "")
    where = info.found
    if where is None and data_dir is not None:
        where = f"not in {data_dir}"
    elif where is None:
        where = "downloaded when first used, or put it into $XPCNN_DATA_DIR/" + info.folder
    return info.name, images, size, str(len(info.classes)), f"{info.download_bytes / 1e6:.1f}", info.licence, where
