"""The results, in a JSON file that is written anew after each of them, so that none is lost."""

import json
import os
from pathlib import Path
from typing import Any

SCHEMA = 1


class WrongFile(ValueError):
    """A file that this run cannot go on with."""


class Store:
    """
    Results by part and name.

    Parameters
    ----------
    path : Path
        Where they are kept; what is there is gone on with.
    head : dict
        What all results of a file have in common, such as the device; a file with others is refused.

    Raises
    ------
    WrongFile
    """

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self.path = path
        self.data: dict[str, Any] = {"schema": SCHEMA, **head}
        if path.exists():
            self.data = load(path)
            for key, value in head.items():
                if self.data.get(key) != value:
                    message = f"{path}: expected results with {key} {value!r}, got {self.data.get(key)!r}: "
                    raise WrongFile(message + "give another file by --json")

    def get(self, *keys: str) -> Any:
        """What is there under these names, or None."""
        here: Any = self.data
        for key in keys:
            here = here.get(key) if isinstance(here, dict) else None
        return here

    def put(self, *keys: str, value: Any) -> None:
        """Keep a result, at once and as a whole."""
        here = self.data
        for key in keys[:-1]:
            here = here.setdefault(key, {})
        here[keys[-1]] = value
        self.save()

    def forget(self, *keys: str) -> None:
        """As if it had never been measured."""
        here = self.get(*keys[:-1]) if len(keys) > 1 else self.data
        if isinstance(here, dict) and here.pop(keys[-1], None) is not None:
            self.save()

    def forget_failures(self) -> int:
        """As if what failed had never been tried: it may have been mended since. How many that were."""
        found = 0
        for part in ("probe", "tests", "cold", "accuracy", "table"):
            found += _without_failures(self.data.get(part))
        if found:
            self.save()
        return found

    def save(self) -> None:
        """Write the file: all of it, or what was there stays."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".part")
        beside.write_text(json.dumps(self.data, indent=1) + "\n", encoding="utf-8")
        os.replace(beside, self.path)


def load(path: Path) -> dict[str, Any]:
    """
    The results of a file.

    Raises
    ------
    WrongFile
        If it holds none.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{path}: expected a file of results, got none ({error})"
        raise WrongFile(message) from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        got = data.get("schema") if isinstance(data, dict) else type(data).__name__
        message = f"{path}: expected results of schema {SCHEMA}, got {got}"
        raise WrongFile(message)
    return data


def _without_failures(value: Any) -> int:
    """Take out of dicts, at any depth, each value that says it failed, and lists with such a one."""
    if not isinstance(value, dict):
        return 0
    found = 0
    for key in list(value):
        inside = value[key] if isinstance(value[key], list) else [value[key]]
        if any(isinstance(one, dict) and _failed(one) for one in inside):
            del value[key]
            found += 1
        else:
            found += _without_failures(value[key])
    return found


def _failed(answer: dict[str, Any]) -> bool:
    """Whether it is a process that ended in an error, or pytest that could not test: 0, 1 and 5 are answers."""
    return "failed" in answer or ("lines" in answer and answer.get("status") not in (None, 0, 1, 5))
