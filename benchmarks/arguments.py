"""The command lines of the benchmarks: what they say of themselves, and values that are checked before measuring."""

import argparse
import math
from pathlib import Path


def parser(module: str, text: str | None) -> argparse.ArgumentParser:
    """A parser whose --help begins with the module's own explanation."""
    how = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(f"python -m {module}", description=text, formatter_class=how, allow_abbrev=False)


def count(text: str) -> int:
    """A whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        message = f"expected a whole number of at least 1, got {text}"
        raise argparse.ArgumentTypeError(message)
    return number


def seconds(text: str) -> float:
    """A time of at least 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 <= number < math.inf:
        message = f"expected a number of seconds of at least 0, got {text}"
        raise argparse.ArgumentTypeError(message)
    return number


def file(text: str) -> str:
    """The name of a file that can be written, as far as its folder tells."""
    path = Path(text).absolute()
    if path.is_dir() or not path.parent.is_dir():
        message = f"expected a file in a folder that is there, got {text}"
        raise argparse.ArgumentTypeError(message)
    return text
