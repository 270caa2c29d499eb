"""A plugin for pytest: what was found counts, and nobody waits for the smallest example of it."""

from hypothesis import Phase, settings


def pytest_configure() -> None:
    """Change the profile of tests/conftest.py, which is loaded by now."""
    settings.register_profile("unshrunk", settings.get_profile("xpcnn"), phases=(Phase.explicit, Phase.generate))
    settings.load_profile("unshrunk")
