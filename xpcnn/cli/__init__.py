"""The command line: one short file for each command, and nothing that the library could not do without it."""

from .app import main

__all__ = ["main"]
