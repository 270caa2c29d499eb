"""Where a command writes: its answer to standard output, and what it tells meanwhile to where that does not disturb."""

import json
import math
import sys
from collections.abc import Sequence
from typing import Any, TextIO

__all__ = ["Console", "table", "write"]


class Console:
    """
    The two voices of a command.

    Parameters
    ----------
    as_json : bool
        The answer is one JSON object on standard output; everything else goes to standard error.
    quiet : bool
        Nothing but the answer.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json, self.quiet = as_json, quiet

    @property
    def side(self) -> TextIO:
        """The stream for what is not the answer."""
        return sys.stderr if self.as_json else sys.stdout

    def say(self, text: str) -> None:
        """Tell what is going on."""
        if not self.quiet:
            write(self.side, text)

    def answer(self, text: str, value: Any) -> None:
        """Give the answer: the text, or the value as JSON."""
        write(sys.stdout, json.dumps(_plain(value), allow_nan=False) if self.as_json else text)


def table(rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()) -> str:
    """
    Rows in columns; those with the numbers `right` are flush right.

    Examples
    --------
    >>> print(table([("name", "size"), ("a", "10")], right=(1,)))
    name  size
    a       10
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        lines.append("  ".join(cell.rjust(w) if k in right else cell.ljust(w) for k, (cell, w) in cells).rstrip())
    return "\n".join(lines)


def write(stream: TextIO | None, text: str) -> None:
    """Write a line, at once."""
    if stream is None:  # closed by who started us
        return
    # the name of a folder may hold what the terminal cannot show
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def _plain(value: Any) -> Any:
    """Infinity and NaN as null: JSON has no word for them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
