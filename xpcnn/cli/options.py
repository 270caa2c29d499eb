"""Options that several commands share, and the types of their values."""

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NoReturn, TypeVar

from xpcnn.backend.cpu.threads import MOST
from xpcnn.data.catalogue import SETS
from xpcnn.settings import like

from .recipes import AUGMENTATIONS

__all__ = [
    "Parser",
    "add_batch_size",
    "add_data",
    "add_device",
    "add_json",
    "add_threads",
    "augment",
    "common",
    "data_set",
    "formatter",
    "no_such",
    "one_of",
    "path",
    "positive",
    "rate",
    "seed",
    "threads",
    "words",
]

N = TypeVar("N", int, float)

# wide enough for the examples, whatever COLUMNS says
formatter = partial(argparse.RawDescriptionHelpFormatter, max_help_position=30)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and which takes no abbreviations: new options must not break old scripts."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, and end with code 2."""
        self.exit(2, f"xpcnn: error: {message} (see {self.prog} --help)\n")


def common() -> Parser:
    """What every command takes, as a parent for its parser."""
    parser = Parser(add_help=False)
    # suppressed, so that it does not undo a --debug before the command
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show where an error comes from"
    )
    return parser


def add_data(parser: argparse.ArgumentParser, default: str | None = "mnist-mini") -> None:
    """``--dataset`` and ``--data-dir``."""
    names = ", ".join(SETS) + ", folder:PATH or folder:HEIGHTxWIDTH:PATH (a folder of images for each class)"
    text = f"{names} (default: {default})" if default else names
    parser.add_argument("--dataset", type=data_set, default=default, metavar="NAME", help=text)
    parser.add_argument("--data-dir", metavar="DIR", help="folder with the data set; no other place is looked at")


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N or auto: a GPU that works, else cpu")


def add_batch_size(parser: argparse.ArgumentParser) -> None:
    """``--batch-size``, where it decides speed and memory only."""
    parser.add_argument(
        "--batch-size", type=positive, default=256, metavar="N", help="images computed at once (default: 256)"
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """``--threads``."""
    parser.add_argument(
        "--threads", type=threads, metavar="N",
        help="threads on the CPU; results do not depend on it (default: $XPCNN_NUM_THREADS, else all usable cores)",
    )  # fmt: skip


def add_json(parser: argparse.ArgumentParser, text: str = "print the answer as one JSON object") -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help=text)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return _checked(text, int, lambda value: 1 <= value < 2**63, "a whole number of at least 1")


def seed(text: str) -> int:
    """A whole number of 64 bits."""
    return _checked(text, int, lambda value: 0 <= value < 2**64, "a whole number from 0 to 2**64 - 1")


def words(text: str) -> list[str]:
    """Names with commas between them."""
    return [word.strip() for word in text.split(",") if word.strip()]


def threads(text: str) -> int:
    """A number of threads."""
    return _checked(text, int, lambda value: 1 <= value <= MOST, f"a whole number from 1 to {MOST}")


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """A type: one of some names. The error says which is like a wrong one; argparse's ``choices`` would list them."""
    known = list(names)

    def name(text: str) -> str:
        if text in known:
            return text
        raise argparse.ArgumentTypeError(no_such(text, known))

    return name


def no_such(text: str, names: Sequence[str]) -> str:
    """What an error says of a name that is none of those that there are."""
    return f"expected one of {', '.join(names)}, got {text!r}{like(text, names)}"


def data_set(text: str) -> str:
    """The name of a data set; a folder of images is looked at later."""
    if text in SETS or text.startswith("folder:"):
        return text
    message = f"expected one of {', '.join(SETS)} or folder:PATH, got {text!r}{like(text, SETS)}"
    raise argparse.ArgumentTypeError(message)


def rate(text: str) -> float:
    """A finite number above 0."""
    return _checked(text, float, lambda value: value > 0 and math.isfinite(value), "a finite number above 0")


def augment(text: str) -> str:
    """Names of augmentations with commas between, or "none"."""
    names = [name.strip() for name in text.split(",")]
    if names == ["none"] or (all(name in AUGMENTATIONS for name in names) and len(set(names)) == len(names)):
        return ",".join(names)
    unknown = next((name for name in names if name not in AUGMENTATIONS), None)
    hint = "each at most once" if unknown is None else like(unknown, AUGMENTATIONS).removeprefix(": ")
    message = f"expected 'none' or names out of {', '.join(AUGMENTATIONS)} with commas, got {text!r}"
    raise argparse.ArgumentTypeError(f"{message}: {hint}" if hint else message)


def path(text: str) -> str:
    """A path; the empty text would silently mean the current folder."""
    if text:
        return text
    message = "expected a path, got nothing"
    raise argparse.ArgumentTypeError(message)


def _checked(text: str, kind: Callable[[str], N], fits: Callable[[N], bool], wanted: str) -> N:
    try:
        value = kind(text)
        if fits(value):
            return value
    except ValueError:
        pass
    message = f"expected {wanted}, got {text!r}"
    raise argparse.ArgumentTypeError(message)
