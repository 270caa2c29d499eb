"""The folder for what can be had again: downloads, and what was found out by measuring."""

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path | None:
    """
    Folder for downloads: ``$XDG_CACHE_HOME/xpcnn``, else ``~/.cache/xpcnn``, else None: there is no home folder.

    As the XDG base directory specification says, a relative ``$XDG_CACHE_HOME`` does not count.
    """
    for base in (os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache")):
        if os.path.isabs(base):
            return Path(base) / "xpcnn"
    return None
