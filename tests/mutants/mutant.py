"""What a mutant is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """
    A bug to plant, and the tests that must notice.

    Parameters
    ----------
    bug : str
        What is wrong, in a few words; the mutant's name.
    file : str
        Below ``xpcnn/``.
    old, new : str
        The text that is there, exactly once, and the one that takes its place.
    tests : str
        Arguments for pytest: the part of the suite that is about this code.
    """

    bug: str
    file: str
    old: str
    new: str
    tests: str
